"""The file of rows that an import refused: line, reason, and the row as it came.

It is opened before anything is recorded, so that a place that cannot be written to is told
first; without a refused row nothing stays. Rows are written before the batch they belong to
is committed, at a known place: whoever goes on after a crash cuts off what was not.

In: rows. Out: a CSV file in the encoding of the import, readable by its owner alone.
*Fails:* `Refusal` for a place that is the import file itself; `OSError`.
"""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from gatepost.cli.desk import Refusal
from gatepost.cli.listfile import as_it_came


class Refused(NamedTuple):
    """One row, and why it is refused."""

    line: int
    reason: str
    fields: Sequence[str]


class Rejects:
    """The open file."""

    def __init__(self, path: Path, imported: Path, encoding: str) -> None:
        if path.absolute() == imported.absolute():
            raise Refusal("--rejects names the file that is imported")
        self._path, self._encoding = path, encoding
        self._heading: bytes = b""

    def __enter__(self) -> Self:
        """Itself, open; what an earlier import left is still there."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        self.found = os.fstat(self._descriptor).st_size
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the file, and removes it where nothing was refused."""
        size = os.fstat(self._descriptor).st_size
        os.close(self._descriptor)
        if not size:
            self._path.unlink(missing_ok=True)

    def start(self, heading: Sequence[str], size: int) -> None:
        """Goes on behind the first `size` bytes; 0 is a new file."""
        self._heading = self._lines([("line", "reason", *heading)])
        os.ftruncate(self._descriptor, size)

    def as_bytes(self, refused: Iterable[Refused], place: int) -> bytes:
        """The lines for these rows; at the beginning of the file the heading, too."""
        lines = self._lines((one.line, one.reason, *one.fields) for one in refused)
        return self._heading + lines if lines and not place else lines

    def put(self, lines: bytes, place: int) -> None:
        """Writes lines at their place; again is the same as once."""
        while lines:
            written = os.pwrite(self._descriptor, lines, place)
            lines, place = lines[written:], place + written

    def _lines(self, rows: Iterable[Sequence[object]]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        return as_it_came(text.getvalue(), self._encoding)
