"""Whom a run of retention looks at: everybody once, then only where something came up."""

from datetime import UTC, datetime, timedelta

import pytest

from gatepost.app import looking
from gatepost.app.looking import Looking
from gatepost.consent.bases import Bases
from gatepost.consent.retention import Terms
from gatepost.mail.address import parse
from gatepost.mail.duration import Duration
from gatepost.store import clock, looks, people, retention, strangers
from gatepost.store.looks import STRANGERS, Look
from support.consents import granted, withdrawn

START = datetime(2020, 3, 1, 12, tzinfo=UTC)
TERMS = Terms(evidence=Duration(months=24), unconfirmed=Duration(months=1))
BASES = Bases.built_in()
ANNA, BO, CY = (parse(f"{name}@kund.example") for name in ("anna", "bo", "cy"))


class Round:
    """What one run would look at, with a clock that the test moves."""

    def __init__(self, store, monkeypatch):
        self.store, self.now = store, START
        monkeypatch.setattr(clock.Clock, "now", lambda _self: self.now)

    def record(self, address, *facts):
        return self.store.write_now(lambda tx: people.record(tx, address, facts))

    def subject(self, address):
        made = self.store.write_now(lambda tx: people.ensure_subjects(tx, [address]))
        return made[address.key]

    def go(self, terms=TERMS, bases=BASES, pages=None):
        """The people of each page, which is done; at most so many pages."""
        round_ = Looking(self.store, terms, bases)
        seen = []
        for page in round_.pages():
            judged = self.store.read_now(
                lambda tx, p=page: retention.judge(tx, p.people, terms, bases)
            )
            round_.done(page, judged.looks)
            seen.append(list(page.people))
            if len(seen) == pages:
                break
        return [number for some in seen for number in some]


@pytest.fixture
def world(store, monkeypatch):
    return Round(store, monkeypatch)


def test_everybody_is_looked_at_once_and_then_nobody(world):
    known = {world.subject(one) for one in (ANNA, BO)}
    world.record(ANNA, granted(at=START))
    world.now += timedelta(hours=2)
    assert set(world.go()) >= known
    assert world.go() == []


def test_who_has_news_is_looked_at(world):
    world.record(ANNA, granted(at=START))
    world.record(BO, granted(at=START))
    world.now += timedelta(hours=2)
    world.go()
    world.record(BO, withdrawn(at=world.now))
    assert world.go() == [world.subject(BO)]
    assert world.go() == [world.subject(BO)], "an event may be committed after a later one"
    world.now += timedelta(hours=2)
    assert world.go() == [world.subject(BO)]
    assert world.go() == []


def test_a_look_comes_when_its_time_has_come(world):
    world.record(ANNA, granted(at=START, basis="purchase"))
    world.record(BO, granted(at=START))  # nothing ends this but what is still to be recorded
    world.now += timedelta(hours=2)
    world.go()
    anna = world.subject(ANNA)
    world.now = START.replace(year=2022) - timedelta(seconds=1)
    assert world.go() == []
    world.now += timedelta(seconds=1)
    assert anna in world.go()
    due = world.store.read_now(lambda tx: retention.judge(tx, [anna], TERMS, BASES)).due
    assert [one.subject for one in due] == [anna]


@pytest.mark.parametrize(
    ("terms", "bases"),
    [
        (Terms(evidence=Duration(months=36), unconfirmed=Duration(months=1)), BASES),
        (TERMS, Bases.built_in(Duration(months=12))),
    ],
)
def test_other_rules_begin_anew_with_everybody(world, terms, bases):
    world.record(ANNA, granted(at=START))
    world.now += timedelta(hours=2)
    world.go()
    assert world.go() == []
    assert world.go(terms, bases) == [world.subject(ANNA)]
    assert world.go(terms, bases) == []


def test_what_was_derived_anew_is_looked_at(world):
    world.record(ANNA, granted(at=START))
    world.record(BO, granted(at=START))
    world.now += timedelta(hours=2)
    world.go()
    anna, bo = world.subject(ANNA), world.subject(BO)
    world.store.write_now(lambda tx: people.rebuild_subjects(tx, [anna]))
    assert world.go() == [anna]
    assert world.go() == []
    world.store.write_now(people.rebuild)
    assert world.go() == sorted([anna, bo])


def test_a_round_that_was_broken_off_goes_on(world, monkeypatch):
    monkeypatch.setattr(looks, "PAGE", 1)
    monkeypatch.setattr(looking, "_UNWRITTEN", 1)
    everybody = sorted(world.subject(one) for one in (ANNA, BO, CY))
    assert world.go(pages=1) == everybody[:1]
    assert world.go() == everybody[1:]
    assert world.go() == []


def test_strangers_are_noted_and_go_when_they_are_old(world):
    anna, bo = world.subject(ANNA), world.subject(BO)
    world.record(BO, granted(at=START))
    world.go()
    read, write = world.store.read_now, world.store.write_now
    assert read(looks.strangers) == [anna]
    young = read(lambda tx: strangers.split(tx, [anna, bo], START))
    assert young == strangers.Split(idle=[], later=[anna])
    old = read(lambda tx: strangers.split(tx, [anna, bo], START + timedelta(seconds=1)))
    assert old == strangers.Split(idle=[anna], later=[])
    assert write(lambda tx: strangers.forget(tx, [anna, bo], [anna])) == 1
    assert read(looks.strangers) == []
    assert read(lambda tx: people.address_of(tx, bo)) == BO


def test_looks_are_kept_once_and_struck_out(world):
    write, read = world.store.write_now, world.store.read_now
    write(lambda tx: looks.note(tx, [Look(5, 1), Look(5, 1), Look(STRANGERS, 2)]))
    write(lambda tx: looks.note(tx, [Look(5, 1)]))
    assert read(looks.due) == [Look(5, 1)]
    assert read(lambda tx: looks.due(tx, Look(5, 1))) == []
    write(lambda tx: looks.strike(tx, [Look(5, 1)]))
    assert read(looks.due) == []
