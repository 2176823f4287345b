"""Pictures of texts as they were shown, kept as content, never as links (JU-25, JU-27).

A picture can be added to a version that is in use, with the time of adding; none is ever
taken away or replaced.

*Fails:* `SourceError`: no such version or picture, empty, or neither an image nor a PDF.
"""

import hashlib

from sqlalchemy import insert, select

from gatepost.store import kept
from gatepost.store.sources.records import SourceError
from gatepost.store.sources.rows import known_text
from gatepost.store.tables.ledger import picture
from gatepost.store.transaction import Tx


@kept.recorded
def add_picture(
    tx: Tx, source_name: str, version: str, *, name: str, media_type: str, content: bytes
) -> str:
    """Adds a picture of how a text is shown; its SHA-256. The same content is kept once."""
    row = known_text(tx, source_name, version)
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
