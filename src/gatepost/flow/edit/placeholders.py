"""Where placeholders stand in a body, however a composing tool wrote them down.

Composing tools change what is typed: a scheme is put before what looks like a host, signs become
percent-encoded or references, blanks come in and lines are broken. All of that is still the
placeholder. So is a link of ours with a token: whoever makes a mailing of a copy that came to
himself must not send his own link to everybody.

In: the decoded content of a part. Out: where placeholders stand in it and what they mean.

*Fails:* never.
*Known limits:* markup inside a placeholder hides it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gatepost.mail.placeholder import MEANINGS, Spellings

Links = Sequence[tuple[str, int, str]]  # (what stands before the token, its octets, meaning)

_OWN = tuple(
    (opening + name + closing, name)
    for name in MEANINGS
    for opening, closing in (("{{{", "}}}"), ("{{", "}}"))
)
_SIGN = re.compile(r"[^\sA-Za-z0-9_]")
_TOKEN = re.compile(r"[A-Za-z0-9_]+|[^\sA-Za-z0-9_]")
_BLANKS = r"(?:[ \t]|\r?\n|%20|&nbsp;){0,4}"
_LOOK_BACK = 128  # octets; no placeholder has more before its longest word
_TOKEN_RUN = re.compile(rb"[A-Za-z0-9_-]+")
_SCHEME = re.compile(rb"(?:^|[^A-Za-z0-9])(https?://)\Z", re.IGNORECASE)
_NAMED = {
    "<": "lt", ">": "gt", "&": "amp", '"': "quot", "{": "lcub", "}": "rcub", "[": "lsqb",
    "]": "rsqb", "|": "vert", "*": "ast", "%": "percnt", ":": "colon",
}  # fmt: skip


def find_placeholders(
    data: bytes, further: Spellings = (), links: Links = ()
) -> list[tuple[int, int, str]]:
    """Start, stop and meaning of each placeholder, our own and `further` ones, and of `links`.

    Looked for by their longest word, which is nearly always absent; linear in the size.
    """
    lowered = data.lower()
    found = [
        place
        for word, shapes in _compiled(further)
        for at in _places(lowered, word)
        for shape in shapes
        if (place := shape.around(data, at, at + len(word)))
    ]
    for base, octets, meaning in links:
        found += [(*place, meaning) for place in _links(data, base.encode(), octets)]
    return list(_apart(sorted(found, key=lambda one: (one[0], -one[1]))))


def _links(data: bytes, base: bytes, octets: int) -> Iterator[tuple[int, int]]:
    """Where `base` is followed by a token of so many octets."""
    for at in _places(data, base):
        token = _TOKEN_RUN.match(data, at + len(base))
        if token and token.end() - token.start() == octets:
            yield at, token.end()


def _places(lowered: bytes, word: bytes) -> Iterator[int]:
    at = lowered.find(word)
    while at >= 0:
        yield at
        at = lowered.find(word, at + len(word))


def _apart(found: Sequence[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    """Of those that overlap, the one that begins first and is the longest."""
    end = 0
    for start, stop, meaning in found:
        if start >= end:
            yield start, stop, meaning
            end = stop


@dataclass(frozen=True, slots=True)
class _Shape:
    """What stands before and after the longest word of one spelling."""

    before: re.Pattern[bytes]
    after: re.Pattern[bytes]
    meaning: str

    def around(self, data: bytes, at: int, end: int) -> tuple[int, int, str] | None:
        """The placeholder whose longest word is [at, end) of `data`, if it is one."""
        after = self.after.match(data, end)
        before = self.before.search(data, max(0, at - _LOOK_BACK), at) if after else None
        if after is None or before is None:
            return None
        scheme = _SCHEME.search(data, max(0, before.start() - 9), before.start())
        return scheme.start(1) if scheme else before.start(), after.end(), self.meaning


@lru_cache(maxsize=64)
def _compiled(further: Spellings) -> Sequence[tuple[bytes, Sequence[_Shape]]]:
    """The longest words of all spellings, and for each the shapes it is met in."""
    shapes: dict[bytes, list[_Shape]] = {}
    for spelling, meaning in dict([*_OWN, *further]).items():
        tokens = _TOKEN.findall(spelling)
        place = max(range(len(tokens)), key=lambda at: len(tokens[at]))
        before = re.compile((_pattern(tokens[:place]) + _BLANKS + r"\Z").encode(), re.IGNORECASE)
        after = re.compile((_BLANKS + _pattern(tokens[place + 1 :])).encode(), re.IGNORECASE)
        word = tokens[place].lower().encode()
        shapes.setdefault(word, []).append(_Shape(before, after, meaning))
    return tuple(shapes.items())


def _pattern(tokens: Sequence[str]) -> str:
    """A pattern for `tokens`, however a composing tool wrote them down."""
    return "".join(
        _sign(token) if _SIGN.fullmatch(token) else _BLANKS + token + _BLANKS for token in tokens
    )


def _sign(sign: str) -> str:
    """One sign as itself, percent-encoded, or as an HTML reference."""
    code = ord(sign)
    spelled = [f"%{code:02x}", f"&\\#0{{0,4}}{code};", f"&\\#x0{{0,4}}{code:x};"]
    named = [f"&{_NAMED[sign]};"] if sign in _NAMED else []
    return "(?:" + "|".join([*spelled, *named, re.escape(sign)]) + ")"
