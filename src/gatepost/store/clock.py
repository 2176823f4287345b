"""The store's clock: the one time that all gateways on one store agree on.

With SQLite it is the machine's clock. With PostgreSQL it is the server's, measured over the
connection and carried on by a clock that nobody can set, so that a gateway whose own clock is
wrong or is set under way still keeps leases and deadlines like the others.

`elapsed` counts the time in which this machine was asleep, too: after it, what was measured
before is as old as everybody else says. `steady` says the same as a moment, for whoever compares
what happened in this process: a clock that is put back would turn earlier and later round.

*Known limits:* off by up to half a round trip to the server; a slow one is repeated at the next
transaction. A virtual machine that is frozen
from outside does not know, and carries on with an old time until it measures again.
"""

import sys
import time
from datetime import UTC, datetime, timedelta

REFRESH_SECONDS = 30.0
_SOME_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
PROMPT_SECONDS = 1.0  # an answer that took longer says too little about the time


def elapsed() -> float:
    """Seconds since some moment in the past, sleep included; nobody can set it."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def steady() -> datetime:
    """A moment that nobody can set, to be compared with others of this machine alone."""
    return _SOME_MOMENT + timedelta(seconds=elapsed())


class Clock:
    """Tells the time; safe to ask from any thread."""

    def __init__(self) -> None:
        # One tuple, replaced as a whole: readers on other threads never see half of it.
        self._measured: tuple[datetime, float] | None = None
        self._good_until = 0.0

    def now(self) -> datetime:
        """The time, in UTC."""
        measured = self._measured
        if measured is None:
            return datetime.now(UTC)
        moment, at = measured
        return moment + timedelta(seconds=elapsed() - at)

    def is_stale(self) -> bool:
        """Whether a server's time should be measured again."""
        return self._measured is None or elapsed() > self._good_until

    def set(self, moment: datetime, asked_at: float) -> None:
        """Takes the server's `moment`, asked for at `asked_at` of `elapsed`."""
        answered_at = elapsed()
        self._measured = (moment.astimezone(UTC), (asked_at + answered_at) / 2)
        prompt = answered_at - asked_at <= PROMPT_SECONDS
        self._good_until = answered_at + (REFRESH_SECONDS if prompt else 0)
