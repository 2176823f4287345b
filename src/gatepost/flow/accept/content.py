r"""The content of a message: found in the stream in large pieces, and made plain.

In: segments as they come. Out: the content with CRLF line ends and without dot-stuffing, or
the reason why it is refused. Only CRLF.CRLF ends it, wherever it is cut (R5321-1, RS-1).

Bare CR and LF are either refused or taken for CRLF. Where they are taken for CRLF, a dot after
one is stuffing like any other, except that a lone dot stays: it ended nothing, and the way
out stuffs it again. Content with none of this is held once and never copied: `BytesIO` gives
its buffer away, and `replace` returns what it need not change.

Large content need not be held at all while it comes in: `put_away` moves what is there to a
file without a name, and `finish` reads it back.

*Fails:* never: a file that cannot be written is a `Trouble` like others, told at the end.
*Known limits:* a message with bare newlines is held up to three times while it is repaired.
"""

import os
import re
import tempfile
from enum import Enum, auto
from io import BytesIO, FileIO
from pathlib import Path

_END = b"\r\n.\r\n"
_STUFFED = re.compile(rb"\r\n\.(?!\r\n)")


class Trouble(Enum):
    """Why content is refused."""

    TOO_LARGE = auto()
    NUL = auto()
    BARE_NEWLINE = auto()
    NO_ROOM = auto()  # on the disk


class Content:
    """The content of one message while it comes in. `limit` is in octets (RX-1)."""

    def __init__(self, limit: int, *, reject_bare_newlines: bool) -> None:
        self.complete = False
        self._limit = limit
        # Stuffing does not count; a line of one dot grows the most, from three octets to four.
        self._raw_limit = limit * 4 // 3 + len(_END)
        self._reject_bare_newlines = reject_bare_newlines
        self._held = BytesIO()
        self._file: FileIO | None = None
        self._lost = False  # could not be written to its file
        self._size = 0
        self._tail = b"\r\n"  # DATA's own line end begins an end of data, too

    @property
    def size(self) -> int:
        """The octets that have come so far, as they were on the wire."""
        return self._size

    @property
    def in_memory(self) -> int:
        """The octets that are held in memory."""
        return self._held.tell()

    @property
    def is_put_away(self) -> bool:
        """Whether `finish` will read a file."""
        return self._file is not None

    def feed(self, data: bytes, start: int = 0) -> int:
        """Take `data` from `start` on; the position behind what belongs to the content."""
        end = self._find_end(data, start)
        self.complete = end >= 0
        stop = end if self.complete else len(data)
        self._size += stop - start
        if self._size > self._raw_limit or self._lost:
            self._held, self._file = BytesIO(), None  # go on to the end, but hold nothing
        else:
            self._held.write(data[start:stop] if start or stop < len(data) else data)
        return stop

    def put_away(self, folder: Path) -> None:
        """Moves what is held to a file in `folder` that vanishes with this object."""
        held, self._held = self._held, BytesIO()
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
            _write(self._file, held)
        except OSError:
            self.give_up()

    def give_up(self) -> None:
        """There is no room: what comes is read to its end, and nothing is held any more."""
        self._held, self._file, self._lost = BytesIO(), None, True

    def finish(self) -> bytes | Trouble:
        """The content, once complete. Large content is better finished in a thread."""
        if self._size > self._raw_limit:
            return Trouble.TOO_LARGE
        raw = self._take_out(self._size - len(b".\r\n"))
        if raw is None:
            return Trouble.NO_ROOM
        lines = raw.count(b"\r\n")
        if lines == raw.count(b"\n") and lines == raw.count(b"\r"):
            content = raw.replace(b"\r\n.", b"\r\n")
            content = content[1:] if content.startswith(b".") else content
        elif self._reject_bare_newlines:
            return Trouble.BARE_NEWLINE
        else:
            content = _repair(raw)
        if len(content) > self._limit:
            return Trouble.TOO_LARGE
        return Trouble.NUL if b"\0" in content else content

    def _take_out(self, size: int) -> bytes | None:
        """The first `size` octets, no longer held; `None` if they were lost."""
        held, self._held = self._held, BytesIO()
        file, self._file = self._file, None
        if self._lost:
            return None
        if file is None:
            held.truncate(size)
            return held.getvalue()
        with file:
            try:
                _write(file, held)
                os.ftruncate(file.fileno(), size)
                file.seek(0)
                return file.readall()
            except OSError:
                return None

    def _find_end(self, data: bytes, start: int) -> int:
        """The position behind the end of data, -1 if it is not there yet."""
        seam = (self._tail + data[start : start + 4]).find(_END)
        if seam >= 0:
            return start + seam + len(_END) - len(self._tail)
        found = data.find(_END, start)
        if found >= 0:
            return found + len(_END)
        recent = data[max(start, len(data) - 4) :]
        self._tail = recent if len(recent) == 4 else (self._tail + recent)[-4:]
        return -1


def _write(file: FileIO, held: BytesIO) -> None:
    rest = held.getbuffer()
    while rest:
        rest = rest[file.write(rest) :]


def _repair(raw: bytes) -> bytes:
    plain = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return _STUFFED.sub(b"\r\n", b"\r\n" + plain)[2:]
