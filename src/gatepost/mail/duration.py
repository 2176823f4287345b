"""Calendar-true durations: `"18 months"`, `"2 years"`, `"24 h"`.

Months and years are counted on the calendar, in UTC; 29 February falls back to the 28th
(REQUIREMENTS A1). Days and shorter are exact. "Never" and "unlimited" are `None` wherever
a duration may be absent.

*Fails:* `DurationError` for a text that is no duration.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_TEXT = re.compile(r"\s*(\d{1,6})\s*([A-Za-z]+)\s*")
_MONTHS = {"month": 1, "months": 1, "year": 12, "years": 12, "y": 12}
_SECONDS = {
    "s": 1, "second": 1, "seconds": 1,
    "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400,
    "week": 604800, "weeks": 604800,
}  # fmt: skip


class DurationError(ValueError):
    """The text is no duration."""


@dataclass(frozen=True, slots=True)
class Duration:
    """So many calendar months, and so many seconds on top."""

    months: int = 0
    seconds: int = 0

    def after(self, moment: datetime) -> datetime:
        """The moment this much later than `moment`, at most the last one of the calendar."""
        try:
            return _add_months(moment, self.months) + timedelta(seconds=self.seconds)
        except OverflowError:
            return datetime.max.replace(tzinfo=moment.tzinfo)

    def before(self, moment: datetime) -> datetime:
        """The moment this much earlier than `moment`."""
        return _add_months(moment, -self.months) - timedelta(seconds=self.seconds)

    @property
    def approximate_seconds(self) -> int:
        """The length for comparing and for timers, a month counted as 30 days."""
        return self.months * 30 * 86400 + self.seconds

    def __str__(self) -> str:
        """The text that `parse` reads back to the same duration."""
        if self.months and not self.seconds:
            years, months = divmod(self.months, 12)
            return _count(years, "year") if not months else _count(self.months, "month")
        for length, unit in ((86400, "day"), (3600, "h"), (60, "min")):
            if self.seconds and self.seconds % length == 0:
                count = self.seconds // length
                return _count(count, unit) if unit == "day" else f"{count} {unit}"
        return f"{self.seconds} s"


def parse(text: str) -> Duration:
    """The duration that `text` says, such as `"18 months"` or `"24 h"`.

    Raises `DurationError`.
    """
    match = _TEXT.fullmatch(text)
    if match:
        count, unit = int(match.group(1)), match.group(2).lower()
        if unit in _MONTHS:
            return Duration(months=count * _MONTHS[unit])
        if unit in _SECONDS:
            return Duration(seconds=count * _SECONDS[unit])
    raise DurationError('write a number and a unit, such as "18 months", "5 days" or "24 h"')


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _add_months(moment: datetime, months: int) -> datetime:
    if not months:
        return moment
    years, month = divmod(moment.month - 1 + months, 12)
    year = min(max(moment.year + years, 1), 9999)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)
