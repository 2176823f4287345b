r"""Upstream's replies, cut out of the byte stream (RFC 5321 §4.2).

In: whatever bytes arrive, in any chunks. Out: (code, text) of each complete reply, the lines
of `text` joined by "\n" and still bytes, since most replies are never looked at.

*Fails:* `GarbledError`: a line that is no reply line, is too long, or has another code than the
lines before it; after that nothing can be matched to its command any more.
"""

MAX_LINE = 4096  # RFC 5321 says 512; real servers exceed it with URLs
MAX_REPLY = 65536


class GarbledError(Exception):
    """What upstream said is no SMTP."""


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
        return [reply for line in lines if (reply := self._line(line)) is not None]

    def _line(self, line: bytes) -> tuple[int, bytes] | None:
        if line.endswith(b"\r"):
            line = line[:-1]
        head = line[:3]
        if len(line) > MAX_LINE or len(head) < 3 or not head.isdigit() or head[0] not in b"2345":
            raise GarbledError("a line is no reply")
        code = int(head)
        mark = line[3:4]
        if self._lines and code != self._code:
            raise GarbledError("the code changes within a reply")
        if mark in (b" ", b""):
            if not self._lines:
                return code, line[4:]
            self._lines.append(line[4:])
            text = b"\n".join(self._lines)
            self._lines.clear()
            self._size = 0
            return code, text
        if mark != b"-":
            raise GarbledError("a line is no reply")
        self._code = code
        self._size += len(line)
        if self._size > MAX_REPLY:
            raise GarbledError("a reply is too long")
        self._lines.append(line[4:])
        return None
