"""Files that a source is made of, read: consent texts, and pictures of them.

*Fails:* `Refusal` for a file that cannot be read, or is not what it should be.
"""

from pathlib import Path
from typing import NamedTuple

from gatepost.cli.desk import Refusal

MAX_PICTURE_OCTETS = 20_000_000
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"%PDF-": "application/pdf",
}


class Picture(NamedTuple):
    """A picture's file, read."""

    name: str
    media_type: str
    content: bytes


def read_text(path: Path) -> str:
    """A consent text. Raises `Refusal`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refusal(f"{path}: the text is not UTF-8: save it as UTF-8") from error
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from error


def read_picture(path: Path) -> Picture:
    """A picture as content; a link is none (JU-27). Raises `Refusal`."""
    if "://" in str(path) or str(path).startswith(("http:/", "https:/")):
        raise Refusal(f"{path}: a picture is kept as content: save it to a file, and give that")
    try:
        if path.stat().st_size > MAX_PICTURE_OCTETS:
            raise Refusal(f"{path}: a picture has at most {MAX_PICTURE_OCTETS} octets")
        content = path.read_bytes()
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from error
    media_type = next(
        (kind for start, kind in _SIGNATURES.items() if content.startswith(start)), ""
    )
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        media_type = "image/webp"
    if not media_type:
        raise Refusal(f"{path}: no picture: give a PNG, JPEG, GIF, WebP or PDF file")
    return Picture(path.name, media_type, content)
