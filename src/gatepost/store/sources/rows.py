"""Sources and their texts as the tables hold them, found by their names.

*Fails:* `SourceError` where there is no such source or version.
"""

from typing import Any

from sqlalchemy import select

from gatepost.store.sources.records import SourceError
from gatepost.store.tables.ledger import consent_text, source
from gatepost.store.transaction import Tx


def source_id(tx: Tx, name: str) -> int | None:
    """The row number of a source; `None` if there is none of that name."""
    return tx.connection.execute(select(source.c.id).where(source.c.name == name)).scalar()


def known_source(tx: Tx, name: str) -> int:
    """The same. Raises `SourceError`."""
    found = source_id(tx, name)
    if found is None:
        raise SourceError(f"there is no source {name!r}: add it with gatepost source add")
    return found


def text_row(tx: Tx, of_source: int, version: str) -> Any:
    """One version of a source's text; `None` if there is none."""
    return tx.connection.execute(
        select(consent_text).where(
            consent_text.c.source == of_source, consent_text.c.version == version
        )
    ).one_or_none()


def known_text(tx: Tx, source_name: str, version: str) -> Any:
    """The same. Raises `SourceError`."""
    row = text_row(tx, known_source(tx, source_name), version)
    if row is None:
        raise SourceError(f"{source_name!r} has no text version {version!r}")
    return row
