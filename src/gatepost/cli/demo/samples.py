"""The people of the tour: 1,000 addresses, each with a past, and what becomes of them.

In: a transaction. Out: sources, texts and events in the ledger, recorded as any door records
them; and the reason that a bulk mailing must meet for each address. That reason is written
beside the past it follows from, and never asked of the product.

An address names the group it belongs to (`bounced-007@example.net`), so that whoever plays
with the demo knows whom to try.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.mail.address import Address, parse
from gatepost.mail.verdict import Reason
from gatepost.store import people, sources
from gatepost.store.sources import Attestations
from gatepost.store.transaction import Tx

SENDER = "acme"
STREAM = "news"
CATEGORY = "offers"

_DOMAINS = ("example.org", "example.net", "example.com", "post.example", "mail.example")
_ROLES = ("info", "sales", "office", "support", "billing")
_GOOD = Attestations(voluntary=True, informed=True, specific=True, states_withdrawal=True)
_PRE_TICKED = Attestations(
    voluntary=True, informed=True, specific=True, states_withdrawal=True, pre_ticked=True
)
_YES_PLEASE = (
    "Yes, Acme AB may e-mail me its news and offers about once a month. "
    "I can withdraw at any time with the link in each mail or at kontakt@acme.example."
)


@dataclass(frozen=True, slots=True)
class Place:
    """A source of the sample ledger. Without a `text`, nobody kept the wording."""

    name: str
    kind: str
    text: str = ""
    attestations: Attestations = _GOOD


PLACES = (
    Place("website", "form", _YES_PLEASE),
    Place("checkout", "shop", f"[ ] {_YES_PLEASE}"),
    Place("trade-fair", "paper", f"{_YES_PLEASE} Signature: ..."),
    Place("old-form", "form", f"[x] {_YES_PLEASE}", _PRE_TICKED),
    Place("lost-form", "form"),
    Place("list-broker", "import"),
)


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes the facts of one person, who is number `number` of a group."""

    now: datetime
    texts: Mapping[str, TextState]
    number: int

    def granted(self, basis: str, source: str, days_ago: int, **more: Any) -> Fact:
        """A consent, or what somebody took for one."""
        return self.act(EventKind.GRANTED, days_ago, basis=basis, source=source, **more)

    def act(self, kind: EventKind, days_ago: int, **more: Any) -> Fact:
        """Something the person did, at some hour about so many days ago."""
        source = more.get("source", "")
        state = self.texts.get(source, TextState.NONE)
        values = {
            "sender": SENDER,
            "stream": STREAM,
            "actor": "recipient",
            "method": "form",
            "text_state": state,
            "text_version": "" if state is TextState.NONE else "1",
        }
        # Nobody's past is that of a neighbour; the order of one person's acts stays.
        moment = self.now - timedelta(days=days_ago + self.number % 27, hours=self.number % 11)
        return Fact(kind=kind, at=moment, **(values | more))


@dataclass(frozen=True, slots=True)
class Group:
    """So many people with the same past, told in a few words: `story`."""

    name: str
    count: int
    reason: Reason
    story: str
    past: Callable[[Pen], Sequence[Fact]]

    def addresses(self) -> Iterator[Address]:
        """Everybody in it."""
        for number in range(1, self.count + 1):
            if self.reason is Reason.ROLE_ADDRESS:
                role = _ROLES[number % len(_ROLES)]
                yield parse(f"{role}@company-{number:02}.example")
            else:
                yield parse(f"{self.name}-{number:03}@{_DOMAINS[number % len(_DOMAINS)]}")


def _signed_up(pen: Pen, days_ago: int = 200) -> Fact:
    return pen.granted("newsletter-form", "website", days_ago)


def _imported(pen: Pen, basis: str, source: str = "") -> list[Fact]:
    return [pen.granted(basis, source, 90, actor="import", method="import")]


def _customer(pen: Pen, days_ago: int) -> list[Fact]:
    told = {"bought": True, "informed": True, "could_decline": True}
    return [pen.granted("customer", "checkout", days_ago, **told)]


def _double_opt_in(pen: Pen) -> list[Fact]:
    asked = pen.act(EventKind.REQUESTED, 150, basis="double-opt-in", source="website")
    return [asked, pen.act(EventKind.CONFIRMED, 149, source="website", method="page")]


def _came_back(pen: Pen) -> list[Fact]:
    left = pen.act(EventKind.WITHDRAWN, 120, method="one-click")
    back = pen.act(EventKind.RESUBSCRIBED, 60, basis="newsletter-form", source="website")
    return [_signed_up(pen), left, back]


def _bounced(pen: Pen) -> list[Fact]:
    bounce = {"actor": "system", "method": "feedback", "stream": "", "scope": "all"}
    return [
        _signed_up(pen),
        pen.act(EventKind.BOUNCED, 30, suppression="hard-bounce", **bounce),
    ]


