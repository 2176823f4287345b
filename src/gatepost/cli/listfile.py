"""Files that people bring: lists of addresses, one per line, and CSV with a heading.

In: a path ("-" is stdin). Out: the heading and the rows with their line numbers, read as they
are asked for: a file of any length takes the same memory. The delimiter is found in the
heading (comma, semicolon or tab).

One bad row does not spoil the others: bytes that are not in the file's encoding, a quote that
is never closed, a field without end make a `Row` with a problem, and reading goes on with the
line after the one it began on. Undecodable bytes are kept as lone surrogates, so that they can
be written out as they came (`as_it_came`).

*Fails:* `Refusal` for a file that is no such file, with the line and the cure.
*Known limits:* a field has at most 128 KB, a line 1 MB, a row 500 lines; what is longer is cut
off and is a problem.
"""

import codecs
import csv
import io
import re
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TextIO

from gatepost.cli.desk import Refusal

FIELD_LIMIT = 128 * 1024
LINE_LIMIT = 1024 * 1024
ROW_LINES = 500  # a quote that is open for longer was never closed
ADDRESS_COLUMNS = ("address", "email", "e-mail", "email address", "e-mail address")

_DELIMITERS = ",;\t"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_MARK = "gatepost-mark"
_MARKED = 0xDC00
_UNREADABLE = re.compile("[\udc80-\udcff]")


