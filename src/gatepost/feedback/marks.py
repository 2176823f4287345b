"""Our marks on a copy: the tokens that tell which copy a report or a mail is about.

In: text, or the copy of our mail inside a report. Out: `Marks`, candidates that only the
ring of keys can tell from noise.

*Fails:* never.
*Known limits:* of one text, the first `MAX_MARKS` different candidates of each form are kept;
of a copy's body, the first `MAX_BODY_OCTETS` of its text parts are looked through.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gatepost.mail.message import Message, Part, scan

MAX_MARKS = 8
MAX_BODY_OCTETS = 512 * 1024

# A token in a URL and one in a mail address (consent/tokens.py gives the lengths).
_IN_LINK = re.compile(r"/u/([A-Za-z0-9_-]{49})(?![A-Za-z0-9_-])")
_IN_ADDRESS = re.compile(r"(?<![A-Za-z0-9])[A-Za-z2-7]{60}(?![A-Za-z0-9])")
# Where a copy bears its marks; what others wrote into the header is not asked.
_MARKED_FIELDS = ("list-unsubscribe", "return-path", "x-original-mail-from")
_ORIGINALS = frozenset({
    "message/rfc822", "message/global", "text/rfc822-headers", "text/rfc822-header",
    "message/rfc822-headers", "message/global-headers",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Marks:
    """Candidates: tokens as links have them, and tokens as mail addresses have them."""

    links: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.links or self.addresses)


def marks_in(*texts: str) -> Marks:
    """The candidates in these texts, those of the first text first."""
    return Marks(
        _distinct(found for text in texts for found in _IN_LINK.findall(text)),
        _distinct(found for text in texts for found in _IN_ADDRESS.findall(text)),
    )


def find_original(message: Message) -> Message | None:
    """The copy, or its header, that a report carries (RFC 5965 §2.d, RFC 3464 §2)."""
    part = next((part for part in message.parts if _is_original(part)), None)
    return scan(message.content(part).lstrip(b"\r\n")) if part else None


def marks_on(original: Message) -> Marks:
    """The marks on a copy: those of its header, or else those of its text (RA-3)."""
    fields = [text for name in _MARKED_FIELDS for text in original.values(name)]
    return marks_in(*fields) or marks_in(*_texts(original))


def _is_original(part: Part) -> bool:
    return part.index > 0 and part.media in _ORIGINALS and part.end > part.body_start


def _texts(original: Message) -> Iterable[str]:
    left = MAX_BODY_OCTETS
    for part in original.leaves():
        if part.media.startswith("text/") and 0 < part.end - part.body_start <= left:
            left -= part.end - part.body_start
            yield original.text(part)


def _distinct(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found))[:MAX_MARKS]
