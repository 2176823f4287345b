"""Files that people bring: lists of addresses, one per line, and CSV with a heading.

In: a path ("-" is stdin). Out: the heading and the rows with their line numbers, read as they
are asked for: a file of any length takes the same memory. The delimiter is found in the
heading (comma, semicolon or tab).

*Fails:* `Refusal` for a file that is no such file, with the line and the cure.
*Known limits:* a field has at most 128 KB, so that a missing quote is noticed.
"""

import codecs
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

from gatepost.cli.desk import Refusal

FIELD_LIMIT = 128 * 1024
ADDRESS_COLUMNS = ("address", "email", "e-mail", "email address", "e-mail address")

_DELIMITERS = ",;\t"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Sheet:
    """An open CSV file: its heading, and its rows."""

    name: str
    heading: tuple[str, ...]
    delimiter: str
    _lines: "_Lines"

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row that is not blank, with the number of the line it ends on."""
        reader = csv.reader(self._lines, delimiter=self.delimiter)
        before = self._lines.count
        try:
            for row in reader:
                if any(row):
                    yield before + reader.line_num, row
        except csv.Error as error:
            raise Refusal(
                f"{self.name} line {before + reader.line_num}: {error}: "
                "is a quote missing? Correct the line, or take it out"
            ) from error


class _Lines:
    """Lines of a text file, counted; what is not in its encoding is said with its place."""

    def __init__(self, file: TextIO, name: str, encoding: str) -> None:
        self._file, self._name, self._encoding = file, name, encoding
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        while line := self.take():
            yield line

    def take(self) -> str:
        """The next line, "" at the end."""
        try:
            return self._file.readline()
        except UnicodeDecodeError as error:
            raise Refusal(
                f"{self._name}: not in {self._encoding}: byte 0x{error.object[error.start]:02X} "
                "cannot be read. Save the file as UTF-8, or say how it is encoded, "
                "such as --encoding windows-1252"
            ) from error


@contextmanager
def open_sheet(path: Path, encoding: str = "utf-8") -> Iterator[Sheet]:
    """A CSV file and its heading. Raises `Refusal`."""
    with _open(path, encoding) as lines:
        heading, delimiter = _heading(lines, str(path))
        yield Sheet(str(path), heading, delimiter, lines)


def addresses_in(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """The addresses of a list or of a CSV file's address column, with their lines."""
    with _open(path, encoding) as lines:
        heading, delimiter = _heading(lines, str(path))
        place = address_column(heading)
        if place is None and len(heading) > 1:
            raise Refusal(
                f"{path}: no address column among {', '.join(heading)}: name one address, "
                "or give a list with one address per line"
            )
        if place is not None:
            for line, row in Sheet(str(path), heading, delimiter, lines).rows():
                yield line, row[place].strip() if place < len(row) else ""
            return
        for number, text in enumerate(chain(heading, lines), lines.count):
            if text.strip():
                yield number, text.strip()


def address_column(heading: Sequence[str]) -> int | None:
    """Where the addresses are; `None` for a heading that does not say."""
    names = [name.casefold() for name in heading]
    return next((names.index(name) for name in ADDRESS_COLUMNS if name in names), None)


@contextmanager
def _open(path: Path, encoding: str) -> Iterator[_Lines]:
    csv.field_size_limit(FIELD_LIMIT)
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise Refusal(f"there is no encoding {encoding!r}") from error
    encoding = "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding
    shown = "UTF-8" if encoding == "utf-8-sig" else encoding
    try:
        if str(path) == "-":
            yield _Lines(
                io.TextIOWrapper(sys.stdin.buffer, encoding=encoding, newline=""), "stdin", shown
            )
            return
        with path.open("rb") as binary:
            if binary.read(2) in _UTF16_MARKS and shown == "UTF-8":
                raise Refusal(f"{path}: the file is UTF-16: save it as UTF-8, or --encoding utf-16")
        with path.open(encoding=encoding, newline="") as file:
            yield _Lines(file, str(path), shown)
    except OSError as error:
        if error.filename != str(path):
            raise
        raise Refusal(f"{path}: {error.strerror}") from error


def _heading(lines: _Lines, name: str) -> tuple[tuple[str, ...], str]:
    """The first line that is not blank, split; and by what it was split."""
    while line := lines.take():
        lines.count += 1
        if line.strip():
            delimiter = max(_DELIMITERS, key=line.count)
            (fields,) = csv.reader([line.strip("\r\n")], delimiter=delimiter)
            return tuple(field.strip() for field in fields), delimiter
    raise Refusal(f"{name}: the file is empty: the first line names the columns")
