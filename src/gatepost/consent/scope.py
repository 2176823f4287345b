"""What a consent is limited to: channels and product categories (JU-13, JU-14).

In: names, casefolded where they are compared. Out: whether one is within the others.
"""

from collections.abc import Iterable

MAIL = "e-mail"


def is_covered(category: str, scope: Iterable[str]) -> bool:
    """A category covers itself and what is below it: "shoes" covers "shoes/running"."""
    return any(category == one or category.startswith(f"{one}/") for one in scope)


def off_channels(channels: Iterable[str]) -> str:
    """The channels that a consent is for, where mail is not among them; else ""."""
    named = tuple(channels)
    return "" if MAIL in named else ",".join(named)
