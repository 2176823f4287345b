"""Where a footer goes in an HTML body, and what a reader sees of the words around it.

In: the octets of an HTML document in a charset that keeps ASCII. Out: the octet before which
a footer is put (`footer_place`); the visible text (`visible_text`). The closing body tag is
the last one outside comments, conditional comments, scripts, styles and the like, and outside
quoted mails, which bring closing tags of their own. One pass, linear.

*Fails:* never.
*Known limits:* no HTML parser: a closing tag inside an attribute's value would count, if none
came after it. A quoted mail is known by its blockquote.
"""

import html
import re

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


def footer_place(data: bytes) -> int:
    """The octet of `data` before which a footer belongs."""
    body, document = _Ends(), _Ends()
    at, end, depth = 0, len(data), 0
    while match := _OPENING.search(data, at):
        skipped = _after(data, match)
        if skipped < 0:  # never closed, so what follows would be unseen
            end = match.start()
            break
        at = skipped
        if closing := match["end"]:
            (body if closing.lower() == b"/body" else document).meet(match.start(), depth)
        elif quote := match["quote"]:
            depth = max(0, depth - 1) if quote.startswith(b"/") else depth + 1
            body.leave(depth)
            document.leave(depth)
    for ends in (body, document):
        if ends.met:
            return ends.met[-1][0]
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
    pieces: list[str] = []
    octets = document.encode("utf-8", "replace")
    at = 0
    while match := _OPENING.search(octets, at):
        seen = match.end() if match["quote"] else match.start()
        pieces.append(octets[at:seen].decode("utf-8", "replace"))
        skipped = _after(octets, match)
        at = skipped if skipped >= 0 else len(octets)
    pieces.append(octets[at:].decode("utf-8", "replace"))
    return " ".join(pieces)
