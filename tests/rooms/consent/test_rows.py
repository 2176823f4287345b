"""Rows of import files: what they are evidence of, and why not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.consent import rows
from gatepost.consent.bases import Bases, Strength
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.fold import fold_all
from gatepost.consent.rows import Defaults, Frame, Origin, RowError
from gatepost.consent.standing import STRANGER, Person, Suppression

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
BASES = Bases.built_in()
FRAME = Frame(
    now=NOW,
    streams={"newsletter": "acme", "foreign": "other"},
    origins={
        "web": Origin(
            name="web",
            sender="acme",
            streams=("newsletter",),
            current="2",
            texts={"1": TextState.INVALID, "2": TextState.VALID},
        ),
        "old": Origin(name="old"),
        "shoes": Origin(
            name="shoes",
            current="1",
            texts={"1": TextState.VALID},
            channels="sms",
            categories=("shoes",),
        ),
    },
    bases=BASES,
)
DEFAULTS = Defaults(stream="newsletter", source="web")
ANNA = {"address": "anna@kund.example"}
EXPLICIT = [row.name for row in FRAME.bases if row.strength is Strength.EXPLICIT]
COUNTING = [row.name for row in FRAME.bases if not row.never_counts]
NEVER = [row.name for row in FRAME.bases if row.never_counts]


def grant(defaults=DEFAULTS, **values):
    return rows.grant({**ANNA, **values}, FRAME, defaults)


def test_a_row_with_everything():
    found = grant(
        basis="form-checkbox", event_at="2026-01-01T10:00:00+01:00", text_version="1",
        url="https://acme.example/form", ip="192.0.2.7", user_agent="Browser/1.0",
        confirmed_at="2026-01-01T10:05:00Z", last_activity_at="2026-05-01",
        categories="shoes; hats,shoes", note="form 4711",
    )  # fmt: skip
    assert found.address.key == "anna@kund.example"
    assert not found.timeless
    assert found.fact == Fact(
        kind=EventKind.GRANTED,
        at=datetime(2026, 1, 1, 9, tzinfo=UTC),
        sender="acme",
        stream="newsletter",
        basis="form-checkbox",
        source="web",
        text_version="1",
        text_state=TextState.INVALID,
        actor="import",
        method="import",
        url="https://acme.example/form",
        ip="192.0.2.7",
        user_agent="Browser/1.0",
        confirmed_at=datetime(2026, 1, 1, 10, 5, tzinfo=UTC),
        last_activity_at=datetime(2026, 5, 1, tzinfo=UTC),
        categories=("shoes", "hats"),
        note="form 4711",
    )


@pytest.mark.parametrize("basis", COUNTING)
def test_nothing_that_could_count_comes_without_the_time_of_the_act(basis):
    with pytest.raises(RowError, match="event_at"):
        grant(basis=basis)
    assert grant(Defaults(stream="newsletter", source="web", at=NOW), basis=basis).fact.at == NOW


@pytest.mark.parametrize("basis", NEVER)
def test_what_never_counts_is_recorded_without_one(basis):
    """HS-14: the reason stands on record."""
    found = grant(basis=basis)
    assert found.timeless
    assert found.fact.at == NOW
    assert found.fact.basis == basis


def test_double_opt_in_without_a_confirmation_is_a_request():
    """JU-17."""
    assert grant(basis="double-opt-in", event_at="2026-01-01").fact.kind is EventKind.REQUESTED
    confirmed = grant(basis="double-opt-in", confirmed_at="2026-01-02").fact
    assert confirmed.kind is EventKind.GRANTED
    assert confirmed.at == confirmed.confirmed_at


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "no basis"),
        ({"basis": "magic", "event_at": "2026-01-01"}, "unknown basis 'magic'"),
        ({"basis": "written", "event_at": "2026-01-01", "address": "anna"}, "no address"),
        ({"basis": "written", "event_at": "2026-06-01T12:00:01Z"}, "in the future"),
        ({"basis": "written", "event_at": "1969-12-31"}, "before there was mail"),
        ({"basis": "written", "event_at": "12/31/2025"}, "ISO 8601"),
        ({"basis": "written", "event_at": "0001-01-01T00:00:00+14:00"}, "ISO 8601"),
        ({"basis": "written", "event_at": "2026-01-01", "confirmed_at": "soon"}, "confirmed_at"),
        (
            {"basis": "written", "event_at": "2026-02-01", "confirmed_at": "2026-01-01"},
            "before event_at",
        ),
        (
            {"basis": "written", "event_at": "2026-01-01", "last_activity_at": "2027-01-01"},
            "last_activity_at",
        ),
        ({"basis": "written", "event_at": "2026-01-01", "stream": "club"}, "newsletter"),
        ({"basis": "written", "event_at": "2026-01-01", "source": "fair"}, "source add"),
        ({"basis": "written", "event_at": "2026-01-01", "text_version": "9"}, "version '9'"),
        (
            {"basis": "written", "event_at": "2026-01-01", "stream": "foreign"},
            "collects for acme, not for other",
        ),
    ],
)  # fmt: skip
def test_why_a_row_is_refused(values, said):
    with pytest.raises(RowError, match=said):
        grant(**values)


def test_without_flags_the_row_has_to_say_stream_and_source():
    with pytest.raises(RowError, match="--stream"):
        grant(Defaults(source="web"), basis="written", event_at="2026-01-01")
    with pytest.raises(RowError, match="--source"):
        grant(Defaults(stream="newsletter"), basis="written", event_at="2026-01-01")


def test_a_source_without_a_text_makes_no_valid_one():
    fact = grant(basis="written", event_at="2026-01-01", source="old").fact
    assert (fact.text_version, fact.text_state) == ("", TextState.NONE)


def test_flags_about_customers_do_not_reach_other_bases():
    flags = replace(DEFAULTS, bought=True, informed=True, could_decline=True)
    assert grant(flags, basis="customer", event_at="2026-01-01").fact.bought
    assert not grant(flags, basis="purchase", event_at="2026-01-01").fact.bought


def test_zeros_are_no_time():
    found = grant(basis="written", event_at="2026-01-01", confirmed_at="0000-00-00 00:00:00")
    assert found.fact.confirmed_at is None


def test_who_left_and_said_no_more_grants_nothing():
    values = {**ANNA, "withdrawn_at": "2026-02-01"}
    assert rows.grant(values, FRAME, replace(DEFAULTS, basis="written", at=NOW)) is None
    assert rows.withdrawal(values, FRAME, DEFAULTS).fact.at == datetime(2026, 2, 1, tzinfo=UTC)


def test_a_column_that_knows_no_time_means_now():
    found = rows.withdrawal(ANNA, FRAME, DEFAULTS, left=True)
    assert found.timeless
    assert found.fact.at == NOW
    assert rows.withdrawal(ANNA, FRAME, DEFAULTS) is None


# --- against what is on record -----------------------------------------------------------


def person(*facts, **more):
    return Person(subject=1, standing=fold_all(facts), **more)


def left(days):
    return Fact(kind=EventKind.WITHDRAWN, at=NOW - timedelta(days=days), stream="newsletter")


def agreed(days, kind=EventKind.GRANTED, **more):
    values = {"stream": "newsletter", "basis": "written", "text_state": TextState.VALID}
    return Fact(kind=kind, at=NOW - timedelta(days=days), **values | more)


def test_who_left_comes_back_by_a_newer_act_with_words_only():
    """HR-4, HR-8, E5."""
    gone = person(left(9))
    assert rows.seen_against(agreed(10), gone, "", BASES) == agreed(10)
    with pytest.raises(RowError, match="left on 2026-05-23"):
        rows.seen_against(agreed(8), gone, "  ", BASES)
    returned = rows.seen_against(agreed(8), gone, " at the fair ", BASES)
    assert returned.kind is EventKind.RESUBSCRIBED
    assert returned.explanation == "at the fair"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"basis": "purchase"}, "no explicit consent"),
        ({"basis": "customer", "bought": True}, "no explicit consent"),
        ({"text_state": TextState.INVALID}, "no valid text"),
        ({"text_state": TextState.NONE}, "no valid text"),
    ],
)
def test_others_bring_back_by_explicit_consent_on_a_valid_text_only(more, said):
    """X6."""
    weak = agreed(8, source="web", **more)
    with pytest.raises(RowError, match=said):
        rows.seen_against(weak, person(left(9)), "they called", BASES)
    assert rows.seen_against(weak, STRANGER, "", BASES) == weak


def test_a_consent_is_worth_what_its_source_asked_for():
    """JU-13, JU-14."""
    fact = grant(basis="written", event_at="2026-01-01", source="shoes").fact
    assert (fact.categories, fact.channels) == (("shoes",), "sms")
    named = grant(basis="written", event_at="2026-01-01", source="shoes", categories="Shoes/red")
    assert named.fact.categories == ("Shoes/red",)
    with pytest.raises(RowError, match="collects for the categories shoes, not for hats"):
        grant(basis="written", event_at="2026-01-01", source="shoes", categories="shoes,hats")


def test_who_left_everything_has_left_too():
    gone = person(suppressions=(Suppression("bulk", "unsubscribed", NOW - timedelta(days=9)),))
    with pytest.raises(RowError, match="left on"):
        rows.seen_against(agreed(8), gone, "", BASES)


def test_who_came_back_already_needs_no_words():
    back = person(left(9), agreed(8, EventKind.RESUBSCRIBED, actor="recipient"))
    assert rows.seen_against(agreed(7), back, "", BASES) == agreed(7)


def test_what_lifts_nothing_needs_no_words():
    bought = agreed(8, basis="purchased-list")
    assert rows.seen_against(bought, person(left(9)), "", BASES) == bought
    asked = agreed(8, EventKind.REQUESTED)
    assert rows.seen_against(asked, person(left(9)), "", BASES) == asked


def test_who_was_erased_comes_back_alone():
    with pytest.raises(RowError, match="only they"):
        rows.seen_against(agreed(8), person(erased_at=NOW - timedelta(days=9)), "words", BASES)


def test_strangers_are_taken_as_they_come():
    assert rows.seen_against(agreed(8), STRANGER, "", BASES) == agreed(8)


def test_identity_is_what_the_row_says():
    fact = agreed(8, source="web", text_version="1", note="a")
    same = [
        replace(fact, note="b"),
        replace(fact, text_version="2"),
        replace(fact, kind=EventKind.RESUBSCRIBED, explanation="back"),
    ]
    assert {rows.identity(one) for one in same} == {rows.identity(fact)}
    others = [
        replace(fact, at=NOW),
        replace(fact, basis="form-checkbox"),
        replace(fact, stream="club"),
        replace(fact, kind=EventKind.REQUESTED),
        replace(fact, text_state=TextState.INVALID),
    ]
    assert rows.identity(fact) not in {rows.identity(one) for one in others}
    assert rows.identity(fact, timeless=True) == rows.identity(others[0], timeless=True)


# --- whatever comes ----------------------------------------------------------------------

TEXTS = st.text(max_size=20) | st.sampled_from(
    ["2026-01-01", "2026-01-01T10:00:00Z", "a@kund.example", "web", "newsletter", *COUNTING, *NEVER]
)
ROWS = st.dictionaries(
    st.sampled_from(["basis", "event_at", "stream", "source", "confirmed_at", "withdrawn_at", "note",
                     "categories", "last_activity_at", "text_version"]), TEXTS,
)  # fmt: skip


@given(address=TEXTS, values=ROWS)
def test_any_row_is_evidence_or_refused(address, values):
    """Explicit consent never without its time, never in the future (JU-1)."""
    try:
        found = rows.grant({"address": address, **values}, FRAME, DEFAULTS)
    except RowError:
        return
    if found is None:
        return
    fact = found.fact
    assert fact.at <= NOW
    assert fact.stream in FRAME.streams
    assert fact.source in FRAME.origins
    if fact.basis in EXPLICIT:
        assert values.get("event_at") or values.get("confirmed_at")
        assert not found.timeless
    assert Fact.from_payload(fact.payload()) == fact


@given(text=st.text(max_size=40))
def test_any_text_is_a_time_or_none(text):
    try:
        moment = rows.read_time(text)
    except ValueError:
        return
    assert moment is None or moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("31.12.2025", "2025-12-31T00:00:00"),
        ("1.3.2024 10:00", "2024-03-01T10:00:00"),
        ("2024-01-01 10:00:00.123456789 +0200 CEST", "2024-01-01T08:00:00.123456"),
        ("2024-01-01 10:00:00 UTC", "2024-01-01T10:00:00"),
        ("2024-01-01 10:00", "2024-01-01T10:00:00"),
    ],
)
def test_times_as_programs_write_them(text, said):
    assert rows.read_time(text).isoformat() == f"{said}+00:00"


@pytest.mark.parametrize(
    "text", ["12/31/2024", "1/2/2024", "31.13.2024", "2024-01-01 10:00:00 EST", "soon"]
)
def test_times_that_nobody_can_tell(text):
    with pytest.raises(ValueError):
        rows.read_time(text)
