"""The words that go into a body: the footer, the sender's identity, the recipient's links.

In: the texts of a `BulkTreatment` and the content of a part. Out: text segments with slots
where a token goes; whether a body already says everything the footer would (`is_complete`).

*Fails:* never.
"""

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

from gatepost.flow.edit.html import visible_text
from gatepost.flow.edit.spans import Slot
from gatepost.flow.edit.treatment import BulkTreatment

Words = tuple[str | Slot, ...]

_FLOWING = re.compile(r"(?<!\n--) +(?=\n)")
_STUFFED = re.compile(r"\n(?=[ >]|From )")
_LINE_END = re.compile(r"\r\n|\r|\n")
_LIGATURES = {
    "ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L",
    "đ": "d", "Đ": "D", "þ": "th", "Þ": "Th", "ð": "d", "\u2013": "-", "\u2014": "-",
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"',
}  # fmt: skip
_MARKER = re.compile(r"\{\{(unsubscribe_url|preferences_url)\}\}")


def placeholder_words(name: str, bulk: BulkTreatment, *, html: bool) -> Words:
    """What stands in the place of a placeholder."""
    if name == "sender_identity":
        return (bulk.identity_html if html else bulk.identity_text,)
    return _link(name, bulk)


def footer_words(bulk: BulkTreatment, *, html: bool) -> Words:
    """The footer, links and all, without line ends around it."""
    text = bulk.footer.html if html else bulk.footer.text
    return _footer_words(text, bulk.unsubscribe_base, bulk.preferences_base)


@lru_cache(maxsize=64)  # one stream's footer is the same in all its mail
def _footer_words(text: str, unsubscribe_base: str, preferences_base: str) -> Words:
    text = text.strip("\r\n")
    links: dict[str, Words] = {
        "unsubscribe_url": (unsubscribe_base, Slot.UNSUBSCRIBE),
        "preferences_url": (preferences_base, Slot.PREFERENCES),
    }
    words: list[str | Slot] = []
    at = 0
    for match in _MARKER.finditer(text):
        words += text[at : match.start()], *links[match.group(1)]
        at = match.end()
    return (*words, text[at:])


@lru_cache(maxsize=256)  # one stream's footer is the same in all its mail
def with_line_ends(words: Words, newline: str, *, flowed: bool) -> Words:
    """The same words with every line end made `newline`.

    For format=flowed (RFC 3676 §4) no line flows into the next, and lines that would be read
    as quoted are stuffed.
    """
    return tuple(
        word if isinstance(word, Slot) else _set_lines(word, newline, flowed=flowed)
        for word in _joined(words)
    )


def _set_lines(text: str, newline: str, *, flowed: bool) -> str:
    text = _LINE_END.sub("\n", text)
    if flowed:
        text = _STUFFED.sub("\n ", _FLOWING.sub("", text))
    return text.replace("\n", newline)


def _joined(words: Words) -> Words:
    """The words with neighbouring texts made one, so that line starts can be seen."""
    joined: list[str | Slot] = []
    for word in words:
        if joined and not isinstance(word, Slot) and not isinstance(joined[-1], Slot):
            joined[-1] += word
        else:
            joined.append(word)
    return tuple(joined)


def in_letters_of(codec: str, text: str) -> str:
    """`text` with what `codec` cannot say in the nearest letters of ASCII."""
    return "".join(one if _can_say(codec, one) else _nearest(one) for one in text)


def _can_say(codec: str, character: str) -> bool:
    try:
        return bool(character.encode(codec))
    except UnicodeEncodeError:
        return False


def _nearest(character: str) -> str:
    """`å` as a, `ß` as ss, what has no such letters as a question mark."""
    if character in _LIGATURES:
        return _LIGATURES[character]
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore")
    return letters.decode("ascii") or "?"


def is_complete(text: str, used: Collection[str], bulk: BulkTreatment, *, html: bool) -> bool:
    """Whether a body already has the recipient's link and says who sends it (ME-3)."""
    if not may_be_complete(used):
        return False
    if "sender_identity" in used:
        return True
    words = _letters(visible_text(text) if html else text)
    return all(_letters(said) in words for said in (bulk.legal_name, bulk.postal_address) if said)


def may_be_complete(used: Collection[str]) -> bool:
    """Whether it is worth looking: there is a link to leave by."""
    return "unsubscribe_url" in used


def _link(name: str, bulk: BulkTreatment) -> Words:
    if name == "unsubscribe_url":
        return bulk.unsubscribe_base, Slot.UNSUBSCRIBE
    return bulk.preferences_base, Slot.PREFERENCES


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
