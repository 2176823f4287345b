r"""Upstream's replies, cut out of the byte stream (RFC 5321 §4.2).

In: whatever bytes arrive, in any chunks. Out: (code, text) of each complete reply, the lines
of `text` joined by "\n" and still bytes, since most replies are never looked at.

*Fails:* `GarbledError`: a line that is no reply line, is too long, or has another code than the
lines before it; after that nothing can be matched to its command any more.
"""

import re

MAX_LINE = 4096  # RFC 5321 says 512; real servers exceed it with URLs
MAX_REPLY = 65536

# The end of one copy and the opening of the next, as nearly all reads of a mailing have it.
_TURN = re.compile(
    rb"250 ([^\r\n]{0,500})\r\n"
    rb"250 [^\r\n]{0,500}\r\n250 [^\r\n]{0,500}\r\n354 [^\r\n]{0,500}\r\n"
)
_CODES = {b"%d" % code: code for code in range(200, 600)}
_LAST = frozenset({b" ", b"\r", b""})


class GarbledError(Exception):
    """What upstream said is no SMTP."""


def turn(data: bytes) -> bytes | None:
    """The text of the first reply, where `data` is just 250 to content, and 250, 250 and 354.

    `None` where it is anything else; the same replies may then come out of `ReplyReader`.
    """
    found = _TURN.fullmatch(data)
    return found[1] if found else None


class ReplyReader:
    """Collects replies; hands each out once it is complete."""

    __slots__ = ("_code", "_lines", "_rest", "_size")

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []
        self._code = 0
        self._size = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left over from an incomplete reply."""
        return not (self._rest or self._lines)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The replies that `data` completes, in order. Raises `GarbledError`."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MAX_LINE:
            raise GarbledError("a line is too long")
        found = []
        for line in lines:
            text = line[4:-1] if line[-1:] == b"\r" else line[4:]
            code = _CODES.get(line[:3])
            mark = line[3:4]
            if code is None or len(line) > MAX_LINE or (self._lines and code != self._code):
                raise GarbledError("a line is no reply")
            if mark == b"-":
                self._keep(code, text)
            elif mark not in _LAST:
                raise GarbledError("a line is no reply")
            elif self._lines:
                found.append((code, self._all(text)))
            else:
                found.append((code, text))
        return found

    def _keep(self, code: int, text: bytes) -> None:
        self._code = code
        self._size += len(text) + 4
        if self._size > MAX_REPLY:
            raise GarbledError("a reply is too long")
        self._lines.append(text)

    def _all(self, text: bytes) -> bytes:
        whole = b"\n".join([*self._lines, text])
        self._lines.clear()
        self._size = 0
        return whole
