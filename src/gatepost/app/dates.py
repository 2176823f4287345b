"""Dates as people write them, in the language of the text they stand in.

In: an aware time, and the language of the template. Out: text by Babel. Times of day are in UTC
and say so: where the reader is, nobody knows.
"""

from datetime import UTC, datetime

from babel import Locale
from babel.dates import format_date, format_datetime
from jinja2 import pass_context
from jinja2.runtime import Context


@pass_context
def day(context: Context, at: datetime) -> str:
    """A Jinja2 filter: `22 November 2026`."""
    return format_date(at.astimezone(UTC), "long", locale=dates_of(context["language"]))


@pass_context
def moment(context: Context, at: datetime) -> str:
    """A Jinja2 filter: the day and the time, with `UTC` behind it."""
    return f"{format_datetime(at, 'long', tzinfo=UTC, locale=dates_of(context['language']))}"


def dates_of(language: str) -> Locale:
    """How dates are written in `language`: with English, day before month, as in Europe."""
    return Locale("en", "GB") if language == "en" else Locale.parse(language)
