"""Cases to decide: facts at so many days ago, persons made of facts, one call to judge."""

from datetime import UTC, datetime, timedelta

from gatepost.consent.bases import Bases
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.fold import fold_all
from gatepost.consent.standing import STRANGER, Person, Suppression
from gatepost.flow.decide import Case, decide
from gatepost.mail.address import parse
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Kind, Stream

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
SENDER = Sender(
    name="acme", legal_name="Acme AB", postal_address="Storgatan 1", public_url="https://m.example"
)
EXPLICIT = {"basis": "form-checkbox", "source": "web", "text_state": TextState.VALID}
CUSTOMER = {"basis": "customer", "bought": True, "informed": True, "could_decline": True}
IMPLIED = {"requires_explicit": False}


def ago(days):
    return NOW - timedelta(days=days)


def granted(days=10, **rest):
    return Fact(kind=EventKind.GRANTED, at=ago(days), **EXPLICIT | rest)


def fact(kind, days, **rest):
    return Fact(kind=EventKind(kind), at=ago(days), **rest)


def returned(days, **rest):
    return fact("resubscribed", days, **{"actor": "recipient", **EXPLICIT, **rest})


def person(*facts, suppressions=(), erased_at=None):
    return Person(7, fold_all(facts), tuple(suppressions), erased_at)


def bulk(**rest):
    return Stream(name="newsletter", kind=Kind.BULK, sender="acme", **rest)


def judge(someone=STRANGER, stream=None, address="anna@customer.example", **rest):
    values = {"sender": SENDER, "now": NOW, "bases": Bases.built_in()} | rest
    return decide(Case(stream=stream or bulk(), person=someone, address=parse(address), **values))


def reason(*arguments, **rest):
    return judge(*arguments, **rest).reason.value


def suppressed(scope, why, *facts, days=5):
    return person(*facts, suppressions=[Suppression(scope, why, ago(days))])


def other_kinds():
    return [
        Stream(name="other", kind=kind, sender="acme") for kind in Kind if kind is not Kind.BULK
    ]


LEFT = fact("withdrawn", 5)
ASKED = fact("requested", 5, source="web", text_state=TextState.VALID)
CONFIRMED = fact("confirmed", 4, source="web", actor="recipient")
