"""The two ends of a move: an embedded store or a PostgreSQL, and a connection to either.

In: a URL ("" for the embedded file) and a data_dir. Out: a `Link` for writing, which on an
embedded store has the file lock for as long as a transaction lasts.

*Fails:* `StoreUnavailable` where an embedded store that must be there is not.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Table, func, select, text

from gatepost.store.address import without_secrets
from gatepost.store.clock import Clock
from gatepost.store.connection import PATIENCE_SECONDS, Link, postgresql_engine, sqlite_engine
from gatepost.store.keys import StoreKeys
from gatepost.store.lock import FileLock
from gatepost.store.private import open_own
from gatepost.store.transaction import Tx
from gatepost.store.trouble import StoreUnavailable
from gatepost.store.upkeep import DATABASE, LOCK

EMBEDDED = "embedded"  # what a command calls the store in data_dir


@dataclass(frozen=True, slots=True)
class End:
    """Where a store is, or is to be."""

    url: str
    data_dir: Path

    def __str__(self) -> str:
        """Where it is, without the password."""
        if not self.url:
            return str(self.data_dir / DATABASE)
        return without_secrets(self.url)

    @contextmanager
    def link(self, keys: StoreKeys, *, make: bool = False) -> Iterator[Link]:
        """A connection for writing; `make` makes an embedded file that is missing."""
        if self.url:
            link = Link(postgresql_engine(self.url, writes=True), keys=keys, clock=Clock())
            try:
                yield link
            finally:
                link.close()
            return
        path = self.data_dir / DATABASE
        if make:
            os.close(open_own(path, os.O_RDWR))
        elif not path.exists():
            raise StoreUnavailable(f"there is no store in {self.data_dir}")
        lock = FileLock(self.data_dir / LOCK, patience=PATIENCE_SECONDS)
        link = Link(sqlite_engine(path, writes=True), keys=keys, clock=Clock(), guard=lock)
        try:
            yield link
        finally:
            link.close()
            lock.close()


def keep_others_out(tx: Tx, tables: list[Table]) -> None:
    """From here to the end of the transaction nobody else writes; everybody may read.

    An embedded store is locked already: its transactions for writing are one at a time.
    """
    if tx.dialect == "postgresql":
        # It stands still while the other end is written, compared and verified.
        tx.connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        quote = tx.connection.dialect.identifier_preparer.format_table
        names = ", ".join(quote(table) for table in tables)
        tx.connection.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))


def count_rows(tx: Tx, tables: list[Table]) -> int:
    """How many rows there are in all of these."""
    return sum(
        tx.connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in tables
    )
