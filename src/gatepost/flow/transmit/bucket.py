"""A token bucket for one process's share of an upstream's rate.

Pure: the time is an argument, in seconds.
"""


class Bucket:
    """At most `count` per `seconds`, evenly; one second's worth may go out at once."""

    def __init__(self, count: int, seconds: float) -> None:
        self._interval = seconds / count
        self._tolerance = max(0.0, 1.0 - self._interval)
        self._next = float("-inf")

    def wait(self, now: float) -> float:
        """How long until the next may go, 0.0 for now."""
        return max(0.0, self._next - self._tolerance - now)

    def take(self, now: float) -> None:
        """Counts one that goes now."""
        self._next = max(now, self._next) + self._interval
