"""When a copy is tried again (RFC 5321 §4.5.4.1, RQ-2).

In: how often it was tried, when it came, what time it is, and a random number. Out: the time
of the next attempt, or `None` to give up. The second attempt falls into the first hour, the
later ones are two to three hours apart; the random part keeps a queue that was deferred
together from coming back together.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The parameters. Each pause is lengthened at random by up to `spread` of itself.

    `first` follows the first attempt, `steady` every later one.
    """

    first: timedelta = timedelta(minutes=30)
    steady: timedelta = timedelta(hours=2)
    spread: float = 0.5

    def __post_init__(self) -> None:
        if self.first <= timedelta(0) or self.steady <= timedelta(0) or self.spread < 0:
            raise ValueError("pauses are positive, and the spread is not negative")


STANDARD = Schedule()


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
    pause = schedule.first if attempts <= 1 else schedule.steady
    planned = now + pause * (1 + schedule.spread * jitter)
    end = first_at + retry_for
    if planned <= end:
        return planned
    return end if now + pause <= end else None
