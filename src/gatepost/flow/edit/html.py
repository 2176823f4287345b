"""Where a footer goes in an HTML body, and what a reader sees of the words around it.

In: the octets of an HTML document in a charset that keeps ASCII. Out: the octet before which
a footer is put (`footer_place`); the visible text (`visible_text`); which places a reader can
see or click on (`shown_among`). The closing body tag is the last one outside comments,
conditional comments, scripts, styles and the like, outside attributes, and outside quoted mails,
which bring closing tags of their own. One pass, linear.

*Fails:* never.
*Known limits:* no HTML parser: the value of an attribute is known by its quotes, up to some
length, and what a style hides counts as seen. A quoted mail is known by its blockquote.
"""

import html
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator

_RAW = rb"script|style|title|textarea|xmp|template|iframe|noembed|noframes"
_OPENING = re.compile(
    rb"<!--|<(?P<raw>" + _RAW + rb")(?=[\s/>])"
    rb"|<(?P<end>/body|/html)\s*>|<(?P<quote>/?blockquote)(?=[\s/>])",
    re.IGNORECASE,
)
_CLOSING = {
    name: re.compile(rb"</" + name + rb"[\s/>]", re.IGNORECASE) for name in _RAW.split(b"|")
}
_COMMENT_END = re.compile(rb"--!?>")
_TAG = re.compile(r"<[^<>]*>")
_TAG_START = re.compile(rb"<[a-z/!?]", re.IGNORECASE)
_VALUE_OCTETS = 4000
_TAG_OCTETS = 16 * 1024  # that are looked through for each place: there may be many
_LINK = re.compile(rb"<(?:a|area)\s", re.IGNORECASE)


def footer_place(data: bytes) -> int:
    """The octet of `data` before which a footer belongs."""
    body, document = _Ends(), _Ends()
    end, depth = len(data), 0
    for match, after in _openings(data):
        if after < 0:  # never closed, so what follows would be unseen
            end = match.start()
        elif closing := match["end"]:
            (body if closing.lower() == b"/body" else document).meet(match.start(), depth)
        elif quote := match["quote"]:
            depth = max(0, depth - 1) if quote.startswith(b"/") else depth + 1
            body.leave(depth)
            document.leave(depth)
    for ends in (body, document):
        if ends.met:
            return ends.met[-1][0]
    tag = data.rfind(b"<", 0, end)
    if tag >= 0 and data[tag + 1 : tag + 2].isalpha() and data.find(b">", tag, end) < 0:
        return tag  # it was cut off, and would take in what follows
    return end


class _Ends:
    """Closing tags met so far that may be the real one, as (octet, depth of quotation)."""

    def __init__(self) -> None:
        self.met: list[tuple[int, int]] = []

    def meet(self, at: int, depth: int) -> None:
        """A later one takes the place of all that are not quoted less."""
        while self.met and self.met[-1][1] >= depth:
            self.met.pop()
        self.met.append((at, depth))

    def leave(self, depth: int) -> None:
        """A quotation that is over held its own."""
        while self.met and self.met[-1][1] > depth:
            self.met.pop()


def visible_text(document: str) -> str:
    """The words of `document`, without markup; good enough to look for a name in."""
    return html.unescape(_TAG.sub(" ", _strip_invisible(document)))


def shown_among(data: bytes, places: Collection[int]) -> set[int]:
    """Those octets among `places` that a reader sees, or that a click follows."""
    if not places:
        return set()
    stretches = list(_shown(data))
    seen = set()
    for at in places:
        start, end = stretches[bisect_right(stretches, (at, len(data))) - 1]
        if start <= at < end and _can_be_seen(data, start, at):
            seen.add(at)
    return seen


def _openings(data: bytes) -> Iterator[tuple[re.Match[bytes], int]]:
    """All that `_OPENING` means, one after the other, and where each is over (`_after`)."""
    at = 0
    while match := _OPENING.search(data, at):
        if end := _end_of_value(data, at, match.start()):
            at = end
            continue
        after = _after(data, match)
        yield match, after
        at = after if after >= 0 else len(data)


def _end_of_value(data: bytes, least: int, at: int) -> int:
    """Where the value of an attribute ends in which octet `at` stands, 0 if it is in none.

    No tag is open at octet `least`. Nearly always the last quote before `at` closes something.
    """
    for quote in (b'"', b"'"):
        opened = data.rfind(quote, least, at)
        if opened < 0 or data[max(least, opened - 9) : opened].rstrip()[-1:] != b"=":
            continue
        tag = data.rfind(b"<", least, opened)
        if tag >= 0 and _TAG_START.match(data, tag) and data.find(b">", tag, opened) < 0:
            return data.find(quote, at, at + _VALUE_OCTETS) + 1
    return 0


def _after(data: bytes, opening: re.Match[bytes]) -> int:
    """Where what `opening` opens is over, -1 if it never is."""
    if opening["end"] or opening["quote"]:
        return opening.end()
    if raw := opening["raw"]:
        match = _CLOSING[raw.lower()].search(data, opening.end())
        return match.start() if match else -1
    match = _COMMENT_END.search(data, opening.start() + 2)
    return match.end() if match else -1


def _strip_invisible(document: str) -> str:
    octets = document.encode("utf-8", "replace")
    return " ".join(octets[start:end].decode("utf-8", "replace") for start, end in _shown(octets))


def _shown(data: bytes) -> Iterator[tuple[int, int]]:
    """The stretches of `data` that are not in comments, scripts and the like."""
    at = 0
    for match, after in _openings(data):
        yield at, match.end() if match["quote"] else match.start()
        at = after if after >= 0 else len(data)
    yield at, len(data)


def _can_be_seen(data: bytes, start: int, at: int) -> bool:
    """Whether octet `at` of the stretch that begins at `start` is text, or in a link's tag."""
    least = max(start, at - _TAG_OCTETS)
    tag = data.rfind(b"<", least, at)
    if tag < 0:  # in a longer tag, perhaps: words too many do no harm
        return least == start or data.rfind(b">", least, at) >= 0
    if data.find(b">", tag, at) >= 0 or not _TAG_START.match(data, tag):
        return True
    return bool(_LINK.match(data, tag))
