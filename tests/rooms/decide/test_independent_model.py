"""Decisions against a second opinion: a small model of the rules that shares no code with ours.

Random histories of one person on one stream: every kind of event and basis, texts of every
worth, double opt-in, welcomes, leaving and coming back by the person, by staff and by import,
suppressions of every reason and scope, erasures, categories, signs of life, leap days, times
with offsets, facts recorded late, twice and in any order.

`GATEPOST_EXAMPLES=20000` tries more than the few hundred of an ordinary run.
"""

import itertools
import os
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from gatepost.consent.bases import BUILT_IN, Bases
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.fold import decode, encode, fold_all
from gatepost.consent.standing import STRANGER, Person, Suppression
from gatepost.flow.decide import Case, decide
from gatepost.mail.address import parse
from gatepost.mail.duration import Duration
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Kind, Stream
from gatepost.store import people
from gatepost.store.engine import Store
from support import consent_model as model
from support.consent_model import Act, Policy

EXAMPLES = int(os.environ.get("GATEPOST_EXAMPLES", "400"))
SENDER = Sender(name="acme", legal_name="Acme AB", postal_address="Gata 1", public_url="")
ANNA = parse("anna@kund.example")
FIRST = datetime(2024, 2, 20, tzinfo=UTC)  # some days before a leap day
AGREEING = ["granted", "requested", "confirmed", "resubscribed", "transferred"]
EXPLICIT = sorted(model.EXPRESS)
NUMBERS = itertools.count()
KNOWN = [row.name for row in BUILT_IN]

offsets = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))
moments = st.builds(
    lambda hours, zone: (FIRST + timedelta(hours=hours)).astimezone(zone),
    st.integers(0, 400) | st.integers(0, 24 * 400),
    offsets,
)
sources = st.sampled_from(["", "web", "fair"])
people_acting = st.sampled_from(["recipient", "recipient", "staff", "import", "mailer", "system"])


@st.composite
def agreements(draw):
    kind = draw(st.sampled_from(AGREEING))
    basis = draw(st.sampled_from(["", "telepathy", *KNOWN, *EXPLICIT, *EXPLICIT]))
    at = draw(moments)
    confirmed = draw(st.booleans()) and (basis in EXPLICIT and kind != "confirmed")
    return Act(
        kind=kind,
        at=at,
        by=draw(people_acting),
        basis=basis,
        source=draw(sources),
        text=draw(st.sampled_from(["valid", "valid", "invalid", "none"])),
        confirmed_at=at + timedelta(hours=draw(st.integers(0, 50))) if confirmed else None,
        used_at=draw(st.none() | moments),
        ends_at=draw(st.none() | moments) if basis == "contract" else None,
        categories=draw(st.sampled_from([(), (), ("shoes",), ("hats",), ("hats", "shoes")])),
        all_three=draw(st.booleans()),
        welcome_due=draw(st.integers(0, 3)) == 0,
        explanation=draw(st.sampled_from(["", "met at the fair"])),
    )


leaving = st.builds(
    Act, kind=st.just("withdrawn"), at=moments, by=people_acting, everything=st.booleans()
)
living = st.builds(
    Act, kind=st.sampled_from(["engaged", "welcomed", "text-shown"]), at=moments,
    used_at=st.none() | moments,
)  # fmt: skip
blocking = st.one_of(
    st.builds(Act, kind=st.just("complained"), at=moments),
    st.builds(
        Act, kind=st.sampled_from(["suppressed", "bounced"]), at=moments,
        reason=st.sampled_from(["", "manual", "hard-bounce", "soft-bounces", "erased"]),
        scope=st.sampled_from(["", "all", "bulk"]),
    ),
)  # fmt: skip
erasing = st.builds(Act, kind=st.just("erased"), at=moments, scope=st.sampled_from(["rest", "all"]))
lifting = st.builds(
    Act, kind=st.just("suppression-lifted"),
    at=moments.map(lambda moment: moment + timedelta(minutes=1)),
    scope=st.sampled_from(["", "all", "bulk"]),
    reason=st.sampled_from(["", "manual", "complaint", "unsubscribed", "hard-bounce"]),
)  # fmt: skip
acts = st.one_of(agreements(), agreements(), agreements(), leaving, living, blocking)
policies = st.builds(
    Policy,
    explicit=st.booleans(),
    soft_opt_in=st.booleans(),
    double_opt_in=st.booleans(),
    categories=st.sampled_from([(), (), ("shoes",), ("hats", "shoes")]),
    max_inactive_months=st.sampled_from([0, 0, 12, 18]),
)


