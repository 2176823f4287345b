"""Facts and the bytes that the ledger commits to."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.consent.evidence import EVIDENCE_KINDS, EventKind, Fact, TextState, commitment

T0 = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
texts = st.text(max_size=20)
moments = st.datetimes(timezones=st.just(UTC))


@given(
    st.builds(
        Fact,
        kind=st.sampled_from(EventKind),
        at=moments,
        sender=texts,
        stream=texts,
        basis=texts,
        text_state=st.sampled_from(TextState),
        confirmed_at=st.none() | moments,
        categories=st.lists(texts).map(tuple),
        bought=st.booleans(),
        note=texts,
        rule=texts,
        extent=st.sampled_from(["", "rest", "all"]),
        due=st.none() | moments,
    )
)
def test_a_payload_says_all_of_a_fact(fact):
    assert Fact.from_payload(fact.payload()) == fact
    assert Fact.from_payload(fact.payload()).payload() == fact.payload()
    again = json.loads(fact.payload())
    assert json.dumps(
        again, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode() == (fact.payload())


def test_a_payload_is_canonical():
    fact = Fact(kind=EventKind.GRANTED, at=T0, stream="nyheter", note="å")
    assert (
        fact.payload()
        == (
            '{"at":"2026-03-29T01:30:00.000+00:00","kind":"granted","note":"å","stream":"nyheter"}'
        ).encode()
    )


def test_times_are_kept_in_utc_and_milliseconds():
    local = T0.astimezone(timezone(timedelta(hours=2))) + timedelta(microseconds=1999)
    fact = Fact(kind=EventKind.GRANTED, at=local)
    assert fact.at == T0 + timedelta(milliseconds=1)
    assert fact.at.tzinfo is UTC


@pytest.mark.parametrize("name", ["at", "confirmed_at", "last_activity_at", "due"])
def test_a_time_without_a_zone_is_refused(name):
    with pytest.raises(ValueError, match="zone"):
        Fact(**{"kind": EventKind.GRANTED, "at": T0, name: T0.replace(tzinfo=None)})


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"7", b"{}", b'{"kind":"granted"}', b'{"kind":"bought","at":"2026-01-01T00:00Z"}',
     b'{"kind":"granted","at":"yesterday"}', b'{"kind":"granted","at":"2026-01-01T00:00Z","x":1}',
     b"\xff", b'{"kind":"granted","at":7}',
     b'{"kind":"erased","at":"2026-01-01T00:00Z","extent":"half"}'],
)  # fmt: skip
def test_what_is_no_payload_is_refused(payload):
    with pytest.raises(ValueError):
        Fact.from_payload(payload)


def test_a_commitment_depends_on_salt_and_payload():
    assert (
        len({commitment(salt, text) for salt in (b"a" * 16, b"b" * 16) for text in (b"x", b"y")})
        == 4
    )


def erasure(**more):
    return Fact(kind=EventKind.ERASED, at=T0, **more)


def test_an_erasure_of_the_rest_spares_the_evidence():
    """Who asks to be erased stays on record with what shows that mail was sent rightly."""
    rest = erasure(rule="request", extent="rest", due=T0 + timedelta(days=730))
    spared = {kind for kind in EventKind if not rest.erases(kind)}
    assert spared == EVIDENCE_KINDS | {EventKind.ERASED, EventKind.SENDER_REMOVED}
    assert {kind for kind in EventKind if rest.erases(kind)} >= {
        EventKind.ENGAGED, EventKind.BOUNCED, EventKind.COMPLAINED, EventKind.SUPPRESSED,
    }  # fmt: skip


@pytest.mark.parametrize("extent", ["", "all"])
def test_any_other_erasure_takes_all(extent):
    """But not what erasures say: they name nobody, and show why the others are gone."""
    spared = {kind for kind in EventKind if not erasure(extent=extent).erases(kind)}
    assert spared == {EventKind.ERASED, EventKind.SENDER_REMOVED}


def test_an_erasure_recorded_before_rules_were_named_still_reads():
    old = b'{"at":"2026-01-01T00:00:00.000+00:00","kind":"erased","method":"page"}'
    fact = Fact.from_payload(old)
    assert (fact.rule, fact.extent, fact.due) == ("", "", None)
    assert fact.payload() == old


def test_only_an_erasure_erases():
    assert not any(
        Fact(kind=kind, at=T0, extent="all").erases(EventKind.ENGAGED)
        for kind in EventKind
        if kind is not EventKind.ERASED
    )