class Row(NamedTuple):
    """One row, and the line it begins on. `problem` says why its fields are not to be used."""

    line: int
    fields: list[str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """An open CSV file: its heading, and its rows."""

    name: str
    heading: tuple[str, ...]
    delimiter: str
    encoding: str
    _lines: "_Lines"

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row that is not blank, with its line. Raises `Refusal` for one with a problem."""
        for row in self.records():
            if row.problem:
                raise Refusal(f"{self.name} line {row.line}: {row.problem}")
            yield row.line, row.fields

    def records(self) -> Iterator[Row]:
        """Each row that is not blank."""
        lines, delimiter = self._lines, self.delimiter
        while line := lines.take():
            number = lines.count
            if '"' in line:
                fields, problem = self._quoted(line)
            else:
                fields, problem = line.rstrip("\r\n").split(delimiter), ""
            if any(fields):
                if not problem and (len(line) > FIELD_LIMIT or not line.isascii() or "\0" in line):
                    problem = self._problem(line, fields)
                yield Row(number, fields, problem)

    def _quoted(self, line: str) -> tuple[list[str], str]:
        """A row with quotes, which may go on for lines; what it took in vain is given back."""
        taken = [line]
        try:
            fields = next(csv.reader(self._more(taken), delimiter=self.delimiter, strict=True))
        except csv.Error as error:
            self._lines.give_back(taken[1:])
            if "field limit" in str(error) and len(line) > FIELD_LIMIT:
                problem = self._problem(line, fields := line.split(self.delimiter))
                return fields, problem
            fields = [field[:FIELD_LIMIT] for field in line.rstrip("\r\n").split(self.delimiter)]
            return fields, "a quote is missing or out of place"
        whole = "".join(taken) if len(taken) > 1 else ""
        return fields, self._problem(whole, fields) if whole else ""

    @staticmethod
    def _cut(fields: list[str]) -> list[str]:
        return [field[:FIELD_LIMIT] for field in fields]

    def _more(self, taken: list[str]) -> Iterator[str]:
        yield taken[0]
        while len(taken) < ROW_LINES and (line := self._lines.take()):
            taken.append(line)
            yield line

    def _problem(self, text: str, fields: list[str]) -> str:
        """What is wrong with a row that could be taken apart; its fields are cut to size."""
        if any(len(field) > FIELD_LIMIT for field in fields):
            fields[:] = self._cut(fields)
            return f"a field is longer than {FIELD_LIMIT // 1024} KB, and was cut off here"
        if len(text) >= LINE_LIMIT:
            return f"the line is longer than {LINE_LIMIT // 1024} KB, and was cut off here"
        if "\0" in text:
            return "the row holds a NUL character: is the file UTF-16? Then say --encoding utf-16"
        found = _UNREADABLE.search(text)
        return unreadable(found.group(), self.encoding) if found else ""


class _Lines:
    """Lines of a text file, counted. What is longer than a line can be is cut off."""

    def __init__(self, file: TextIO, name: str, encoding: str) -> None:
        self._readline, self.name, self.encoding = file.readline, name, encoding
        self._again: deque[str] = deque()
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        while line := self.take():
            yield line

    def take(self) -> str:
        """The next line, "" at the end."""
        if self._again:
            self.count += 1
            return self._again.popleft()
        try:
            line = self._readline(LINE_LIMIT)
        except UnicodeError as error:  # UTF-16 without the mark that says which
            raise Refusal(f"{self.name}: not in {self.encoding}: {error}") from error
        if line:
            self.count += 1
            if len(line) == LINE_LIMIT and line[-1] not in "\r\n":
                self._skip_rest()
        return line

    def give_back(self, lines: Sequence[str]) -> None:
        """Takes back what was taken last."""
        self._again.extendleft(reversed(lines))
        self.count -= len(lines)

    def _skip_rest(self) -> None:
        while more := self._readline(LINE_LIMIT):
            if more[-1] in "\r\n":
                return


def unreadable(mark: str, encoding: str) -> str:
    """What to say of a byte that is not in the file's encoding."""
    return (
        f"not in {encoding}: byte 0x{ord(mark) - _MARKED:02X} cannot be read. Save the file as "
        "UTF-8, or say how it is encoded, such as --encoding windows-1252"
    )


def as_it_came(text: str, encoding: str) -> bytes:
    """`text` as bytes of the file, those that could not be read as they were.

    In UTF-8, where the file's encoding is none that goes on from ASCII.
    """
    return text.encode(encoding_beside(encoding), _MARK)


def encoding_beside(encoding: str) -> str:
    """The encoding of a file beside one in `encoding`: the same, or UTF-8 in place of UTF-16."""
    return encoding if "a,1".encode(encoding) == b"a,1" else "utf-8"


def _mark(error: UnicodeError) -> tuple[str | bytes, int]:
    """Lone surrogates in place of bytes that cannot be read, and the bytes in place of these."""
    if isinstance(error, UnicodeDecodeError):
        wrong = error.object[error.start : error.end]
        return "".join(chr(_MARKED + one if one >= 0x80 else one) for one in wrong), error.end
    if isinstance(error, UnicodeEncodeError):
        text = error.object[error.start : error.end]
        return b"".join(
            bytes([ord(one) - _MARKED]) if _UNREADABLE.match(one) else b"?" for one in text
        ), error.end
    raise error


codecs.register_error(_MARK, _mark)


@contextmanager
def open_sheet(path: Path, encoding: str = "utf-8") -> Iterator[Sheet]:
    """A CSV file and its heading. Raises `Refusal`."""
    with _open(path, encoding) as lines:
        heading, delimiter = _heading(lines)
        yield Sheet(str(path), heading, delimiter, lines.encoding, lines)


def addresses_in(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """The addresses of a list or of a CSV file's address column, with their lines."""
    with _open(path, encoding) as lines:
        heading, delimiter = _heading(lines)
        place = address_column(heading)
        if place is None and len(heading) > 1:
            raise Refusal(
                f"{path}: no address column among {', '.join(heading)}: name one address, "
                "or give a list with one address per line"
            )
        if place is not None:
            for line, row in Sheet(str(path), heading, delimiter, lines.encoding, lines).rows():
                yield line, row[place].strip() if place < len(row) else ""
            return
        for number, text in enumerate(chain(heading, lines), lines.count):
            if text.strip():
                _check_readable(text, lines, number)
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
                io.TextIOWrapper(sys.stdin.buffer, encoding=encoding, errors=_MARK, newline=""),
                "stdin",
                shown,
            )
            return
        with path.open("rb") as binary:  # opened once, and looked at without reading: for pipes
            if binary.peek(2)[:2] in _UTF16_MARKS and shown == "UTF-8":
                raise Refusal(f"{path}: the file is UTF-16: save it as UTF-8, or --encoding utf-16")
            file = io.TextIOWrapper(binary, encoding=encoding, errors=_MARK, newline="")
            yield _Lines(file, str(path), shown)
    except OSError as error:
        if error.filename != str(path):
            raise
        raise Refusal(f"{path}: {error.strerror}") from error


def _heading(lines: _Lines) -> tuple[tuple[str, ...], str]:
    """The first line that is not blank, split; and by what it was split."""
    while line := lines.take():
        if line.strip():
            _check_readable(line, lines, lines.count)
            delimiter = max(_DELIMITERS, key=line.count)
            try:
                (fields,) = csv.reader([line.strip("\r\n")], delimiter=delimiter)
            except csv.Error as error:
                raise Refusal(f"{lines.name} line {lines.count}: {error}") from error
            return tuple(field.strip() for field in fields), delimiter
    raise Refusal(f"{lines.name}: the file is empty: the first line names the columns")


def _check_readable(text: str, lines: _Lines, number: int) -> None:
    if not text.isascii() and (found := _UNREADABLE.search(text)):
        raise Refusal(f"{lines.name} line {number}: {unreadable(found.group(), lines.encoding)}")
