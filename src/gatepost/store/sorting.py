"""Rows in order, however many there are: they wait in a private temporary database on disk.

In: a sort key and texts. Out: the rows by key, then in the order they came. The database has no
name, takes a few megabytes of memory, and is gone with the connection.

*Fails:* `sqlite3.Error` where there is no room for temporary files.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Self


class Sorting:
    """Rows that are put into order. For one thread at a time."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA cache_size=-8192")
        self._connection.execute("CREATE TABLE line (key TEXT, fields TEXT)")

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Forgets everything."""
        self._connection.close()

    def add(self, rows: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Some more rows, each with its key."""
        self._connection.execute("BEGIN")
        self._connection.executemany(
            "INSERT INTO line VALUES (?, ?)", ((key, json.dumps(row)) for key, row in rows)
        )
        self._connection.execute("COMMIT")

    def __iter__(self) -> Iterator[list[str]]:
        """Every row, by its key."""
        found = self._connection.execute("SELECT fields FROM line ORDER BY key, rowid")
        for (fields,) in found:
            yield json.loads(fields)
