"""Whose turn it is to do what a store needs done, whatever the clocks say."""

from datetime import timedelta
from functools import partial

from gatepost.store import clock
from gatepost.store.turns import give_back, take_turn

DAY = timedelta(days=1)


def turn(store):
    return store.write_now(partial(take_turn, work="sweeping", every=DAY))


def test_once_a_day(store, monkeypatch):
    assert turn(store)
    now = store.now()  # the turn was before that
    assert not turn(store)
    monkeypatch.setattr(clock.Clock, "now", lambda _: now + DAY)
    assert turn(store)
    store.write_now(partial(give_back, work="sweeping", every=DAY, again_in=timedelta(hours=1)))
    assert not turn(store)
    monkeypatch.setattr(clock.Clock, "now", lambda _: now + DAY + timedelta(hours=1))
    assert turn(store)


def test_a_clock_that_was_wrong_once_holds_up_nobody(store, monkeypatch):
    now = store.now()
    monkeypatch.setattr(clock.Clock, "now", lambda _: now + 3650 * DAY)
    assert turn(store)
    monkeypatch.setattr(clock.Clock, "now", lambda _: now)
    assert turn(store)
    assert not turn(store)
    monkeypatch.setattr(clock.Clock, "now", lambda _: now - timedelta(seconds=2))
    assert not turn(store), "a little behind another gateway"
