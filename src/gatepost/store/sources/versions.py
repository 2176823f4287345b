"""Versions of a consent text: added as drafts, attested, put to use, succeeded.

A version is put to use as soon as it lacks nothing; until then it is a draft, and consents
that refer to it are on record and do not count. Once evidence refers to a version, neither
its words nor what is attested of it can change: the next version succeeds it (JU-30).

*Fails:* `SourceError`: no such source or version, another text under its label, in use, or
what it lacks.
"""

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from gatepost.consent.attestations import (
    NOTHING_ATTESTED,
    NOTHING_FOUND,
    Attestations,
    Found,
    lacks,
)
from gatepost.store import kept
from gatepost.store.hot import compile_once
from gatepost.store.sources.records import SourceError
from gatepost.store.sources.rows import known_source, known_text, text_row
from gatepost.store.tables.ledger import consent_text, picture, source
from gatepost.store.transaction import Tx

_UNUSED = (
    select(consent_text.c.id)
    .join(source, source.c.id == consent_text.c.source)
    .where(
        source.c.name == bindparam("of_source"),
        consent_text.c.version == bindparam("of_version"),
        consent_text.c.used.is_(False),
    )
)
_MARK_USED = update(consent_text).where(consent_text.c.id == bindparam("of")).values(used=True)


@kept.recorded
def add_text(
    tx: Tx,
    source_name: str,
    body: str,
    *,
    version: str = "",
    language: str = "en",
    attestations: Attestations | None = None,
    found: Found = NOTHING_FOUND,
) -> str:
    """Adds a version of a source's text, and puts it to use if it lacks nothing; its label.

    Without `version` the next number is taken ("1", "2", …). The same body in the same
    language under the same label is added once; a label with another body raises
    `SourceError`. `found` is what a check of the words came to; who gives none vouches for
    them.
    """
    of_source = known_source(tx, source_name)
    body = as_kept(body)
    if not body:
        raise SourceError("the consent text is empty")
    version = version or _next_label(tx, of_source)
    digest = hashlib.sha256(body.encode()).hexdigest()
    known = text_row(tx, of_source, version)
    if known is not None and (known.sha256, known.language) != (digest, language):
        raise SourceError(
            f"version {version!r} of {source_name!r} has another text: give a new version"
        )
    if known is None:
        tx.connection.execute(
            insert(consent_text).values(
                source=of_source,
                version=version,
                language=language,
                body=body,
                sha256=digest,
                active=False,
                used=False,
                created_ms=tx.now_ms,
                **_columns(attestations or NOTHING_ATTESTED, found),
            )
        )
    elif attestations is not None:
        attest(tx, source_name, version, attestations, found)
    row = known_text(tx, source_name, version)
    if row.activated_ms is None and not _lacks(tx, row):
        activate(tx, source_name, version)
    return version


def as_kept(body: str) -> str:
    """A text as it is kept and compared: NFC, with newlines of one kind."""
    return unicodedata.normalize("NFC", body.replace("\r\n", "\n")).strip()


@kept.recorded
def attest(
    tx: Tx,
    source_name: str,
    version: str,
    attestations: Attestations,
    found: Found | None = None,
) -> None:
    """Sets what is warranted about a version. Raises `SourceError` once it is in use.

    A version that then lacks something goes back to being a draft.
    """
    row = known_text(tx, source_name, version)
    wanted = _columns(attestations, found or found_of(row))
    if all(getattr(row, name) == value for name, value in wanted.items()):
        return
    changed = tx.connection.execute(
        update(consent_text)
        .where(consent_text.c.id == row.id, consent_text.c.used.is_(False))
        .values(**wanted)
    )
    if not changed.rowcount:
        raise SourceError(
            f"version {version!r} of {source_name!r} is in use and cannot be changed: "
            "add a new version"
        )
    row = known_text(tx, source_name, version)
    if row.activated_ms is not None and _lacks(tx, row):
        tx.connection.execute(
            update(consent_text)
            .where(consent_text.c.id == row.id)
            .values(active=False, activated_ms=None)
        )


@kept.recorded
def activate(tx: Tx, source_name: str, version: str) -> None:
    """Makes a version the one that is shown from now on.

    Raises `SourceError`, naming what the version lacks, and for a draft that consents refer
    to already: they would seem to count.
    """
    row = known_text(tx, source_name, version)
    missing = _lacks(tx, row)
    if missing:
        raise SourceError(
            f"version {version!r} of {source_name!r} cannot be put to use: "
            f"it lacks or has against it {', '.join(missing)}"
        )
    if row.used and row.activated_ms is None:
        raise SourceError(
            f"version {version!r} of {source_name!r} is a draft that consents refer to: "
            "add a new version, and import them again"
        )
    tx.connection.execute(
        update(consent_text).where(consent_text.c.source == row.source).values(active=False)
    )
    tx.connection.execute(
        update(consent_text)
        .where(consent_text.c.id == row.id)
        .values(active=True, activated_ms=row.activated_ms or tx.now_ms)
    )


def mark_used(tx: Tx, pairs: Iterable[tuple[str, str]]) -> None:
    """Freezes the versions (source, label) that evidence now refers to; unknown ones pass."""
    unused, marking = compile_once(_UNUSED, tx.dialect), compile_once(_MARK_USED, tx.dialect)
    for name, version in sorted(set(pairs)):
        if found := unused.rows(tx, {"of_source": name, "of_version": version}):
            with kept.changing(tx, name):
                marking.execute(tx, {"of": found[0][0]})


def attestations_of(row: Any) -> Attestations:
    """What is attested of a version, from its row."""
    return Attestations(**{spec.name: getattr(row, spec.name) for spec in fields(Attestations)})


def found_of(row: Any) -> Found:
    """What the check of a version's words found, from its row."""
    return Found(
        names_sender=row.names_sender,
        lint=tuple(row.lint.split(",")) if row.lint else (),
        accepted_lint=row.accepted_lint,
    )


def _columns(attestations: Attestations, found: Found) -> dict[str, Any]:
    attested = {spec.name: getattr(attestations, spec.name) for spec in fields(Attestations)}
    return attested | {
        "names_sender": found.names_sender,
        "lint": ",".join(found.lint),
        "accepted_lint": found.accepted_lint.strip(),
    }


def _lacks(tx: Tx, row: Any) -> tuple[str, ...]:
    kind = tx.connection.execute(
        select(source.c.kind).where(source.c.id == row.source)
    ).scalar_one()
    pictures = tx.connection.execute(
        select(func.count()).select_from(picture).where(picture.c.text == row.id)
    ).scalar_one()
    return lacks(attestations_of(row), found_of(row), kind, pictures)


def _next_label(tx: Tx, of_source: int) -> str:
    taken = set(
        tx.connection.execute(
            select(consent_text.c.version).where(consent_text.c.source == of_source)
        ).scalars()
    )
    return next(label for number in range(1, len(taken) + 2) if (label := str(number)) not in taken)