@st.composite
def questions(draw, *, ordered=False):
    """A history, what the stream demands, and a time later than every act."""
    kinds = acts if not ordered else st.one_of(acts, acts, acts, acts, erasing, lifting)
    history = draw(st.lists(kinds, max_size=7))
    latest = max(
        (m for a in history for m in (a.at, a.confirmed_at, a.used_at) if m), default=FIRST
    )
    anniversaries = [model.years_later(a.at, months) for a in history for months in (12, 18, 24)]
    later = [moment for moment in anniversaries if moment > latest]
    after = st.integers(1, 24 * 1200).map(lambda hours: latest + timedelta(hours=hours))
    near = st.sampled_from(later) if later else after
    step = st.sampled_from([timedelta(0), -timedelta(milliseconds=1), timedelta(milliseconds=1)])
    moment = draw(after | st.builds(lambda a, b: a + b, near, step))
    return history, draw(policies), max(moment, latest + timedelta(milliseconds=1))


def as_fact(act):
    return Fact(
        kind=EventKind(act.kind), at=act.at, sender="acme",
        stream="" if act.everything or model._block(act) else "news",
        actor=act.by, basis=act.basis, source=act.source, text_state=TextState(act.text),
        confirmed_at=act.confirmed_at, last_activity_at=act.used_at, ends_at=act.ends_at,
        categories=act.categories, bought=act.all_three, informed=act.all_three,
        could_decline=act.all_three, welcome_due=act.welcome_due, explanation=act.explanation,
        suppression=act.reason, extent=act.scope if act.kind == "erased" else "",
        rule="request" if act.kind == "erased" else "",
        scope=act.scope if act.kind != "erased" else "",
    )  # fmt: skip


def ours(person, policy, now):
    stream = Stream(
        name="news", kind=Kind.BULK, sender="acme", requires_explicit=policy.explicit,
        soft_opt_in=policy.soft_opt_in, double_opt_in=policy.double_opt_in,
        categories=frozenset(policy.categories),
        max_inactive=Duration(months=policy.max_inactive_months)
        if policy.max_inactive_months else None,
    )  # fmt: skip
    return decide(
        Case(stream=stream, sender=SENDER, address=ANNA, person=person, now=now,
             bases=Bases.built_in())
    )  # fmt: skip


def folded(history):
    """The person as facts in this order make them; suppressions as the model sees them."""
    kept = [act for act in model._after_erasures(history) if act.kind != "erased"]
    standing = fold_all(as_fact(act) for act in kept if not act.everything)
    erased = [act.at for act in history if act.kind == "erased"]
    return Person(
        7,
        decode(encode(standing)),
        tuple(Suppression(*key, at) for key, at in model._blocks(history).items()),
        max(erased, default=None),
    )


def agree(person, question):
    history, policy, now = question
    verdict = ours(person, policy, now)
    may, reasons = model.may_mail(history, policy, now)
    note(f"{verdict} against {may} {reasons}")
    assert verdict.delivers == may
    assert may or verdict.reason.value in reasons


often = settings(
    max_examples=EXAMPLES, deadline=None, derandomize="GATEPOST_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck), print_blob=True,
)  # fmt: skip


@often
@given(questions(ordered=True))
def test_the_rules_and_the_model_agree(question):
    """HS-1 to HS-26, WP-1, WP-3, WP-8, JU-1 to JU-19, HR-1 to HR-7: any history, any policy."""
    agree(folded(question[0]), question)


@often
@given(questions(), st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_of_imports_matters(question, random):
    """Facts come late, twice and in any order; the verdict is the same."""
    history = question[0]
    again = history + random.sample(history, len(history) // 2)
    random.shuffle(again)
    one, other = folded(history), folded(again)
    assert one.standing == other.standing
    agree(other, question)


@pytest.fixture(scope="module")
def store():
    with tempfile.TemporaryDirectory() as folder, Store.open("", Path(folder)) as opened:
        yield opened


@settings(often, max_examples=max(60, EXAMPLES // 20))
@given(questions(ordered=True))
def test_the_real_store_agrees_with_the_model(store, question):
    """The same through the ledger, with its suppressions and erasures."""
    history = question[0]
    someone = parse(f"p{next(NUMBERS)}@kund.example")  # a stranger each time
    for act in history:
        fact = as_fact(act)
        store.write_now(lambda tx, fact=fact: people.record(tx, someone, [fact]))
    found = store.read_now(lambda tx: people.look_up(tx, [someone], "news", "acme"))
    agree(found.get(someone.key, STRANGER), question)
