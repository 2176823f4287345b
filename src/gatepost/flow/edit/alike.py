"""Texts that come again: what was made of one is made once.

A mailer that sends each recipient a message of its own sends the same text, or nearly the same
parts, thousands of times. What an edit depends on is the key; what it came to is kept, with
offsets that count from where the text begins.

In: keys that say everything an outcome depends on. Out: the outcome, or `None`.

*Known limits:* texts of more than `MOST_OCTETS` are not kept; of the others the `MOST_TEXTS` that
were asked for last.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

MOST_TEXTS = 128
MOST_OCTETS = 32 * 1024

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Alike(Generic[K, V]):
    """What is known of texts that came before. Threads may share it."""

    def __init__(self) -> None:
        self._known: OrderedDict[K, V] = OrderedDict()
        self._door = threading.Lock()

    def find(self, key: K) -> V | None:
        """What was kept under `key`."""
        with self._door:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
            return found

    def keep(self, key: K, outcome: V) -> None:
        """Keeps `outcome`, and lets go of what was not asked for in the longest time."""
        with self._door:
            self._known[key] = outcome
            if len(self._known) > MOST_TEXTS:
                self._known.popitem(last=False)
