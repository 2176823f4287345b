"""The retention run against a model of its own: never too early, and the ledger stays whole."""

import calendar
import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gatepost.app.erasure import Eraser
from gatepost.app.retention import Retention
from gatepost.app.wiring import wire
from gatepost.config import load
from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.retention import Terms
from gatepost.mail.address import parse
from gatepost.mail.recipient_state import State
from gatepost.mail.verdict import Disposition, Reason, Verdict
from gatepost.store import clock, ledger, looks, people, places, retention, suppressions
from gatepost.store.engine import Store
from gatepost.store.tables import mail as tables
from support.command import CONFIG
from support.consents import granted, suppressed, withdrawn
from support.submissions import accept, change, claim, mark, outcome, rows_of, submission

START = datetime(2019, 12, 31, 12, tzinfo=UTC)
PEOPLE = ("anna@kund.example", "bo@kund.example")


@pytest.fixture
def wiring(tmp_path):
    (tmp_path / "config.toml").write_text(CONFIG)
    return wire(load(tmp_path / "config.toml", os.environ))


def two_years_after(moment):
    """The date two years on, said without the program's own calendar."""
    year = moment.year + 2
    day = min(moment.day, calendar.monthrange(year, moment.month)[1])
    return moment.replace(year=year, day=day)


class World:
    """A store whose clock the test moves, and what must be kept by the rule of JU-23."""

    def __init__(self, store, wiring, monkeypatch):
        self.store, self.wiring = store, wiring
        self.now = START
        monkeypatch.setattr(clock.Clock, "now", lambda _self: self.now)
        self.last = {}
        self.in_force = {}
        self.free = dict.fromkeys(PEOPLE, 0)  # how many of a person's proofs need not be kept

    def agree(self, who, basis):
        if who in self.in_force and self.in_force[who] == "erased":
            return
        self.record(who, granted(at=self.now, basis=basis))
        self.touch(who)
        forever = self.in_force.get(who) == "forever" or basis == "newsletter-form"
        self.in_force[who] = "forever" if forever else two_years_after(self.now)

    def leave(self, who):
        self.record(who, withdrawn(at=self.now))
        self.touch(who)
        if self.in_force.get(who) != "erased":
            self.in_force[who] = None

    def mail(self, who):
        """A copy on the consent, delivered now."""
        subject = self.subject(who)
        if subject is None or self.in_force.get(who) in (None, "erased"):
            return
        verdict = Verdict(Disposition.DELIVER, Reason.CONSENTED, "evidence", START)
        result = accept(self.store, submission(who, verdicts={who: verdict}))[0].submission
        change(self.store, tables.recipient, {"subject": subject}, submission=result)
        mark(self.store, *(outcome(row, State.DELIVERED) for row in claim(self.store)))
        self.touch(who)

    def ask(self, who):
        kept = self.wiring.settings.retention
        terms = Terms(evidence=kept.evidence, unconfirmed=kept.unconfirmed)
        Eraser(self.store, terms, self.wiring.policy.bases).erase(parse(who))
        if self.subject(who) is not None:
            self.in_force[who] = "erased"

    def wait(self, days):
        self.now += timedelta(days=days)

    def run(self):
        """Those who are due are found, though not everybody is looked at."""
        kept = self.wiring.settings.retention
        terms = Terms(evidence=kept.evidence, unconfirmed=kept.unconfirmed)
        everybody = self.store.read_now(lambda tx: looks.people_after(tx, 0))
        Retention(self.store, self.wiring.settings, self.wiring.policy.bases).run()
        judged = self.store.read_now(
            lambda tx: retention.judge(tx, everybody, terms, self.wiring.policy.bases)
        )
        assert judged.due == [], "overlooked"

    def record(self, who, fact):
        self.store.write_now(lambda tx: people.record(tx, parse(who), [fact]))

    def touch(self, who):
        self.last[who] = self.now

    def subject(self, who):
        known = self.store.read_now(lambda tx: people.history(tx, parse(who)))
        return known.subject if known else None

    def evidence(self, who):
        known = self.store.read_now(lambda tx: people.history(tx, parse(who)))
        wanted = {EventKind.GRANTED, EventKind.WITHDRAWN}
        return [one for one in known.events if one.kind in wanted] if known else []

    def check(self):
        assert self.store.read_now(ledger.verify) == []
        for who, last in self.last.items():
            if self.now >= two_years_after(last) and self.in_force[who] != "forever":
                self.free[who] = len(self.evidence(who))
            told = [one.fact is not None for one in self.evidence(who)][self.free[who] :]
            assert all(told), (who, last, self.now)


