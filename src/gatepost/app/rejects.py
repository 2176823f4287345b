"""Takes people out of the files of rejected rows that imports write beside their input.

The file has the encoding of what was imported, which nobody wrote down. Rows are split on
ASCII alone, so octets serve as letters, and a field is read as UTF-8 where it is that; a file with
zero octets is UTF-16. What remains is written octet for octet, beside the file and then put in
its place, so that it is whole at every moment.

In: a file and the keys of addresses. Out: how many rows went.
*Fails:* never; a file out of reach is told by a number below zero.
*Known limits:* the rejected input itself belongs to whoever imported it. An import that was
broken off and goes on after rows were taken out repeats some rejected rows.
"""

import csv
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from gatepost.mail.address import AddressError, parse

OUT_OF_REACH = -1
_OCTETS = "latin-1"  # every octet is a letter, and comes back as it was
_LOOKED_AT = 4096


def forget(path: Path, keys: Collection[str]) -> int | None:
    """Removes every row that names one of these addresses; how many, `None` without a file.

    `OUT_OF_REACH` where the file can be neither read nor replaced.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        if not path.exists():
            return None
        removed = _copy_without(path, fresh, keys)
        if removed:
            fresh.replace(path)
        else:
            fresh.unlink()
    except (OSError, UnicodeError, csv.Error):
        with suppress(OSError):
            fresh.unlink()
        return OUT_OF_REACH
    return removed


def _copy_without(path: Path, fresh: Path, keys: Collection[str]) -> int:
    csv.field_size_limit(sys.maxsize)
    encoding = _encoding_of(path)
    removed = 0
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with (
        path.open(encoding=encoding, newline="") as given,
        os.fdopen(descriptor, "w", encoding=encoding, newline="") as taken,
    ):
        rows = csv.writer(taken)
        for row in csv.reader(given):
            if _names(row, keys):
                removed += 1
            else:
                rows.writerow(row)
        taken.flush()
        os.fsync(taken.fileno())
    return removed


def _encoding_of(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    if b"\0" not in start:
        return _OCTETS
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    return "utf-16-be" if start.startswith(b"\0") else "utf-16-le"


def _names(row: Sequence[str], keys: Collection[str]) -> bool:
    """Whether a field is one of the addresses, or has one in its text."""
    return any(
        _key_of(text) in keys or any(key in text.casefold() for key in keys)
        for field in row
        if "@" in field
        for text in _readings(field)
    )


def _readings(field: str) -> Iterator[str]:
    yield field
    with suppress(UnicodeError):
        yield field.encode(_OCTETS).decode()


def _key_of(text: str) -> str:
    try:
        return parse(text.strip()).key
    except AddressError:
        return ""
