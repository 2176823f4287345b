"""The store's clock: the one time that all gateways on one store agree on.

With SQLite it is the machine's clock. With PostgreSQL it is the server's, measured over the
connection and carried on by the monotonic clock, so that a gateway whose own clock is wrong
or is set under way still keeps leases and deadlines like the others.

*Known limits:* off by up to half a round trip to the server.
"""

import time
from datetime import UTC, datetime, timedelta

REFRESH_SECONDS = 30.0


class Clock:
    """Tells the time; safe to ask from any thread."""

    def __init__(self) -> None:
        # One tuple, replaced as a whole: readers on other threads never see half of it.
        self._measured: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """The time, in UTC."""
        measured = self._measured
        if measured is None:
            return datetime.now(UTC)
        moment, at = measured
        return moment + timedelta(seconds=time.monotonic() - at)

    def is_stale(self) -> bool:
        """Whether a server's time should be measured again."""
        measured = self._measured
        return measured is None or time.monotonic() - measured[1] > REFRESH_SECONDS

    def set(self, moment: datetime, asked_at: float) -> None:
        """Takes the server's `moment`, asked for at the monotonic time `asked_at`."""
        answered_at = time.monotonic()
        self._measured = (moment.astimezone(UTC), (asked_at + answered_at) / 2)
