"""On or off, and what saving changes: from facts, folded as the ledger folds them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.fold import fold_all
from gatepost.consent.leaving import has_left
from gatepost.consent.standing import STRANGER, Person, Suppression
from gatepost.mail.stream import Kind, Stream
from gatepost.web.choices import Wish, changes, is_blocked, is_on, may_join, may_undo

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
NEWS = Stream(name="news", kind=Kind.BULK, sender="acme")
DOUBLE = replace(NEWS, double_opt_in=True)


def at(minutes):
    return NOON + timedelta(minutes=minutes)


def granted(minutes, basis="form-checkbox", **more):
    return Fact(kind=EventKind.GRANTED, at=at(minutes), basis=basis, actor="import", **more)


def withdrawn(minutes):
    return Fact(kind=EventKind.WITHDRAWN, at=at(minutes), actor="recipient")


def came_back(minutes, **more):
    more = {"actor": "recipient", "basis": "newsletter-form"} | more
    return Fact(kind=EventKind.RESUBSCRIBED, at=at(minutes), **more)


def person(*facts, suppressions=(), erased=None):
    return Person(1, fold_all(facts), tuple(suppressions), erased)


def everything(minutes, reason="unsubscribed"):
    return Suppression("bulk", reason, at(minutes))


@pytest.mark.parametrize(
    ("who", "on"),
    [
        (STRANGER, False),  # neither yes nor no is no (D1)
        (person(granted(-9)), True),
        (person(granted(-9, "purchased-list")), False),
        (person(granted(-9), withdrawn(-5)), False),
        (person(withdrawn(-5), granted(-1)), False),  # an import does not bring anybody back
        (person(granted(-9), withdrawn(-5), came_back(-1)), True),
        (person(granted(-9), withdrawn(-5), came_back(-1, basis="")), True),
        (person(withdrawn(-5), came_back(-7)), False),
        (person(Fact(kind=EventKind.REQUESTED, at=at(-9), actor="recipient")), False),
        (person(granted(-9), suppressions=[everything(-5)]), False),
        (person(granted(-9), came_back(-1), suppressions=[everything(-5)]), True),  # HR-7, E2
        (person(granted(-9), erased=at(-5)), False),
        (person(came_back(-1), erased=at(-5)), True),
    ],
)
def test_on_or_off(who, on):
    assert is_on(NEWS, who) is on


def test_an_observed_stream_is_on_unless_somebody_left():
    observed = replace(NEWS, observe=True)
    assert is_on(observed, STRANGER)
    assert not is_on(observed, person(withdrawn(-5)))


def test_double_opt_in_needs_more_than_a_tick():
    confirmed = granted(-90, "double-opt-in", confirmed_at=at(-90))
    assert not is_on(DOUBLE, person(granted(-9)))
    assert is_on(DOUBLE, person(confirmed))
    assert not may_join(DOUBLE, STRANGER, NOON)
    assert may_join(NEWS, STRANGER, NOON)
    assert may_join(DOUBLE, person(confirmed, withdrawn(-59)), NOON)  # undone within the hour
    assert not may_join(DOUBLE, person(confirmed, withdrawn(-61)), NOON)
    assert not may_join(DOUBLE, person(granted(-90), withdrawn(-5)), NOON)
    undone = person(confirmed, withdrawn(-5), came_back(-1, basis=""))
    assert is_on(DOUBLE, undone)


def test_undoing_restores_only_what_was_there():
    assert may_undo(NEWS, person(granted(-9), withdrawn(-5)), NOON)
    assert not may_undo(NEWS, person(withdrawn(-5)), NOON)
    assert not may_undo(NEWS, person(granted(-9)), NOON)
    assert not may_undo(NEWS, person(granted(-9, "found"), withdrawn(-5)), NOON)


def test_whoever_left_need_not_leave_again():
    assert has_left(person(granted(-9), withdrawn(-5)))
    assert not has_left(STRANGER)
    assert not has_left(person(granted(-9)))
    assert not has_left(person(withdrawn(-5), came_back(-1)))
    assert not has_left(person(withdrawn(-5), granted(-1)))  # in doubt it is recorded again


def test_blocked_by_bounces_or_by_hand():
    assert is_blocked(person(suppressions=[Suppression("all", "hard-bounce", at(-5))]))
    assert not is_blocked(person(suppressions=[everything(-5)]))


def test_only_differences_are_recorded():
    """HR-7: exactly the selected streams; SO-11."""
    streams = [replace(NEWS, name=name) for name in ("a", "b", "c", "d", "e")]
    on = person(granted(-9))
    persons = {"a": on, "b": on, "c": STRANGER, "d": STRANGER, "e": on}
    wish = Wish(frozenset("abcd"), frozenset("bcx"))
    joined, left = changes(streams, persons, wish, NOON)
    assert [stream.name for stream in joined] == ["c"]
    assert left == ["a"]  # "e" was not shown, "x" is no stream of the sender
    assert changes(streams, persons, Wish(frozenset("ab"), frozenset("ab")), NOON) == ([], [])
    assert changes(streams, persons, Wish(nothing=True), NOON) == ([], [""])


def test_nothing_at_all_is_recorded_once():
    streams = [NEWS]
    gone = person(granted(-9), suppressions=[everything(-5)])
    back = person(granted(-9), came_back(-1), suppressions=[everything(-5)])
    assert changes(streams, {"news": gone}, Wish(nothing=True), NOON) == ([], [])
    assert changes(streams, {"news": back}, Wish(nothing=True), NOON) == ([], [""])
    complained = person(granted(-9), suppressions=[everything(-5, "complaint")])
    assert changes(streams, {"news": complained}, Wish(nothing=True), NOON) == ([], [""])
    assert changes([], {}, Wish(nothing=True), NOON) == ([], [""])
