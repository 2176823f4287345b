"""What header values say: encoded words (RFC 2047) and lists of mailboxes (RFC 5322 §3.4).

In: the text of an unfolded field value. Out: text as a reader sees it, or `Mailbox` values.
The list is read strictly enough to decide by: where two programs could see two different
addresses, the mailbox has none. `"a@b.example" <c@d.example>` is c@d.example;
`a@b.example <c@d.example>` and `Anna a@b.example` are nobody.

*Fails:* never; what cannot be read stays as it is, or has no address.
*Known limits:* routes in angle brackets (RFC 5322 §4.4) make a mailbox without an address.
"""

import binascii
import re
from dataclasses import dataclass

from gatepost.mail.address import Address, AddressError, parse
from gatepost.mail.charset import find_charset

_WORD = re.compile(r"=\?([^?\s*]{1,40})(?:\*[^?\s]{0,40})?\?([BbQq])\?([^?\s]*)\?=")
_BLANKS = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(
    r"""(?P<blank>[\s]++)
    | (?P<quoted>"(?:[^"\\]++|\\.)*+"?)
    | (?P<angle><(?:[^<>"]++|"(?:[^"\\]++|\\.)*+")*+>?)
    | (?P<literal>\[[^\]\[]*+\]?)
    | (?P<mark>[,;:])
    | (?P<open>\()
    | (?P<word>[^\s",;:<(\[]++)""",
    re.VERBOSE | re.DOTALL,
)
_ORDINARY = re.compile(r"""([^",;:<(\[@]*)<([^<>"]*)>\s*""")  # no list, no quotes, no comment
_COMMENT_MARK = re.compile(r"[()]|\\.", re.DOTALL)
_AROUND = re.compile(r"\s*([@.])\s*")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox of a list: the display name, decoded, and the address, if there is one."""

    name: str
    address: Address | None


def decode_words(text: str) -> str:
    """`text` with its encoded words decoded; blanks between two of them do not count."""
    if "=?" not in text:
        return text
    out: list[str] = []
    octets, charset, at = b"", "", 0
    for match in _WORD.finditer(text):
        decoded = _octets(match.group(2), match.group(3))
        if decoded is None:
            continue
        gap = text[at : match.start()]
        name = match.group(1).lower()
        adjacent = bool(charset) and _BLANKS.fullmatch(gap)
        if not adjacent or name != charset:
            out.append(_text(octets, charset))
            out.append("" if adjacent else gap)
            octets = b""
        octets, charset, at = octets + decoded, name, match.end()
    return "".join([*out, _text(octets, charset), text[at:]])


def parse_mailboxes(text: str) -> tuple[Mailbox, ...]:
    """The mailboxes of an address list, those of groups included, in their order."""
    ordinary = _ORDINARY.fullmatch(text)
    if ordinary:  # as nearly all are: what the list would give, several times as fast
        name, inside = ordinary.groups()
        return (Mailbox(_readable(name), _address(inside.strip())),)
    return parse_list(text)


def parse_list(text: str) -> tuple[Mailbox, ...]:
    """What `parse_mailboxes` gives, token by token."""
    found: list[Mailbox] = []
    draft = _Draft()
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:  # does not occur: every character begins a token
            break
        at = match.end()
        kind, piece = match.lastgroup, match.group()
        if kind == "open":
            start, at = at, _comment_end(text, at)
            draft.comments.append(text[start : at - 1])
        elif kind == "mark":
            # what stands before a colon is the name of a group, not a mailbox
            found.extend(draft.as_group_name() if piece == ":" else draft.mailboxes())
            draft = _Draft()
        else:
            draft.add(kind, piece)
    found.extend(draft.mailboxes())
    return tuple(found)


class _Draft:
    """A mailbox being read."""

    __slots__ = ("_after", "_angles", "_tokens", "comments")

    def __init__(self) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._angles: list[str] = []
        self._after = False  # something stands behind the angle brackets
        self.comments: list[str] = []

    def add(self, kind: str | None, token: str) -> None:
        if kind == "angle":
            self._angles.append(token)
        elif not self._angles:
            self._tokens.append((kind or "", token))
        elif kind != "blank":
            self._after = True

    def as_group_name(self) -> list[Mailbox]:
        """Nothing, or nobody where somebody could take the name for an address."""
        suspect = self._angles or any("@" in token for _, token in self._tokens)
        return [Mailbox(self._phrase(), None)] if suspect else []

    def mailboxes(self) -> list[Mailbox]:
        """The mailbox, or none where nothing was written."""
        raw = "".join(token for _, token in self._tokens).strip()
        if not self._angles:
            if not raw:
                return []
            name = decode_words(" ".join(self.comments)).strip()
            address = _address(_AROUND.sub(r"\1", raw))
            return [Mailbox(name if address else self._phrase(), address)]
        inside = self._angles[0]
        name = self._phrase()
        clear = len(self._angles) == 1 and not self._after and inside.endswith(">")
        # an address beside the brackets, outside quotes, would be shown as the sender by some
        bare = "".join(token for kind, token in self._tokens if kind != "quoted")
        clear = clear and "@" not in bare
        return [Mailbox(name, _address(inside[1:-1].strip()) if clear else None)]

    def _phrase(self) -> str:
        words = [_unquote(token) if kind == "quoted" else token for kind, token in self._tokens]
        return _readable("".join(words))


def _readable(phrase: str) -> str:
    return " ".join(decode_words(phrase).split())


def _address(text: str) -> Address | None:
    try:
        return parse(text)
    except AddressError:
        return None


def _unquote(token: str) -> str:
    inside = token[1:-1] if len(token) > 1 and token.endswith('"') else token[1:]
    return re.sub(r"\\(.)", r"\1", inside, flags=re.DOTALL)


def _comment_end(text: str, at: int) -> int:
    """The place after the comment whose opening parenthesis ends at `at`."""
    depth = 1
    for match in _COMMENT_MARK.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0:
            return match.end()
    return len(text) + 1


def _octets(encoding: str, text: str) -> bytes | None:
    data = text.encode("ascii", "replace")
    if encoding in "Qq":
        return binascii.a2b_qp(data, header=True)
    try:
        return binascii.a2b_base64(data + b"=" * (-len(data) % 4))
    except binascii.Error:
        return None


def _text(octets: bytes, charset: str) -> str:
    if not octets:
        return ""
    known = find_charset(charset)
    text = known.decode(octets) if known else None
    return octets.decode("utf-8", "replace") if text is None else text
