"""Bulk detection: mass mail that was not declared as such.

In: a message and its recipients. Out: a fingerprint of its text that copies of one mailing
share, and a judgement on two numbers: the recipients of this submission, and the recipients
that the same text had lately, which the store counts.

The fingerprint is taken from the words of the text without what differs between personal
copies: addresses, the paths of links, digits, the recipient's name, quotations and signatures.
Of n different words only the longest count, as many as the greatest power of two within n:
merge fields are mostly short words.

*Fails:* never. A text with fewer than `MIN_WORDS` words has no fingerprint: "your code is
123456" says the same to everybody and is no mailing.
*Known limits:* a heuristic. Long merge fields hide a mailing; notices from one template look
like one. Only the first `MAX_CHARACTERS` of a text are read, and no pictures.
"""

import hashlib
import html
import re
from collections.abc import Iterable
from dataclasses import dataclass

from gatepost.mail.address import Address
from gatepost.mail.message import Message, Part

MIN_WORDS = 12
MAX_CHARACTERS = 65_536
FINGERPRINT_BYTES = 16

_MAX_OCTETS = 12 * MAX_CHARACTERS  # the most that a character takes: 4 in UTF-8, each as =XX

_HIDDEN = re.compile(
    r"<(script|style|head)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL
)
_BLOCK = re.compile(
    r"<(?:/?(?:p|div|tr|td|h[1-6]|li|ul|table|blockquote)|br)\b[^<>]*+>", re.IGNORECASE
)
_TAG = re.compile(r"<[^<>]*+>")
_LINK = re.compile(r"https?://([^\s/?#<>\"']*)[^\s<>\"']*", re.IGNORECASE)
_SIGNATURE = re.compile(r"^-- \r?$", re.MULTILINE)
_QUOTATION = re.compile(r"^>.*$", re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """From how many recipients on mail looks like a mailing (`[bulk_detection]`).

    `recipients` in one submission, `same_content` over the last while; recipients in
    `internal_domains` (lower-case A-labels) do not count. A limit of 0 is none.
    """

    recipients: int = 100
    same_content: int = 200
    internal_domains: frozenset[str] = frozenset()

    def count(self, recipients: Iterable[Address]) -> int:
        """How many of the recipients count."""
        return sum(recipient.domain not in self.internal_domains for recipient in recipients)

    def judge(self, recipients: int, seen: int) -> bool:
        """Whether so many counted recipients are a mailing.

        `seen` is how many the same text had before, lately; this submission's come on top.
        """
        if recipients == 0:
            return False
        return (0 < self.recipients <= recipients) or (0 < self.same_content <= seen + recipients)


def fingerprint(message: Message, personal: frozenset[str] = frozenset()) -> bytes:
    """The fingerprint of the text of `message`, b"" where there is too little of it.

    `personal` are words that name the recipient (`campaign.personal_words`).
    """
    words = _words(_text(message), personal)
    if len(words) < MIN_WORDS:
        return b""
    count = 1 << (len(words).bit_length() - 1)
    longest = sorted(words, key=lambda word: (-len(word), word))[:count]
    text = " ".join(sorted(longest)).encode()
    return hashlib.blake2b(text, digest_size=FINGERPRINT_BYTES).digest()


def _text(message: Message) -> str:
    """The text that a reader sees: the plain one or, where it says little, the HTML one."""
    plain = _first(message, "text/plain")
    text = message.text(plain, _MAX_OCTETS)[:MAX_CHARACTERS] if plain else ""
    rich = _first(message, "text/html")
    if rich is None or len(_WORD.findall(text)) >= MIN_WORDS:
        return text
    return _without_tags(message.text(rich, 4 * _MAX_OCTETS)[: 4 * MAX_CHARACTERS])[:MAX_CHARACTERS]


def _first(message: Message, media: str) -> Part | None:
    leaves = (part for part in message.leaves() if not part.is_attachment)
    return next((part for part in leaves if part.media == media), None)


def _without_tags(text: str) -> str:
    text = _BLOCK.sub("\n", _HIDDEN.sub(" ", text))
    return html.unescape(_TAG.sub(" ", text))


def _words(text: str, personal: frozenset[str]) -> set[str]:
    text = _SIGNATURE.split(text, maxsplit=1)[0]
    tokens = set(_QUOTATION.sub("", text).split())  # most words of a text come again
    kept = [_without_path(token) for token in tokens if "@" not in token]
    return set(_WORD.findall(" ".join(kept).casefold())) - personal


def _without_path(token: str) -> str:
    return _LINK.sub(r"\1", token) if "://" in token else token
