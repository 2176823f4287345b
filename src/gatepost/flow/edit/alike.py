"""Texts that come again: what was made of one is made once.

A mailer that sends each recipient a message of its own sends the same text, or nearly the same
parts, thousands of times. What an edit depends on is the key; what it came to is kept, with
offsets that count from where the text begins.

In: keys that say everything an outcome depends on. Out: the outcome, or `None`.

Threads share it without a lock: the worst that can come of a race is to make something twice.

*Known limits:* texts of more than `MOST_OCTETS` are not kept; of the others those that were
asked for lately, at least `MOST_TEXTS` and at most twice as many.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

MOST_TEXTS = 100
MOST_OCTETS = 32 * 1024

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Alike(Generic[K, V]):
    """What is known of texts that came before, in two generations."""

    def __init__(self) -> None:
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def find(self, key: K) -> V | None:
        """What was kept under `key`."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.keep(key, found)
        return found

    def keep(self, key: K, outcome: V) -> None:
        """Keeps `outcome`, and lets go of what was not asked for in a long time."""
        if len(self._young) >= MOST_TEXTS:
            self._old, self._young = self._young, {}
        self._young[key] = outcome
