"""Which column of a file says what: our names, renamings, and the exports of other programs.

In: the heading of a CSV file. Out: `Columns`, which picks named values out of a row.
Headings are compared without case, blanks, hyphens and underscores.

A preset knows the columns of one program's export. It never reads more into them than they
say: creation dates of contacts are no consent, and rows that the program itself would not
mail (bounced, unconfirmed) are refused, whatever the list claims.

*Fails:* `ColumnError`, with the columns that there are.
*Known limits:* presets know the headings of English-language exports; others need `--map`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

NAMES = (
    "address", "basis", "event_at", "stream", "source", "text_version", "url", "ip",
    "user_agent", "confirmed_at", "last_activity_at", "ends_at", "withdrawn_at", "categories",
    "note", "explanation",
)  # fmt: skip
_YES = frozenset({"1", "yes", "y", "true", "on"})
_NO = frozenset({"0", "no", "n", "false", "off"})


class ColumnError(ValueError):
    """The columns cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Sign:
    """A column by whose value a row stands out. Without `values` anything but "" and no does."""

    headings: tuple[str, ...]
    values: frozenset[str] = frozenset()
    why: str = ""

    def holds(self, value: str) -> bool:
        """Whether `value` is the sign."""
        value = value.strip().casefold()
        return value in self.values if self.values else bool(value) and value not in _NO


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One program's export: where it keeps what we ask for, who left, who is to be refused."""

    columns: Mapping[str, tuple[str, ...]]
    left: tuple[Sign, ...] = ()
    refused: tuple[Sign, ...] = ()


_EMAIL = ("Email", "E-mail", "Email Address", "E-mail Address")
PRESETS: Mapping[str, Preset] = {
    "mailchimp": Preset(
        columns={
            "address": _EMAIL,
            "event_at": ("OPTIN_TIME",),
            "ip": ("OPTIN_IP",),
            "confirmed_at": ("CONFIRM_TIME",),
            "withdrawn_at": ("UNSUB_TIME",),
        },
        refused=(Sign(("CLEAN_TIME",), why="cleaned after bounces"),),
    ),
    "brevo": Preset(
        columns={"address": _EMAIL},
        left=(
            Sign(("EMAIL_BLACKLISTED", "EMAIL_BLOCKLISTED", "BLACKLISTED", "BLOCKLISTED")),
            Sign(("EMAIL_MARKETING",), frozenset({"unsubscribed", "blocklisted", "blacklisted"})),
        ),
    ),
    "hubspot": Preset(
        columns={"address": _EMAIL},
        left=(
            Sign(("Unsubscribed from all email", "Portal Unsubscribe", "Opted out of all email")),
            Sign(("Opted out of email: Marketing Information", "Marketing Information")),
        ),
        refused=(
            Sign(("Portal Spam Report",), why="reported mail as spam"),
            Sign(("Portal Bounce", "Global Bounce"), why="bounced"),
            Sign(("Email hard bounce reason", "Invalid email address"), why="bounced"),
        ),
    ),
    "superoffice": Preset(
        columns={
            "address": (*_EMAIL, "E-mail (1)"),
            "event_at": ("Consent date", "Consent registered"),
            "note": ("Consent comment",),
        },
        left=(Sign(("No mailings",)),),
        refused=(Sign(("E-marketing", "E-marketing consent"), _NO, "no consent to e-marketing"),),
    ),
    "listmonk": Preset(
        columns={"address": _EMAIL},
        left=(Sign(("status", "subscription_status"), frozenset({"blocklisted", "unsubscribed"})),),
        refused=(
            Sign(("status",), frozenset({"disabled"}), "disabled"),
            Sign(("subscription_status",), frozenset({"unconfirmed"}), "not confirmed"),
        ),
    ),
    "mautic": Preset(
        columns={
            "address": _EMAIL,
            "last_activity_at": ("last_active", "Date Last Active", "Last active"),
        },
        left=(Sign(("doNotEmail", "Do not email", "Do not contact", "DNC")),),
    ),
    "phplist": Preset(
        columns={"address": _EMAIL},
        left=(Sign(("blacklisted", "Is this subscriber blacklisted", "Blacklisted?")),),
        refused=(
            Sign(("confirmed", "Is this subscriber confirmed", "Confirmed?"), _NO, "not confirmed"),
            Sign(("disabled", "Is this account disabled?"), _YES, "disabled"),
        ),
    ),
}
_BARE = Preset(columns={"address": _EMAIL})


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a row what is written. `unused` are the headings nobody asks for."""

    width: int
    places: Mapping[str, int]
    left: tuple[tuple[int, Sign], ...] = ()
    refused: tuple[tuple[int, Sign], ...] = ()
    unused: tuple[str, ...] = field(default=())

    def pick(self, row: Sequence[str]) -> dict[str, str]:
        """The values of a row by name, without blanks around them; "" where there is none."""
        return {name: row[place].strip() for name, place in self.places.items()}

    def has_left(self, row: Sequence[str]) -> bool:
        """Whether a sign of the preset says that the person unsubscribed."""
        return any(sign.holds(row[place]) for place, sign in self.left)

    def may_leave(self, row: Sequence[str]) -> bool:
        """Whether the row could say that the person left: most say nothing of it."""
        place = self.places.get("withdrawn_at")
        return (place is not None and bool(row[place])) or self.has_left(row)

    def refusal(self, row: Sequence[str]) -> str:
        """Why the program itself would not have mailed this row; "" if nothing says so."""
        return next((sign.why for place, sign in self.refused if sign.holds(row[place])), "")


def choose(
    heading: Sequence[str], renamed: Mapping[str, str], preset: str | None = None
) -> Columns:
    """Where to find what, by `renamed` (name → heading) first, then the preset, then our names.

    Raises `ColumnError`.
    """
    known = PRESETS[preset] if preset else _BARE
    places: dict[str, int] = {}
    by_heading: dict[str, list[int]] = {}
    for place, text in enumerate(heading):
        by_heading.setdefault(_plain(text), []).append(place)
    for name, text in renamed.items():
        if name not in NAMES:
            raise ColumnError(f"{name!r} is none of the names {', '.join(NAMES)}")
        if _plain(text) not in by_heading:
            raise ColumnError(f"there is no column {text!r}: there are {', '.join(heading)}")
        places[name] = _only(by_heading, text)
    for name in NAMES:
        spellings = (*known.columns.get(name, ()), name)
        found = next((text for text in spellings if _plain(text) in by_heading), None)
        if name not in places and found is not None:
            places[name] = _only(by_heading, found)
    if "address" not in places:
        raise ColumnError(
            f"no column holds addresses: there are {', '.join(heading)}. "
            "Name one address, or say which it is: --map address=COLUMN"
        )
    left, refused = _signs(known.left, by_heading), _signs(known.refused, by_heading)
    used = {*places.values(), *(place for place, _ in (*left, *refused))}
    unused = tuple(text for place, text in enumerate(heading) if place not in used)
    return Columns(len(heading), places, left, refused, unused)


def _signs(
    signs: Sequence[Sign], by_heading: Mapping[str, Sequence[int]]
) -> tuple[tuple[int, Sign], ...]:
    return tuple(
        (place, sign)
        for sign in signs
        for text in sign.headings
        for place in by_heading.get(_plain(text), ())
    )


def _only(by_heading: Mapping[str, Sequence[int]], text: str) -> int:
    places = by_heading[_plain(text)]
    if len(places) > 1:
        raise ColumnError(f"there are {len(places)} columns {text!r}: rename or remove one")
    return places[0]


def _plain(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter not in " -_\t\ufeff")