ACTS = st.one_of(
    st.tuples(st.just("agree"), st.sampled_from(PEOPLE), st.sampled_from(["newsletter-form", "purchase"])),
    st.tuples(st.sampled_from(["leave", "mail", "mail", "ask"]), st.sampled_from(PEOPLE)),
    st.tuples(st.just("wait"), st.sampled_from([1, 28, 59, 300, 365, 366, 730, 731])),
    st.tuples(st.just("run")),
)  # fmt: skip


ANNA, BO = PEOPLE
MAILED_LATE = [
    ("agree", ANNA, "purchase"), ("wait", 300), ("mail", ANNA), ("wait", 440), ("run",),
]  # fmt: skip
LEFT_LATE = [
    ("agree", BO, "newsletter-form"),
    ("wait", 731),
    ("leave", BO),
    ("wait", 729),
    ("run",),
]
ASKED_AFTER_MAIL = [
    ("agree", BO, "newsletter-form"), ("mail", BO), ("wait", 59), ("ask", BO), ("wait", 660), ("run",),
]  # fmt: skip


@example(MAILED_LATE)
@example([*MAILED_LATE[:4], ("ask", ANNA)])
@example(LEFT_LATE)
@example(ASKED_AFTER_MAIL)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ACTS, min_size=3, max_size=12).map(lambda acts: [MAILED_LATE[0], *acts]))
def test_evidence_is_never_gone_before_its_date(tmp_path_factory, acts):
    """JU-23, ME-6, promise 5: whatever happens, in whatever order."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "config.toml").write_text(CONFIG)
    wiring = wire(load(folder / "config.toml", os.environ))
    with pytest.MonkeyPatch.context() as patch, Store.open("", folder / "data") as store:
        world = World(store, wiring, patch)
        for name, *values in acts:
            world.wait(1)
            getattr(world, name)(*values)
            world.check()
        world.wait(1)
        world.run()
        world.check()
        world.run()
        world.check()


def test_what_is_past_its_date_goes_on_both_engines(store, wiring, monkeypatch):
    """The other side of the same rule: the day before nothing, the day after everything."""
    world = World(store, wiring, monkeypatch)
    world.now = datetime(2020, 2, 29, 12, tzinfo=UTC)
    anna, bo = PEOPLE
    world.agree(anna, "newsletter-form")
    world.agree(bo, "newsletter-form")
    world.record(bo, suppressed(reason="hard-bounce", at=world.now))
    world.wait(10)
    world.leave(anna)
    world.wait(-5)
    assert len(world.evidence(anna)) == 2
    for moment, kept in (
        (datetime(2022, 2, 28, 11, tzinfo=UTC), {anna: True, bo: True}),
        (datetime(2022, 2, 28, 13, tzinfo=UTC), {anna: True, bo: False}),
        (datetime(2022, 3, 10, 11, tzinfo=UTC), {anna: True, bo: False}),
        (datetime(2022, 3, 10, 13, tzinfo=UTC), {anna: False, bo: False}),
    ):
        world.now = moment
        world.run()
        for who, stays in kept.items():
            assert all(one.fact for one in world.evidence(who)) is stays, (who, moment)
        assert store.read_now(ledger.verify) == []
    known = store.read_now(lambda tx: suppressions.of_subject(tx, world.subject(bo)))
    assert [(one.reason, one.address) for one in known] == [("hard-bounce", "")]
    erasures = [
        one.fact
        for one in store.read_now(lambda tx: people.history(tx, parse(anna))).events
        if one.kind is EventKind.ERASED
    ]
    assert [(one.rule, one.extent, one.due) for one in erasures] == [
        ("evidence-term", "all", datetime(2022, 3, 10, 12, tzinfo=UTC))
    ]


def test_the_mail_of_people_on_several_pages_is_looked_for_once(store, wiring, monkeypatch):
    """Each time all mail is read, and a round through everybody has thousands of pages."""
    monkeypatch.setattr(looks, "PAGE", 1)
    searches, find = [], places.find
    monkeypatch.setattr(
        places, "find", lambda tx, people: searches.append(people) or find(tx, people)
    )
    world = World(store, wiring, monkeypatch)
    for who in PEOPLE:
        world.agree(who, "newsletter-form")
        world.leave(who)
    world.wait(800)
    world.run()
    assert [len(people) for people in searches if people] == [len(PEOPLE)]
    world.check()
    for who in PEOPLE:
        assert not any(one.fact for one in world.evidence(who)[:2])


def test_a_sign_up_that_nobody_confirmed_goes_after_its_term(store, wiring, monkeypatch):
    world = World(store, wiring, monkeypatch)
    asked = Fact(
        kind=EventKind.REQUESTED, at=START, sender="acme", stream="newsletter", actor="recipient",
        ip="192.0.2.1", user_agent="Browser",
    )  # fmt: skip
    world.record(PEOPLE[0], asked)
    world.wait(29)
    world.run()
    known = store.read_now(lambda tx: people.history(tx, parse(PEOPLE[0])))
    assert known.address == PEOPLE[0]
    world.wait(2)
    world.run()
    known = store.read_now(lambda tx: people.history(tx, parse(PEOPLE[0])))
    assert known.address == ""
    assert [one.fact.rule for one in known.events if one.fact] == ["unconfirmed"]
    assert store.read_now(ledger.verify) == []


def test_addresses_of_strangers_without_a_record_go(store, wiring, monkeypatch):
    world = World(store, wiring, monkeypatch)
    ids = store.write_now(lambda tx: people.ensure_subjects(tx, [parse(PEOPLE[0])]))
    world.wait(89)
    world.run()
    (number,) = ids.values()
    assert store.read_now(lambda tx: people.address_of(tx, number)) == parse(PEOPLE[0])
    world.wait(2)
    world.run()
    assert store.read_now(lambda tx: people.address_of(tx, number)) is None
    world.record(PEOPLE[0], granted(at=world.now))
    assert world.subject(PEOPLE[0]) == number
    assert store.read_now(lambda tx: people.address_of(tx, number)) == parse(PEOPLE[0])


def test_a_dry_run_says_what_the_run_then_does(store, wiring, monkeypatch):
    world = World(store, wiring, monkeypatch)
    world.agree(PEOPLE[0], "purchase")
    world.mail(PEOPLE[0])
    world.agree(PEOPLE[1], "newsletter-form")
    world.wait(800)
    work = Retention(store, wiring.settings, wiring.policy.bases)
    before = rows_of(store, tables.submission)
    said = [(step.rule, step.what, step.count) for step in work.preview().steps]
    assert rows_of(store, tables.submission) == before
    done = [(step.rule, step.what, step.count) for step in work.run().steps]
    assert said == done
    assert ("evidence-term", "people", 1) in done
    assert ("verdict-term", "submissions", 1) in done
    assert ("campaign-term", "campaigns", 1) in done
    again = Retention(store, wiring.settings, wiring.policy.bases).run()
    assert [step.count for step in again.steps] == [0] * len(again.steps)


@pytest.mark.parametrize(
    ("lifetime", "term"),
    [
        ("unlimited", (91, "retention.verdicts")),
        ("60 days", (91, "retention.verdicts")),
        ("200 days", (201, "links.lifetime")),
    ],
)
def test_a_submission_stays_as_long_as_its_links_work(store, tmp_path, monkeypatch, lifetime, term):
    days, setting = term
    (tmp_path / "config.toml").write_text(f'{CONFIG}\n[links]\nlifetime = "{lifetime}"\n')
    world = World(store, wire(load(tmp_path / "config.toml", os.environ)), monkeypatch)
    world.agree(PEOPLE[0], "newsletter-form")
    world.mail(PEOPLE[0])
    world.wait(days - 2)
    world.run()
    assert rows_of(store, tables.submission)
    world.wait(2)
    steps = Retention(store, world.wiring.settings, world.wiring.policy.bases).run().steps
    assert not rows_of(store, tables.submission)
    assert [step.setting for step in steps if step.what == "submissions"] == [setting]
