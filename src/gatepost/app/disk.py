"""Whether there is room for more mail on the disk of data_dir.

In: looks at the file system, once a second and before anything large. Out: yes or no. New
mail is deferred (`452 4.3.1`) before the disk is full; what `[limits] min_free_disk` leaves is
for those who leave, for the results of mail on its way, and for the ledger. It recovers by
itself. A write-ahead log of SQLite that has grown, because readers kept it from starting
anew, is emptied.

*Fails:* `OSError` where data_dir cannot be asked; the answer of before stands then.
*Known limits:* a PostgreSQL server watches its own disk. A file system that counts no inodes
(btrfs) is not asked for them.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gatepost import houselog
from gatepost.store.engine import Store
from gatepost.store.upkeep import DATABASE

COST = 3  # octets on the disk for each of a large message: in its file, SQLite's log, the store
LARGE = 256 * 1024
LEAST_INODES = 1000
LONG_LOG = 256_000_000


class Disk:
    """The disk under data_dir; `least` says how many octets are to stay free."""

    def __init__(self, folder: Path, least: Callable[[], int], store: Store) -> None:
        self._folder = folder
        self._least = least
        self._store = store
        self._log = folder / f"{DATABASE}-wal"
        self.ok = True

    def has_room(self, octets: int = 0) -> bool:
        """Whether a message of so many octets may come; asks the disk where they are many."""
        if octets < LARGE or not self.ok:
            return self.ok
        try:
            return self._look(octets * COST)
        except OSError:
            return self.ok

    async def watch(self) -> None:
        """Looks, and says when the answer has changed."""
        enough = await asyncio.to_thread(self._look)
        if enough != self.ok:
            houselog.storage_changed(
                enough, path=str(self._folder), free_mb=self._free() // 10**6,
                min_free_disk_mb=self._least() // 10**6,
            )  # fmt: skip
        self.ok = enough
        with suppress(FileNotFoundError):
            if self._log.stat().st_size > min(LONG_LOG, self._least()):
                await asyncio.to_thread(self._store.empty_log)

    def _look(self, octets: int = 0) -> bool:
        found = os.statvfs(self._folder)
        inodes = found.f_favail >= LEAST_INODES or not found.f_files
        return inodes and found.f_bavail * found.f_frsize - octets >= self._least()

    def _free(self) -> int:
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize
