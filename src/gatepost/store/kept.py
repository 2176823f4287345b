"""Sources and consent texts are evidence: what they say is on record in the ledger itself.

Whenever a source, a text version, its attestations or its pictures change, an event says what
they are now: a digest over every column, and over the content of the pictures. Such events are
about nobody; they stand under the subject 0, which is no person. `ledger verify` compares them
with the tables (JU-25, JU-30).

In: functions that change a source, marked with `recorded`. Out: events; `alterations`.

*Fails:* whatever the database raises.
*Known limits:* what is empty in a row is not covered, so that a later version may add columns.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Table, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.consent.evidence import EventKind, Fact
from gatepost.store.events import Entry, insert_events
from gatepost.store.hot import Row, compile_once
from gatepost.store.keys import HASH_BYTES
from gatepost.store.tables.ledger import (
    consent_text,
    event,
    event_payload,
    picture,
    source,
    subject,
)
from gatepost.store.transaction import Tx

P = ParamSpec("P")
R = TypeVar("R")

NOBODY = 0  # the subject of what the ledger records about no person
_NOBODYS_HASH = bytes(HASH_BYTES)

Version = tuple[str, str]  # source and label; "" for the source itself

_NOBODY_KNOWN = {
    "sqlite": sqlite.insert(subject).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(subject).on_conflict_do_nothing(),
}
_SOURCES = select(source).order_by(source.c.id)
_SOURCE = select(source).where(source.c.name == bindparam("of_name"))
_TEXTS = (
    select(consent_text).where(consent_text.c.source == bindparam("of")).order_by(consent_text.c.id)
)
_PICTURES = select(picture).where(picture.c.text == bindparam("of")).order_by(picture.c.id)
_SAID = (
    select(event_payload.c.payload)
    .select_from(event.join(event_payload, event_payload.c.event == event.c.id))
    .where(event.c.subject == NOBODY, event.c.kind == EventKind.SOURCE_KEPT.value)
    .order_by(event.c.id)
)


def recorded(
    change: Callable[Concatenate[Tx, str, P], R],
) -> Callable[Concatenate[Tx, str, P], R]:
    """Marks a function that changes the source it names: the change goes on record."""

    @wraps(change)
    def changing_on_record(tx: Tx, name: str, /, *rest: P.args, **named: P.kwargs) -> R:
        with changing(tx, name):
            return change(tx, name, *rest, **named)

    return changing_on_record


@contextmanager
def changing(tx: Tx, name: str) -> Iterator[None]:
    """Around a change of the source `name`: what it comes to is recorded.

    A version that was not as recorded before stays unrecorded: somebody changed it by hand,
    and a lawful change must not cover that up.
    """
    before, said = _digests(tx, name), _said(tx)
    yield
    after, said_since = _digests(tx, name), _said(tx)
    record(
        tx,
        {
            version: after.get(version, "")
            for version in before | after
            if after.get(version, "") not in (before.get(version), said_since.get(version))
            and (version not in before or said.get(version) == before[version])
        },
    )


def record(tx: Tx, digests: Mapping[Version, str]) -> None:
    """Puts on record what versions are now; "" for one that is gone."""
    if not digests:
        return
    row = {
        "id": NOBODY,
        "address_hash": _NOBODYS_HASH,
        "address": None,
        "created_ms": tx.now_ms,
        "erased_ms": None,
    }
    compile_once(_NOBODY_KNOWN[tx.dialect], tx.dialect).execute(tx, row)
    facts = [
        Fact(
            kind=EventKind.SOURCE_KEPT,
            at=tx.now,
            source=name,
            text_version=label,
            text_sha256=digest,
        )
        for (name, label), digest in digests.items()
    ]
    insert_events(tx, [Entry(NOBODY, _NOBODYS_HASH, fact) for fact in facts])


def record_all(tx: Tx) -> None:
    """Puts on record every source as it stands, for a store that did not record them yet."""
    record(tx, _all_digests(tx))


def alterations(tx: Tx) -> Iterator[str]:
    """What is not as recorded, in words: a source or version changed, added or gone by hand."""
    now = _all_digests(tx)
    said = {version: digest for version, digest in _said(tx).items() if digest}
    for version in sorted(now.keys() | said.keys()):
        if version not in now:
            yield f"{_naming(version)} is gone"
        elif version not in said:
            yield f"{_naming(version)} was added by hand"
        elif now[version] != said[version]:
            yield f"{_naming(version)} was changed"


def _naming(version: Version) -> str:
    name, label = version
    return f"text version {label!r} of source {name!r}" if label else f"source {name!r}"


def _said(tx: Tx) -> dict[Version, str]:
    """What is on record of each version, the latest word of each."""
    said: dict[Version, str] = {}
    for (payload,) in compile_once(_SAID, tx.dialect).rows(tx, {}):
        fact = Fact.from_payload(bytes(payload))
        said[fact.source, fact.text_version] = fact.text_sha256
    return said


def _digests(tx: Tx, name: str) -> dict[Version, str]:
    return _digests_of(tx, compile_once(_SOURCE, tx.dialect).rows(tx, {"of_name": name}))


def _all_digests(tx: Tx) -> dict[Version, str]:
    return _digests_of(tx, compile_once(_SOURCES, tx.dialect).rows(tx, {}))


def _digests_of(tx: Tx, sources: Iterable[Row]) -> dict[Version, str]:
    texts, pictures = compile_once(_TEXTS, tx.dialect), compile_once(_PICTURES, tx.dialect)
    found: dict[Version, str] = {}
    for row in sources:
        values = _filled(source, row)
        name = str(values.get("name", ""))
        found[name, ""] = _digest(values)
        for text_row in texts.rows(tx, {"of": values["id"]}):
            text = _filled(consent_text, text_row)
            shown = [_filled(picture, one) for one in pictures.rows(tx, {"of": text["id"]})]
            found[name, str(text.get("version", ""))] = _digest({**text, "pictures": shown})
    return found


def _filled(table: Table, row: Row) -> dict[str, Any]:
    """The columns that hold something; contents by their digest, yes as 1 on either engine."""
    return {
        column.name: _plain(value)
        for column, value in zip(table.columns, row, strict=True)
        if value
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return hashlib.sha256(value).hexdigest()
    return int(value) if isinstance(value, bool) else value


def _digest(values: Mapping[str, Any]) -> str:
    written = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(written.encode()).hexdigest()
