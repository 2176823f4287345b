"""Sources, read: with all their texts, and what a consent from them is worth."""

from collections.abc import Sequence

from sqlalchemy import func, select

from gatepost.consent.evidence import TextState
from gatepost.consent.rows import Origin
from gatepost.consent.scope import off_channels
from gatepost.store.sources.records import PictureRecord, SourceRecord, TextRecord
from gatepost.store.sources.versions import attestations_of
from gatepost.store.tables.ledger import consent_text, picture, source
from gatepost.store.times import from_ms
from gatepost.store.transaction import Tx


def find_source(tx: Tx, name: str) -> SourceRecord | None:
    """One source with its texts."""
    return next(iter(_load(tx, [name])), None)


def list_sources(tx: Tx) -> list[SourceRecord]:
    """All sources, by name."""
    return _load(tx, None)


def current_text(tx: Tx, source_name: str) -> TextRecord | None:
    """The text the source shows today; never a draft."""
    return find_text(tx, source_name)


def find_text(tx: Tx, source_name: str, version: str = "") -> TextRecord | None:
    """One version of a source's text; the current one where none is named."""
    record = find_source(tx, source_name)
    if record is None:
        return None
    if not version:
        return record.current
    return next((text for text in record.texts if text.version == version), None)


def text_state(tx: Tx, source_name: str, version: str = "") -> TextState:
    """What the text behind a grant is worth; without a version, what a grant then refers to.

    `NONE` where there is no such source, or it has no such text.
    """
    record = find_source(tx, source_name)
    if record is None:
        return TextState.NONE
    if not version:
        return record.referred.state if record.referred else TextState.NONE
    states = {text.version: text.state for text in record.texts}
    return states.get(version, TextState.NONE)


def as_origin(record: SourceRecord) -> Origin:
    """A source as whoever records consents from it has to see it."""
    return Origin(
        name=record.name,
        sender=record.sender,
        streams=record.streams,
        current=record.referred.version if record.referred else "",
        texts={text.version: text.state for text in record.texts},
        channels=off_channels(record.channels),
        categories=record.categories,
    )


def _load(tx: Tx, names: Sequence[str] | None) -> list[SourceRecord]:
    wanted = select(source).order_by(source.c.name)
    if names is not None:
        wanted = wanted.where(source.c.name.in_(names))
    return [
        SourceRecord(
            name=row.name,
            sender=row.sender,
            kind=row.kind,
            streams=_names(row.streams),
            description=row.description,
            url=row.url,
            reconstructed=row.reconstructed,
            created_at=from_ms(row.created_ms),
            texts=tuple(_load_texts(tx, row.id, row.name, row.kind)),
            channel=row.channel,
            categories=_names(row.categories),
            attested_by=row.attested_by,
            attested_why=row.attested_why,
        )
        for row in tx.connection.execute(wanted).all()
    ]


def _load_texts(tx: Tx, of_source: int, name: str, kind: str) -> list[TextRecord]:
    rows = tx.connection.execute(
        select(consent_text).where(consent_text.c.source == of_source).order_by(consent_text.c.id)
    ).all()
    return [
        TextRecord(
            source=name,
            version=row.version,
            language=row.language,
            body=row.body,
            sha256=row.sha256,
            attestations=attestations_of(row),
            active=row.active,
            used=row.used,
            created_at=from_ms(row.created_ms),
            pictures=tuple(_load_pictures(tx, row.id)),
            kind=kind,
            names_sender=row.names_sender,
            lint=_names(row.lint),
            accepted_lint=row.accepted_lint,
            activated_at=None if row.activated_ms is None else from_ms(row.activated_ms),
        )
        for row in rows
    ]


def _load_pictures(tx: Tx, of_text: int) -> list[PictureRecord]:
    columns = (picture.c.id, picture.c.name, picture.c.media_type, picture.c.sha256)
    rows = tx.connection.execute(
        select(*columns, func.length(picture.c.content), picture.c.added_ms)
        .where(picture.c.text == of_text)
        .order_by(picture.c.id)
    )
    return [
        PictureRecord(number, name, media_type, sha256, size, from_ms(added_ms))
        for number, name, media_type, sha256, size, added_ms in rows
    ]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()
