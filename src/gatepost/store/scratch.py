"""Facts that would be recorded: what a dry run has to remember, on disk.

A dry run must see its own rows as the real run would: a withdrawal further up the file, an
act that was there before. They are kept in a private temporary database, which has no name,
takes a few megabytes of memory however many there are, and is gone with the connection.

In: facts by `Address.key`. Out: the same, in the order they came.
*Fails:* `sqlite3.Error` where there is no room for temporary files.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Self

from gatepost.consent.evidence import Fact

_LIST = 500  # keys in one question


class Scratch:
    """Facts about people, as if they were recorded. For one thread at a time."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA cache_size=-8192")
        self._connection.execute("CREATE TABLE fact (key TEXT, payload BLOB)")
        self._connection.execute("CREATE INDEX fact_key ON fact (key)")

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Forgets everything."""
        self._connection.close()

    def add(self, facts: Iterable[tuple[str, Fact]]) -> None:
        """Some more, by key."""
        self._connection.execute("BEGIN")
        self._connection.executemany(
            "INSERT INTO fact VALUES (?, ?)", ((key, fact.payload()) for key, fact in facts)
        )
        self._connection.execute("COMMIT")

    def facts(self, keys: Sequence[str]) -> dict[str, list[Fact]]:
        """What was added for these keys."""
        found: dict[str, list[Fact]] = {}
        for start in range(0, len(keys), _LIST):
            portion = keys[start : start + _LIST]
            marks = ",".join("?" * len(portion))
            sql = f"SELECT key, payload FROM fact WHERE key IN ({marks}) ORDER BY rowid"  # noqa: S608
            for key, payload in self._connection.execute(sql, portion):
                found.setdefault(key, []).append(Fact.from_payload(payload))
        return found
