"""Takes people out of the files of rejected rows that imports write beside their input.

In: a file and the keys of addresses. Out: how many rows went. The file is written anew beside
itself and put in its place, so that it is whole at every moment.
*Fails:* never; a file out of reach is told by a number below zero.
*Known limits:* the rejected input itself belongs to whoever imported it.
"""

import csv
import os
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from gatepost.mail.address import AddressError, parse

OUT_OF_REACH = -1


def forget(path: Path, keys: Collection[str]) -> int | None:
    """Removes every row with one of these addresses; how many, `None` if there is no file.

    `OUT_OF_REACH` where the file can be neither read nor replaced.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        if not path.exists():
            return None
        csv.field_size_limit(sys.maxsize)
        removed = 0
        mode = path.stat().st_mode & 0o777
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with (
            path.open(encoding="utf-8", newline="") as given,
            os.fdopen(descriptor, "w", encoding="utf-8", newline="") as taken,
        ):
            rows = csv.writer(taken)
            for row in csv.reader(given):
                if _names(row, keys):
                    removed += 1
                else:
                    rows.writerow(row)
        if removed:
            fresh.replace(path)
        else:
            fresh.unlink()
    except (OSError, UnicodeError, csv.Error):
        with suppress(OSError):
            fresh.unlink()
        return OUT_OF_REACH
    return removed


def _names(row: Sequence[str], keys: Collection[str]) -> bool:
    """Whether a field is, or an ordinary text holds, one of the addresses."""
    return any(_key_of(text) in keys for text in row if "@" in text) or any(
        key in text.casefold() for text in row if "@" in text for key in keys
    )


def _key_of(text: str) -> str:
    try:
        return parse(text.strip()).key
    except AddressError:
        return ""
