"""Whether a store does what it is asked: told by its connections, read by whoever raises alarms.

In: what came of each transaction. Out: the trouble there is, how patient the next attempt is to
be, and `StoreDamaged` for whoever asks a store that must not be used any more.

As long as there is trouble nobody waits for long: the first one waits for the store to come
back, and those behind it are answered at once, so that clients do not pile up.
"""

import threading

from gatepost.store.trouble import StoreDamaged, StoreUnavailable

PATIENCE_SECONDS = 10.0
IMPATIENT_SECONDS = 1.0


class Health:
    """Of the writer or of the readers of one store; safe to ask from any thread."""

    def __init__(self, damage: "Damage") -> None:
        self._damage = damage
        self._door = threading.Lock()
        self._trouble: StoreUnavailable | None = None
        self.failures = 0

    @property
    def trouble(self) -> StoreUnavailable | None:
        """What the last attempt failed with; `None` while all is well."""
        return self._damage.found or self._trouble

    @property
    def patience(self) -> float:
        """How many seconds the next attempt may wait."""
        return PATIENCE_SECONDS if self._trouble is None else IMPATIENT_SECONDS

    def check(self) -> None:
        """Raises `StoreDamaged` once damage was found: nothing is asked of such a store."""
        if self._damage.found is not None:
            raise StoreDamaged(*self._damage.found.args)

    def failed(self, error: StoreUnavailable) -> None:
        """An attempt failed."""
        with self._door:
            self._trouble = error
            self.failures += 1
        if isinstance(error, StoreDamaged):
            self._damage.found = error

    def worked(self) -> None:
        """A transaction was committed that would not have been without a sound store."""
        if self._trouble is not None:
            with self._door:
                self._trouble = None


class Damage:
    """What was found to be damaged, by whichever connection; it lasts as long as the store."""

    found: StoreDamaged | None = None
