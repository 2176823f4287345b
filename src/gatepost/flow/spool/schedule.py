"""When a copy is tried again (RFC 5321 §4.5.4.1, RQ-2).

In: how often it was tried, when it came, what time it is, and a random number. Out: the time
of the next attempt, or `None` to give up. The second attempt falls into the first hour, the
later ones are two to three hours apart; the random part keeps a queue that was deferred
together from coming back together.

Where the trouble was upstream's and not the mail's (`UPSTREAMS_FAULT`), the pauses begin with
seconds and double: an upstream that was restarted gets its mail at once, and a copy that breaks
every connection is soon as rare as any other.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The parameters. Each pause is lengthened at random by up to `spread` of itself.

    `first` follows the first attempt; each later pause is `factor` times the one before, up to
    `steady`.
    """

    first: timedelta = timedelta(minutes=30)
    steady: timedelta = timedelta(hours=2)
    factor: int = 4
    spread: float = 0.5

    def __post_init__(self) -> None:
        if self.first <= timedelta(0) or self.steady <= timedelta(0) or self.spread < 0:
            raise ValueError("pauses are positive, and the spread is not negative")
        if self.factor < 1:
            raise ValueError("pauses do not get shorter")

    def pause(self, attempts: int) -> timedelta:
        """The pause after so many attempts, without its random part."""
        growth: int = self.factor ** min(max(attempts, 1) - 1, _ENOUGH)
        return min(self.first * growth, self.steady)


_ENOUGH = 12  # later pauses are steady ones, and no number overflows
STANDARD = Schedule()
UPSTREAMS_FAULT = Schedule(first=timedelta(seconds=15), factor=2)


def next_attempt(
    attempts: int,
    first_at: datetime,
    now: datetime,
    retry_for: timedelta,
    jitter: float,
    *,
    schedule: Schedule = STANDARD,
) -> datetime | None:
    """The time of the next attempt after `attempts` (at least one) have been made.

    `first_at` is when the copy was accepted; `jitter` is in [0, 1). A last attempt is made
    when `retry_for` is over, if that is a whole pause away; after it the answer is `None`.
    """
    pause = schedule.pause(attempts)
    planned = now + pause * (1 + schedule.spread * jitter)
    end = first_at + retry_for
    if planned <= end:
        return planned
    return end if now + pause <= end else None
