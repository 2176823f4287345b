"""Whatever the case: one verdict, and nobody is mailed without a reason (promise 2)."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gatepost.consent.bases import BUILT_IN, Bases
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.fold import fold_all
from gatepost.consent.standing import Person, Suppression
from gatepost.flow.decide import Case, decide
from gatepost.mail.address import parse
from gatepost.mail.duration import Duration
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Kind, Stream, Unmodifiable
from gatepost.mail.verdict import Disposition, Reason, Verdict

SENDER = Sender(name="a", legal_name="A", postal_address="B", public_url="https://a.example")
far = st.datetimes(timezones=st.just(UTC))
near = st.integers(0, 200).map(
    lambda hours: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
)
moments = near | far
durations = st.builds(Duration, st.integers(0, 999_999 * 12), st.integers(0, 999_999 * 604_800))
bases = st.sampled_from([basis.name for basis in BUILT_IN] + ["", "telepathy"])
facts = st.builds(
    Fact,
    kind=st.sampled_from(EventKind),
    at=moments,
    basis=bases,
    source=st.sampled_from(["", "web"]),
    text_state=st.sampled_from(TextState),
    actor=st.sampled_from(["recipient", "staff", "import", "mailer", "system"]),
    explanation=st.sampled_from(["", "letter"]),
    confirmed_at=st.none() | moments,
    last_activity_at=st.none() | moments,
    categories=st.sampled_from([(), ("shoes",)]),
    bought=st.booleans(),
    informed=st.booleans(),
    could_decline=st.booleans(),
    welcome_due=st.booleans(),
)
suppressions = st.builds(
    Suppression,
    st.sampled_from(["all", "bulk"]),
    st.sampled_from(
        ["unsubscribed", "complaint", "hard-bounce", "soft-bounces", "manual", "erased"]
    ),
    moments,
)
streams = st.builds(
    Stream,
    name=st.just("s"),
    kind=st.sampled_from(Kind) | st.just(Kind.BULK),
    requires_explicit=st.booleans(),
    soft_opt_in=st.booleans(),
    double_opt_in=st.booleans(),
    categories=st.sampled_from([frozenset(), frozenset({"shoes"})]),
    max_inactive=st.none() | durations,
    allow_role_addresses=st.booleans(),
    on_ineligible=st.sampled_from([Disposition.DROP, Disposition.QUARANTINE, Disposition.REJECT]),
    unmodifiable=st.sampled_from(Unmodifiable),
    observe=st.booleans(),
)
cases = st.builds(
    Case,
    stream=streams,
    sender=st.none() | st.just(SENDER),
    address=st.sampled_from([parse("anna@a.example"), parse("info@a.example")]),
    person=st.builds(
        Person,
        st.just(1),
        st.lists(facts, max_size=6).map(fold_all),
        st.lists(suppressions, max_size=2).map(tuple),
        st.none() | moments,
    ),
    now=moments,
    bases=durations.map(lambda one: Bases({
        row.name: row if row.lifetime is None else type(row)(row.name, row.strength, "", one)
        for row in BUILT_IN
    })) | st.just(Bases.built_in()),
    campaign_stopped=st.booleans(),
    sender_frozen=st.booleans(),
    mismatch=st.sampled_from(["", "From"]),
    override=st.sampled_from(["", "recall"]),
    open_recipients=st.booleans(),
    unmodifiable=st.booleans(),
    undeclared_bulk=st.booleans(),
)  # fmt: skip


@given(cases)
def test_every_case_has_one_verdict(case):
    verdict = decide(case)
    assert isinstance(verdict, Verdict)
    assert verdict.rule
    assert verdict.delivers == verdict.reason.is_positive


@given(cases)
def test_bulk_is_delivered_only_on_evidence_override_or_observation(case):
    verdict = decide(case)
    if not (case.stream.is_bulk and verdict.delivers):
        return
    if verdict.reason is Reason.CONSENTED:
        assert verdict.since is not None
        assert verdict.since < case.now
        standing, person = case.person.standing, case.person
        floor = [
            standing.withdrawn_at,
            person.erased_at,
            *(one.since for one in person.suppressions),
        ]
        assert all(verdict.since > moment for moment in floor if moment)
    else:
        assert verdict.reason is (Reason.OVERRIDE if case.override else Reason.OBSERVED)


@given(cases)
def test_deciding_again_gives_the_same(case):
    assert decide(case) == decide(case)
