"""How often each of many may: so many at once, and so many again within some time.

Kept in memory and in bounds: the keys asked least recently are forgotten first.

*Known limits:* every worker counts for itself.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

_MOST_KEYS = 20_000


class Pace:
    """A bucket per key: `burst` at once, filled again evenly within `seconds`."""

    def __init__(
        self, burst: int, seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._seconds = seconds
        self._clock = clock
        self._spent: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def allows(self, key: Hashable) -> bool:
        """Whether `key` may once more; takes it into account."""
        now = self._clock()
        spent, at = self._spent.pop(key, (0.0, now))
        spent = max(0.0, spent - (now - at) * self._burst / self._seconds)
        allowed = spent + 1 <= self._burst
        self._spent[key] = (spent + 1 if allowed else spent), now
        if len(self._spent) > _MOST_KEYS:
            self._spent.popitem(last=False)
        return allowed
