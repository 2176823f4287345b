"""Says once that the store is in trouble, and once that it is well again.

In: the store, looked at twice a second. Out: the metric and the line that it is back; the lines
about the trouble come from whoever meets it (`houselog.store_unavailable`), at most one a minute
for each kind.
"""

import time

from gatepost import houselog
from gatepost.store.engine import Store


class StoreAlarm:
    """What is known of one store's condition."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._failures = 0
        self._since: float | None = None
        houselog.store_changed(up=True)

    async def look(self) -> None:
        """Compares with the last time."""
        trouble, failures = self._store.trouble, self._store.failures
        if trouble is not None or failures > self._failures:
            if self._since is None:
                self._since = time.monotonic()
                houselog.store_changed(up=False)
            if trouble is not None:
                houselog.store_unavailable("store", trouble, counts=False)
        if trouble is None and self._since is not None:
            houselog.store_changed(up=True, after_seconds=time.monotonic() - self._since)
            self._since = None
        self._failures = failures
