"""Which parts of a message are its body, and which of those take a footer.

In: a `Message`. Out: the text parts that are read on opening the mail. Attachments, attached
messages, delivery reports, calendars and anything signed or encrypted are none.

*Fails:* never.
*Known limits:* of a multipart/mixed the first run of texts counts as the letter; texts after
a picture or a file get their placeholders replaced, and no footer of their own.
"""

from dataclasses import dataclass

from gatepost.flow.edit.transfer import can_open
from gatepost.mail.charset import find_charset
from gatepost.mail.message import Message, Part

PLAIN = "text/plain"
HTML = "text/html"
_TEXTS = {PLAIN, HTML}
_LINKED = {*_TEXTS, "text/x-amp-html"}  # placeholders are replaced here
_CHOSEN_FROM = {"multipart/alternative", "multipart/related"}
_CLOSED = {
    "multipart/signed", "multipart/encrypted", "multipart/report", "multipart/digest",
    "multipart/appledouble", "multipart/form-data",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Leaf:
    """A body text; `takes_footer` says whether the footer belongs into it."""

    part: Part
    takes_footer: bool


def body_leaves(message: Message) -> list[Leaf]:
    """The body texts of `message`, in the order of the octets."""
    found: list[Leaf] = []
    waiting = [(message.root, True)]
    while waiting:
        part, footer = waiting.pop()
        if part.children:
            waiting += reversed(_open(message, part, footer=footer))
        elif part.media in _LINKED and _is_read(message, part):
            found.append(Leaf(part, footer and part.media in _TEXTS))
    return found


def takes_footer(message: Message) -> bool:
    """Whether a footer finds a place, and in each of the texts that must have it.

    A reader sees one of several alternatives: a footer in another one is none.
    """
    footed = [leaf.part for leaf in body_leaves(message) if leaf.takes_footer]
    return bool(footed) and all(_can_be_edited(message, part) for part in footed)


def _can_be_edited(message: Message, part: Part) -> bool:
    """Whether `leaf.edit_leaf` finds its way into a text."""
    return (
        (part.separated or part.parent < 0)
        and find_charset(part.charset) is not None
        and can_open(message.body(part), part.encoding)
    )


def _open(message: Message, part: Part, *, footer: bool) -> list[tuple[Part, bool]]:
    children = [message.parts[index] for index in part.children]
    if part.media in _CLOSED or part.disposition == "attachment":
        return []
    if part.media == "multipart/alternative":
        return [(child, footer) for child in children]
    if part.media == "multipart/related":
        return [(_related_root(part, children), footer)]
    return _open_mixed(message, children, footer=footer)


def _related_root(part: Part, children: list[Part]) -> Part:
    start = part.content_type.value("start").strip("<> ")
    for child in children:
        field = child.field(b"content-id")
        if start and field and field.text.strip("<> ") == start:
            return child
    # mailers that put the pictures first and say nothing of it mean the text all the same
    texts = (child for child in children if child.children or child.media in _TEXTS)
    return next(texts, children[0])


def _open_mixed(message: Message, children: list[Part], *, footer: bool) -> list[tuple[Part, bool]]:
    """The first run of body parts takes the footer, each kind once."""
    opened: list[tuple[Part, bool]] = []
    met: set[str] = set()
    for child in children:
        is_body = _may_hold_texts(child) or (child.media in _TEXTS and _is_read(message, child))
        if not is_body:
            footer = footer and not met
        kinds = _TEXTS if child.children else {child.media}
        opened.append((child, footer and is_body and not kinds & met))
        met |= kinds if is_body else set()
    return opened


def _may_hold_texts(part: Part) -> bool:
    return bool(part.children) and part.media not in _CLOSED and part.disposition != "attachment"


def _is_read(message: Message, part: Part) -> bool:
    """Whether a text is read on opening the mail; where it has to be, a name makes it no file."""
    if not part.is_attachment:
        return True
    if part.parent < 0:
        return part.disposition != "attachment"
    around = message.parts[part.parent].media
    return around in _CHOSEN_FROM and part.disposition in {"", "inline"}