GROUPS = (
    Group("newsletter-form", 210, Reason.CONSENTED, "signed up on the website",
          lambda pen: [_signed_up(pen)]),
    Group("checkbox", 130, Reason.CONSENTED, "ticked the box at the checkout",
          lambda pen: [pen.granted("form-checkbox", "checkout", 300)]),
    Group("double-opt-in", 110, Reason.CONSENTED, "signed up and confirmed",
          _double_opt_in),
    Group("customer", 60, Reason.CONSENTED, "bought, were told, could decline",
          lambda pen: _customer(pen, 400)),
    Group("paper-form", 40, Reason.CONSENTED, "signed a paper at the fair",
          lambda pen: [pen.granted("paper-form", "trade-fair", 250)]),
    Group("reader", 30, Reason.CONSENTED, "signed up long ago, read it last month",
          lambda pen: [_signed_up(pen, 1200), pen.act(EventKind.ENGAGED, 30, method="api")]),
    Group("written", 20, Reason.CONSENTED, "agreed in writing",
          lambda pen: [pen.granted("written", "trade-fair", 500)]),
    Group("came-back", 20, Reason.CONSENTED, "left, and came back by themselves",
          _came_back),
    Group("stranger", 60, Reason.NO_CONSENT, "nothing on record",
          lambda _: []),
    Group("withdrew", 60, Reason.WITHDRAWN, "withdrew",
          lambda pen: [_signed_up(pen), pen.act(EventKind.WITHDRAWN, 40, method="page")]),
    Group("left-all", 20, Reason.SUPPRESSED, "left all",
          lambda pen: [_signed_up(pen), pen.act(EventKind.WITHDRAWN, 40, stream="")]),
    Group("bounced", 20, Reason.SUPPRESSED, "bounced",
          _bounced),
    Group("complained", 10, Reason.SUPPRESSED, "complained",
          lambda pen: [_signed_up(pen), pen.act(EventKind.COMPLAINED, 35, stream="")]),
    Group("unconfirmed", 30, Reason.UNCONFIRMED, "never confirmed",
          lambda pen: [pen.act(EventKind.REQUESTED, 20, basis="double-opt-in", source="website")]),
    Group("old-customer", 30, Reason.EXPIRED, "bought over two years ago",
          lambda pen: _customer(pen, 800)),
    Group("silent", 20, Reason.DORMANT, "silent for three years",
          lambda pen: [_signed_up(pen, 1200)]),
    Group("purchase", 25, Reason.WEAK_BASIS, "only bought",
          lambda pen: [pen.granted("purchase", "checkout", 100)]),
    Group("business-card", 10, Reason.WEAK_BASIS, "gave a card",
          lambda pen: [pen.granted("business-card", "trade-fair", 100)]),
    Group("bought-list", 25, Reason.FORBIDDEN_SOURCE, "bought list",
          lambda pen: _imported(pen, "purchased-list", "list-broker")),
    Group("lead-vendor", 5, Reason.FORBIDDEN_SOURCE, "sold as leads",
          lambda pen: _imported(pen, "lead-vendor", "list-broker")),
    Group("lost-form", 10, Reason.UNVERIFIED_SOURCE, "text lost",
          lambda pen: [pen.granted("form-checkbox", "lost-form", 100)]),
    Group("employer-list", 10, Reason.UNVERIFIED_SOURCE, "named by employer",
          lambda pen: _imported(pen, "employer-list")),
    Group("pre-ticked", 15, Reason.INVALID_TEXT, "box was ticked beforehand",
          lambda pen: [pen.granted("form-checkbox", "old-form", 100)]),
    Group("recipes-only", 10, Reason.OUTSIDE_SCOPE, "want recipes, not offers",
          lambda pen: [pen.granted("newsletter-form", "website", 100, categories=("recipes",))]),
    Group("role", 10, Reason.ROLE_ADDRESS, "info@, sales@: nobody",
          lambda pen: [_signed_up(pen)]),
    Group("erased", 5, Reason.ERASED, "had their data erased",
          lambda pen: [_signed_up(pen), pen.act(EventKind.ERASED, 15, stream="", method="page")]),
    Group("new", 5, Reason.WELCOME_PENDING, "not welcomed yet",
          lambda pen: [pen.granted("newsletter-form", "website", 1, welcome_due=True)]),
)  # fmt: skip


def expected() -> dict[str, Reason]:
    """The reason that a mailing of the stream must meet, by `Address.key`."""
    return {address.key: group.reason for group in GROUPS for address in group.addresses()}


def stories() -> dict[Reason, list[Group]]:
    """The groups behind each reason, in the order of the table."""
    found: dict[Reason, list[Group]] = {}
    for group in GROUPS:
        found.setdefault(group.reason, []).append(group)
    return found


def record(tx: Tx) -> int:
    """Makes the sources and records everybody's past; how many events that took."""
    for place in PLACES:
        sources.add_source(tx, place.name, sender=SENDER, kind=place.kind, streams=(STREAM,))
        if place.text:
            sources.add_text(tx, place.name, place.text, attestations=place.attestations)
    texts = {place.name: sources.text_state(tx, place.name) for place in PLACES}
    return people.record_many(
        tx,
        (
            (address, facts)
            for group in GROUPS
            for number, address in enumerate(group.addresses())
            if (facts := group.past(Pen(tx.now, texts, number)))
        ),
    )
