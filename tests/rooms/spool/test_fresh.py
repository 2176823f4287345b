"""Promise 3: a withdrawal wins at once, also over copies that were decided before it."""

from datetime import UTC, datetime, timedelta

import pytest

from gatepost.flow.spool.fresh import FreshWithdrawals

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("withdrawn", "copy", "covered"),
    [
        ((7, "acme", "news"), (7, "acme", "news"), True),
        ((7, "acme", ""), (7, "acme", "news"), True),
        ((7, "", ""), (7, "acme", "news"), True),
        ((7, "acme", "news"), (7, "acme", "offers"), False),
        ((7, "acme", ""), (7, "other", "news"), False),
        ((8, "acme", "news"), (7, "acme", "news"), False),
    ],
)
def test_scope(withdrawn, copy, covered):
    fresh = FreshWithdrawals()
    fresh.add(*withdrawn, NOW)
    assert fresh.covers(*copy, decided_at=NOW - MINUTE) is covered


def test_who_came_back_gets_the_copies_decided_afterwards():
    fresh = FreshWithdrawals()
    fresh.add(7, "acme", "news", NOW)
    assert not fresh.covers(7, "acme", "news", decided_at=NOW + MINUTE)


def test_in_doubt_the_withdrawal_wins():
    fresh = FreshWithdrawals()
    fresh.add(7, "acme", "news", NOW)
    assert fresh.covers(7, "acme", "news", decided_at=NOW + timedelta(seconds=1))


def test_prune_forgets_only_what_is_older():
    fresh = FreshWithdrawals()
    fresh.add(1, "acme", "news", NOW - 10 * MINUTE)
    fresh.add(2, "acme", "news", NOW)
    fresh.prune(NOW, 5 * MINUTE)
    assert len(fresh) == 1
    assert fresh.covers(2, "acme", "news", decided_at=NOW - MINUTE)


def test_who_leaves_again_is_remembered_from_then_on():
    """Pruning stops at the first that stays: whoever is added again moves behind it."""
    fresh = FreshWithdrawals()
    for subject, at in ((1, NOW - 10 * MINUTE), (2, NOW - 9 * MINUTE), (3, NOW), (1, NOW)):
        fresh.add(subject, "acme", "news", at)
    fresh.prune(NOW, 5 * MINUTE)
    assert len(fresh) == 2
    assert fresh.covers(1, "acme", "news", decided_at=NOW - MINUTE)
    assert not fresh.covers(2, "acme", "news", decided_at=NOW - MINUTE)


def test_who_cannot_look_begins_nothing_within_the_second():
    fresh = FreshWithdrawals()
    assert fresh.is_current(1000.0), "nobody looks, because nobody else records anything"
    fresh.looked(1000.0)
    assert fresh.is_current(1000.5)
    assert not fresh.is_current(1001.0)
    fresh.looked(1000.9)
    assert fresh.is_current(1001.0)


def test_the_list_says_since_when_it_is_whole():
    """What was decided before that nobody can judge any more."""
    fresh = FreshWithdrawals()
    assert fresh.begins < NOW - 10_000 * MINUTE
    fresh.add(7, "acme", "news", NOW - 2 * MINUTE)
    fresh.prune(NOW, MINUTE)
    assert (len(fresh), fresh.begins) == (0, NOW - MINUTE)
    fresh.prune(NOW - MINUTE / 2, MINUTE)
    assert fresh.begins == NOW - MINUTE, "what was dropped does not come back"


def test_who_leaves_twice_is_heard_twice_and_each_time_once():
    """The store tells of the last minute again and again, and its clock may have been put back."""
    fresh = FreshWithdrawals()
    for at, events in ((NOW, [3]), (NOW + MINUTE, [3]), (NOW + 2 * MINUTE, [3, 5])):
        for event in events:
            fresh.hear(7, "acme", "news", event=event, at=at)
        covered = [fresh.covers(7, "acme", "news", decided_at=NOW + n * MINUTE) for n in (1, 2)]
        assert covered == [5 in events] * 2
