"""The bases on which somebody may be mailed: how strong each is and how long it lasts.

One table, `BUILT_IN`, in the words of the import files. Out: `Bases`, the table as one
installation uses it; the configuration can only make it stricter (HS-26).

*Fails:* `ValueError`, with what to write instead, where a setting would make a basis weaker.
*Known limits:* the lifetimes are those of the source documents; a country's shorter terms
(Canada's six months for an inquiry, L-CA-2) are for `Bases.stricter`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from types import MappingProxyType

from gatepost.mail.duration import Duration

TWO_YEARS = Duration(months=24)


class Strength(Enum):
    """What a basis is worth, from nothing to everything."""

    FORBIDDEN = 0  # never counts, whatever the list claims (HS-14)
    UNVERIFIED = 1  # never enough alone: nobody can verify it (HS-20, HS-22, HS-24)
    IMPLIED = 2  # an act for a business purpose; marketing was not wanted explicitly (HS-3)
    SOFT_OPT_IN = 3  # the existing-customer exception, when complete (WP-8, L-DK-2)
    EXPLICIT = 4  # a consent that was given as such (HS-4)


@dataclass(frozen=True, slots=True)
class Basis:
    """One row of the table.

    `lifetime` runs from the act (HS-7), `None` is for ever; with `while_active` it runs from the
    last use of the service instead (HS-10). `reconfirm` asks for a new confirmation without
    demanding it (HS-23); with `from_end` it runs from the end of what was agreed, where that is
    known (A1). `rules` names the requirements behind the row.
    """

    name: str
    strength: Strength
    rules: str
    lifetime: Duration | None = None
    while_active: bool = False
    reconfirm: bool = False
    from_end: bool = False

    @property
    def never_counts(self) -> bool:
        """Whether no mail can rest on this basis alone."""
        return self.strength is Strength.FORBIDDEN or self.strength is Strength.UNVERIFIED


def _explicit(name: str, rules: str) -> Basis:
    return Basis(name, Strength.EXPLICIT, rules)


def _implied(name: str, rules: str) -> Basis:
    return Basis(name, Strength.IMPLIED, rules, lifetime=TWO_YEARS)


def _unverified(name: str, rules: str) -> Basis:
    return Basis(name, Strength.UNVERIFIED, rules)


def _forbidden(name: str, rules: str) -> Basis:
    return Basis(name, Strength.FORBIDDEN, rules)


BUILT_IN = (
    _explicit("form-checkbox", "HS-4"),
    _explicit("newsletter-form", "HS-11"),
    _explicit("double-opt-in", "HS-4, JU-17"),
    _explicit("written", "HS-4"),
    _explicit("paper-form", "HS-11"),
    Basis("customer", Strength.SOFT_OPT_IN, "WP-8, HS-7", lifetime=TWO_YEARS),
    _implied("form", "HS-6"),
    _implied("purchase", "HS-7"),
    replace(_implied("contract", "HS-8, A1"), from_end=True),
    _implied("donation", "HS-9"),
    _implied("volunteering", "HS-9"),
    replace(_implied("membership", "HS-10"), while_active=True),
    _implied("ad-conversion", "HS-12"),
    _implied("badge-scan", "HS-21"),
    _implied("business-card", "HS-21"),
    replace(_implied("merger", "HS-23"), reconfirm=True),
    _unverified("friends-family", "HS-20"),
    _unverified("employer-list", "HS-22"),
    _unverified("in-person", "HS-24"),
    _forbidden("purchased-list", "HS-14, WP-12"),
    _forbidden("rented-list", "HS-14, WP-12"),
    _forbidden("borrowed-list", "HS-14, WP-12"),
    _forbidden("third-party-list", "HS-14"),
    _forbidden("member-list", "HS-15"),
    _forbidden("former-company", "HS-16"),
    _forbidden("other-brand-form", "HS-17"),
    _forbidden("lead-vendor", "HS-18"),
    _forbidden("enrichment", "HS-18"),
    _forbidden("organiser-list", "HS-21"),
    _forbidden("inbound-mail", "HS-19"),
    _forbidden("found", "WP-12"),
)


class Bases:
    """The table as one installation uses it; immutable."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Mapping[str, Basis]) -> None:
        self._rows = MappingProxyType(dict(rows))

    @classmethod
    def built_in(cls, implied_lifetime: Duration = TWO_YEARS) -> "Bases":
        """The built-in table, implied bases and customer relations lasting `implied_lifetime`.

        Raises `ValueError` for more than two years (HS-7 to HS-10).
        """
        if not _is_within(implied_lifetime, TWO_YEARS):
            raise ValueError(
                f'implied consent lasts at most {TWO_YEARS}: write "{TWO_YEARS}" or less'
            )
        return cls({
            row.name: row if row.lifetime is None else replace(row, lifetime=implied_lifetime)
            for row in BUILT_IN
        })  # fmt: skip

    def stricter(self, name: str, *, lifetime: Duration) -> "Bases":
        """The same table with a shorter life of one basis.

        Raises `ValueError` where the basis is unknown, never counts, or would live longer.
        """
        row = self._rows.get(name)
        if row is None:
            raise ValueError(f'"{name}" is no basis: write one of {", ".join(self._rows)}')
        if row.never_counts:
            raise ValueError(f'"{name}" never counts, so it has no lifetime: remove the entry')
        if row.lifetime is not None and not _is_within(lifetime, row.lifetime):
            raise ValueError(f'"{name}" can only be made stricter: write "{row.lifetime}" or less')
        return Bases({**self._rows, name: replace(row, lifetime=lifetime)})

    def __repr__(self) -> str:
        """All rows: two tables that say the same are written the same."""
        return f"Bases({sorted(self._rows.items())!r})"

    def find(self, name: str) -> Basis | None:
        """The basis of that name; `None` where there is none."""
        return self._rows.get(name)

    def __iter__(self) -> Iterator[Basis]:
        """Every basis, in the order of the table."""
        return iter(self._rows.values())


def _is_within(lifetime: Duration, limit: Duration) -> bool:
    """Whether `lifetime` never ends later than `limit`, whichever day it begins on.

    Months and days do not compare as numbers: 730 days are within two years, 731 are not. Four
    years hold every sequence of month lengths.
    """
    first = datetime(2024, 1, 1, tzinfo=UTC)
    days = (first + timedelta(days=number) for number in range(4 * 365 + 1))
    return all(lifetime.after(day) <= limit.after(day) for day in days)
