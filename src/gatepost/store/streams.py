"""Every stream the store has ever known, so that links of retired streams still work.

A link carries a 32-bit tag in place of the stream's name; this is where the tag is
turned back, also years after the stream left the configuration.

In: the streams of the configuration, at start and reload; a tag. Out: a name and its sender, and
which streams have changed hands.
*Fails:* `ValueError` where two names have one tag.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.consent.tokens import stream_tag
from gatepost.store.hot import compile_once
from gatepost.store.tables.ledger import stream_name
from gatepost.store.transaction import Tx


def _upsert(statement: Any) -> Any:
    return statement.on_conflict_do_update(
        index_elements=["tag"], set_={"sender": statement.excluded.sender}
    )


_REMEMBER = {
    "sqlite": _upsert(sqlite.insert(stream_name)),
    "postgresql": _upsert(postgresql.insert(stream_name)),
}


class KnownStream(NamedTuple):
    """A stream by name, and the sender it belonged to when last configured."""

    name: str
    sender: str


def changed_hands(tx: Tx, streams: Iterable[KnownStream]) -> list[KnownStream]:
    """Those of `streams` that belong to another sender now, with the sender they had before."""
    now = dict(streams)
    known = [
        KnownStream(row.name, row.sender) for row in tx.connection.execute(select(stream_name))
    ]
    return [one for one in known if one.sender and now.get(one.name, one.sender) != one.sender]


def remember_streams(tx: Tx, streams: Iterable[KnownStream]) -> None:
    """Makes the streams of the configuration known; the sender of a known one is brought up."""
    names = {row.tag: row.name for row in tx.connection.execute(select(stream_name))}
    rows = []
    for name, sender in sorted(set(streams)):
        tag = stream_tag(name)
        if names.setdefault(tag, name) != name:
            raise ValueError(
                f"the streams {name!r} and {names[tag]!r} have the same tag: rename the new one"
            )
        rows.append({"tag": tag, "name": name, "sender": sender, "first_ms": tx.now_ms})
    compile_once(_REMEMBER[tx.dialect], tx.dialect).executemany(tx, rows)


def stream_of_tag(tx: Tx, tag: int) -> KnownStream | None:
    """The stream behind a link's tag; `None` for a tag that was never given out."""
    row = tx.connection.execute(
        select(stream_name.c.name, stream_name.c.sender).where(stream_name.c.tag == tag)
    ).one_or_none()
    return KnownStream(*row) if row else None


def streams_of_sender(tx: Tx, sender: str) -> list[str]:
    """All streams the sender ever had, retired ones included, by name."""
    return list(
        tx.connection.execute(
            select(stream_name.c.name)
            .where(stream_name.c.sender == sender)
            .order_by(stream_name.c.name)
        ).scalars()
    )
