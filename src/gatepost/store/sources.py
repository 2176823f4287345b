"""Sources: where consent is collected, with versioned texts and pictures of them.

A text version never changes once evidence refers to it (JU-30): a changed text is a new
version, a changed form a new source. Attestations say what the controller warrants about a
text (JU-2, JU-4); a text is valid only with all four, and never when the box was ticked
beforehand, the purchase depended on it, or it was hidden in terms. Pictures are kept as
content, not as links (JU-25, JU-27).

In: names, texts, file contents. Out: `SourceRecord`, `TextRecord`.
*Fails:* `SourceError`: no such source or version, the name is taken, the version is in use.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, insert, select, update

from gatepost.consent.evidence import TextState
from gatepost.store.hot import compile_once
from gatepost.store.tables.ledger import consent_text, picture, source
from gatepost.store.times import from_ms
from gatepost.store.transaction import Tx

KINDS = ("form", "paper", "shop", "event", "import")

_MARK_USED = (
    update(consent_text)
    .where(
        consent_text.c.source
        == select(source.c.id).where(source.c.name == bindparam("of_source")).scalar_subquery(),
        consent_text.c.version == bindparam("of_version"),
        consent_text.c.used.is_(False),
    )
    .values(used=True)
)


class SourceError(ValueError):
    """What was asked of a source cannot be done; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestations:
    """What the controller warrants about a consent text, and what speaks against it."""

    voluntary: bool = False
    informed: bool = False
    specific: bool = False
    states_withdrawal: bool = False
    pre_ticked: bool = False
    conditional: bool = False
    in_terms: bool = False

    @property
    def state(self) -> TextState:
        """Whether a consent given on such a text is one (JU-2, JU-4, JU-5)."""
        attested = self.voluntary and self.informed and self.specific and self.states_withdrawal
        spoiled = self.pre_ticked or self.conditional or self.in_terms
        return TextState.VALID if attested and not spoiled else TextState.INVALID

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of what keeps the text from being valid."""
        wanted = ("voluntary", "informed", "specific", "states_withdrawal")
        unwanted = ("pre_ticked", "conditional", "in_terms")
        return tuple(
            [name for name in wanted if not getattr(self, name)]
            + [name for name in unwanted if getattr(self, name)]
        )


class PictureRecord(NamedTuple):
    """A picture of a text as it was shown; the content is read by `picture_content`."""

    id: int
    name: str
    media_type: str
    sha256: str
    size: int
    added_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecord:
    """One version of a consent text. `used` says that evidence refers to it."""

    source: str
    version: str
    language: str
    body: str
    sha256: str
    attestations: Attestations
    active: bool
    used: bool
    created_at: datetime
    pictures: tuple[PictureRecord, ...]

    @property
    def state(self) -> TextState:
        """Whether a consent given on this text is one."""
        return self.attestations.state


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """One source with all versions of its text, oldest first.

    `sender` is who it collects for, `streams` what for (none named: any of the sender's),
    `kind` what it is, one of `KINDS`; sender and kind are "" where nobody said.
    `reconstructed` marks a source that was put together from memory and old files.
    """

    name: str
    sender: str
    kind: str
    streams: tuple[str, ...]
    description: str
    url: str
    reconstructed: bool
    created_at: datetime
    texts: tuple[TextRecord, ...]

    @property
    def current(self) -> TextRecord | None:
        """The text that is shown today."""
        return next((text for text in reversed(self.texts) if text.active), None)


def add_source(
    tx: Tx,
    name: str,
    *,
    sender: str = "",
    kind: str = "",
    streams: Sequence[str] = (),
    description: str = "",
    url: str = "",
    reconstructed: bool = False,
) -> None:
    """Adds a source without a text. Raises `SourceError` if the name is taken or unfit."""
    if not name or name != name.strip() or len(name) > 100 or not name.isprintable():
        raise SourceError("a source's name has 1 to 100 printable characters")
    if kind and kind not in KINDS:
        raise SourceError(f"a source is of one of the kinds {', '.join(KINDS)}")
    if _source_id(tx, name) is not None:
        raise SourceError(f"there is a source {name!r} already")
    tx.connection.execute(
        insert(source).values(
            name=name,
            sender=sender,
            kind=kind,
            streams=",".join(streams),
            description=description,
            url=url,
            reconstructed=reconstructed,
            created_ms=tx.now_ms,
        )
    )


def add_text(
    tx: Tx,
    source_name: str,
    body: str,
    *,
    version: str = "",
    language: str = "en",
    attestations: Attestations | None = None,
) -> str:
    """Adds a version of a source's text, which becomes the current one; its label.

    Without `version` the next number is taken ("1", "2", …). The same body in the same
    language under the same label is added once; a label with another body raises
    `SourceError`.
    """
    of_source = _known_source(tx, source_name)
    body = as_kept(body)
    if not body:
        raise SourceError("the consent text is empty")
    version = version or _next_label(tx, of_source)
    digest = hashlib.sha256(body.encode()).hexdigest()
    known = _text_row(tx, of_source, version)
    if known is not None and (known.sha256, known.language) != (digest, language):
        raise SourceError(
            f"version {version!r} of {source_name!r} has another text: give a new version"
        )
    if known is not None:
        if attestations is not None:
            attest(tx, source_name, version, attestations)
        return version
    tx.connection.execute(
        update(consent_text).where(consent_text.c.source == of_source).values(active=False)
    )
    values = _flags(attestations or Attestations())
    tx.connection.execute(
        insert(consent_text).values(
            source=of_source,
            version=version,
            language=language,
            body=body,
            sha256=digest,
            active=True,
            used=False,
            created_ms=tx.now_ms,
            **values,
        )
    )
    return version


def as_kept(body: str) -> str:
    """A text as it is kept and compared: NFC, with newlines of one kind."""
    return unicodedata.normalize("NFC", body.replace("\r\n", "\n")).strip()


def attest(tx: Tx, source_name: str, version: str, attestations: Attestations) -> None:
    """Sets what is warranted about a version. Raises `SourceError` once it is in use."""
    row = _known_text(tx, source_name, version)
    if _flags_of(row) == attestations:
        return
    if row.used:
        raise SourceError(
            f"version {version!r} of {source_name!r} is in use and cannot be changed: "
            "add a new version"
        )
    tx.connection.execute(
        update(consent_text).where(consent_text.c.id == row.id).values(**_flags(attestations))
    )


def add_picture(
    tx: Tx, source_name: str, version: str, *, name: str, media_type: str, content: bytes
) -> str:
    """Adds a picture of how a text is shown; its SHA-256. The same content is kept once."""
    row = _known_text(tx, source_name, version)
    if not content:
        raise SourceError("the picture is empty")
    if not media_type.startswith("image/") and media_type != "application/pdf":
        raise SourceError("a picture is an image or a PDF, as content")
    digest = hashlib.sha256(content).hexdigest()
    known = select(picture.c.id).where(picture.c.text == row.id, picture.c.sha256 == digest)
    if tx.connection.execute(known).scalar() is None:
        tx.connection.execute(
            insert(picture).values(
                text=row.id,
                name=name,
                media_type=media_type,
                sha256=digest,
                content=content,
                added_ms=tx.now_ms,
            )
        )
    return digest


def picture_content(tx: Tx, picture_id: int) -> bytes:
    """The bytes of a picture. Raises `SourceError` if there is none."""
    found = tx.connection.execute(
        select(picture.c.content).where(picture.c.id == picture_id)
    ).scalar()
    if found is None:
        raise SourceError(f"there is no picture {picture_id}")
    return bytes(found)


def text_state(tx: Tx, source_name: str, version: str = "") -> TextState:
    """What the text behind a grant is worth; the current version where none is named.

    `NONE` where there is no such source, or it has no such text.
    """
    text = find_text(tx, source_name, version)
    return text.state if text else TextState.NONE


def mark_used(tx: Tx, pairs: Iterable[tuple[str, str]]) -> None:
    """Freezes the versions (source, label) that evidence now refers to; unknown ones pass."""
    rows = [{"of_source": name, "of_version": version} for name, version in sorted(set(pairs))]
    compile_once(_MARK_USED, tx.dialect).executemany(tx, rows)


def current_text(tx: Tx, source_name: str) -> TextRecord | None:
    """The text the source shows today."""
    return find_text(tx, source_name)


def find_text(tx: Tx, source_name: str, version: str = "") -> TextRecord | None:
    """One version of a source's text; the current one where none is named."""
    record = find_source(tx, source_name)
    if record is None:
        return None
    if not version:
        return record.current
    return next((text for text in record.texts if text.version == version), None)


def find_source(tx: Tx, name: str) -> SourceRecord | None:
    """One source with its texts."""
    return next(iter(_load(tx, [name])), None)


def list_sources(tx: Tx) -> list[SourceRecord]:
    """All sources, by name."""
    return _load(tx, None)


def _load(tx: Tx, names: Sequence[str] | None) -> list[SourceRecord]:
    wanted = select(source).order_by(source.c.name)
    if names is not None:
        wanted = wanted.where(source.c.name.in_(names))
    return [
        SourceRecord(
            name=row.name,
            sender=row.sender,
            kind=row.kind,
            streams=tuple(row.streams.split(",")) if row.streams else (),
            description=row.description,
            url=row.url,
            reconstructed=row.reconstructed,
            created_at=from_ms(row.created_ms),
            texts=tuple(_load_texts(tx, row.id, row.name)),
        )
        for row in tx.connection.execute(wanted).all()
    ]


def _load_texts(tx: Tx, of_source: int, name: str) -> list[TextRecord]:
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
            attestations=_flags_of(row),
            active=row.active,
            used=row.used,
            created_at=from_ms(row.created_ms),
            pictures=tuple(_load_pictures(tx, row.id)),
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


def _source_id(tx: Tx, name: str) -> int | None:
    return tx.connection.execute(select(source.c.id).where(source.c.name == name)).scalar()


def _known_source(tx: Tx, name: str) -> int:
    found = _source_id(tx, name)
    if found is None:
        raise SourceError(f"there is no source {name!r}: add it with gatepost source add")
    return found


def _text_row(tx: Tx, of_source: int, version: str) -> Any:
    return tx.connection.execute(
        select(consent_text).where(
            consent_text.c.source == of_source, consent_text.c.version == version
        )
    ).one_or_none()


def _known_text(tx: Tx, source_name: str, version: str) -> Any:
    row = _text_row(tx, _known_source(tx, source_name), version)
    if row is None:
        raise SourceError(f"{source_name!r} has no text version {version!r}")
    return row


def _next_label(tx: Tx, of_source: int) -> str:
    taken = set(
        tx.connection.execute(
            select(consent_text.c.version).where(consent_text.c.source == of_source)
        ).scalars()
    )
    return next(label for number in range(1, len(taken) + 2) if (label := str(number)) not in taken)


def _flags(attestations: Attestations) -> dict[str, bool]:
    return {spec.name: getattr(attestations, spec.name) for spec in fields(Attestations)}


def _flags_of(row: Any) -> Attestations:
    return Attestations(**{spec.name: getattr(row, spec.name) for spec in fields(Attestations)})
