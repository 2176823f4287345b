"""Where a footer goes in an HTML body, and what a reader sees of the words around it.

In: the octets of an HTML document in a charset that keeps ASCII. Out: the octet before which
a footer is put (`footer_place`); the visible text (`visible_text`). The closing body tag is
the last one outside comments, conditional comments, scripts, styles and the like, because
quoted mails bring closing tags of their own. One pass, linear.

*Fails:* never.
*Known limits:* no HTML parser: a closing tag inside an attribute's value would count, if none
came after it.
"""

import html
import re

_OPENING = re.compile(
    rb"<!--|<(script|style|title|textarea|xmp|template)(?=[\s/>])|<(/body|/html)\s*>",
    re.IGNORECASE,
)
_CLOSING = {
    name: re.compile(rb"</" + name + rb"[\s/>]", re.IGNORECASE)
    for name in (b"script", b"style", b"title", b"textarea", b"xmp", b"template")
}
_TAG = re.compile(r"<[^<>]*>")


def footer_place(data: bytes) -> int:
    """The octet of `data` before which a footer belongs."""
    body_end = html_end = -1
    at, end = 0, len(data)
    while match := _OPENING.search(data, at):
        closing_tag = (match.group(2) or b"").lower()
        if closing_tag == b"/body":
            body_end = match.start()
        elif closing_tag == b"/html":
            html_end = match.start()
        skipped = match.end() if closing_tag else _skip(data, match)
        if skipped < 0:  # never closed, so what follows would be unseen
            end = match.start()
            break
        at = skipped
    if body_end >= 0:
        return body_end
    return html_end if html_end >= 0 else end


def visible_text(document: str) -> str:
    """The words of `document`, without markup; good enough to look for a name in."""
    return html.unescape(_TAG.sub(" ", _strip_invisible(document)))


def _skip(data: bytes, opening: re.Match[bytes]) -> int:
    """Where the element or comment that `opening` opens is over, -1 if it never is."""
    if not opening.group(1):
        closed = data.find(b"-->", opening.start() + 2)
        return closed + 3 if closed >= 0 else -1
    match = _CLOSING[opening.group(1).lower()].search(data, opening.end())
    return match.start() if match else -1


def _strip_invisible(document: str) -> str:
    pieces: list[str] = []
    octets = document.encode("utf-8", "replace")
    at = 0
    while match := _OPENING.search(octets, at):
        pieces.append(octets[at : match.start()].decode("utf-8", "replace"))
        skipped = match.end() if match.group(2) else _skip(octets, match)
        at = skipped if skipped >= 0 else len(octets)
    pieces.append(octets[at:].decode("utf-8", "replace"))
    return " ".join(pieces)
