"""Once a day per store, whoever of its gateways comes first."""

import asyncio
import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from gatepost.app import daily
from gatepost.app.daily import Daily
from gatepost.app.wiring import wire
from gatepost.config import load
from gatepost.consent.evidence import EventKind
from gatepost.mail.address import parse
from gatepost.mail.recipient_state import State
from gatepost.store import clock, people, turns
from gatepost.store.engine import StoreUnavailable
from gatepost.store.tables import mail as tables
from gatepost.store.tables.ledger import meta
from gatepost.store.tables.uses import consent_use
from support.command import CONFIG
from support.consents import granted, withdrawn
from support.submissions import accept, change, claim, mark, outcome, rows_of, submission

LONG_AGO = datetime(2020, 2, 29, 12, tzinfo=UTC)


@pytest.fixture
def chores(store, tmp_path):
    (tmp_path / "config.toml").write_text(CONFIG)
    wiring = wire(load(tmp_path / "config.toml", os.environ))
    return Daily(store, lambda: wiring)


def record_old(store, address):
    facts = [granted(at=LONG_AGO), withdrawn(at=LONG_AGO)]
    return store.write_now(lambda tx: people.record(tx, parse(address), facts))


def kinds(store, subject):
    known = store.read_now(lambda tx: people.history_of_subject(tx, subject))
    return [one.kind for one in known.events]


async def test_a_second_gateway_leaves_the_day_alone(store, chores):
    first = record_old(store, "anna@example.org")
    await chores.apply_retention()
    assert kinds(store, first)[-1] is EventKind.ERASED
    second = record_old(store, "bo@example.org")
    await chores.apply_retention()
    assert EventKind.ERASED not in kinds(store, second)
    (row,) = [row for row in rows_of(store, meta) if "retention" in row["name"]]
    change(store, meta, {"value": str(int(row["value"]) - 86_400_000)}, name=row["name"])
    await chores.apply_retention()
    assert kinds(store, second)[-1] is EventKind.ERASED


async def test_a_run_that_fails_is_made_again_within_hours(store, chores, monkeypatch):
    subject = record_old(store, "anna@example.org")
    monkeypatch.setattr(daily, "AGAIN", daily.DAILY * 0)
    with monkeypatch.context() as broken:
        broken.setattr(daily.Retention, "run", _fail)
        with pytest.raises(OSError, match="disk"):
            await chores.apply_retention()
    assert EventKind.ERASED not in kinds(store, subject)
    await chores.apply_retention()
    assert kinds(store, subject)[-1] is EventKind.ERASED


async def test_a_run_that_a_stop_breaks_off_is_made_again_after_the_start(
    store, chores, monkeypatch
):
    subject = record_old(store, "anna@example.org")
    begun, gate = threading.Event(), threading.Event()

    def run(_run):
        begun.set()
        assert gate.wait(30)

    with monkeypatch.context() as held:
        held.setattr(daily.Retention, "run", run)
        task = asyncio.ensure_future(chores.apply_retention())
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
    await chores.apply_retention()
    assert kinds(store, subject)[-1] is EventKind.ERASED


async def test_a_stop_is_not_lost_on_a_store_that_is_away(store, chores, monkeypatch):
    """Or the chore would begin to wait for its next turn, and the stop for the chore."""
    begun, gate = threading.Event(), threading.Event()

    def run(_run):
        begun.set()
        assert gate.wait(30)

    monkeypatch.setattr(daily.Retention, "run", run)
    task = asyncio.ensure_future(chores.apply_retention())
    await asyncio.to_thread(begun.wait, 30)
    store.close()
    task.cancel()
    await asyncio.wait({task}, timeout=30)
    gate.set()
    assert task.cancelled()


async def test_a_turn_that_a_store_does_not_take_back_is_given_back_later(
    store, chores, monkeypatch
):
    subject = record_old(store, "anna@example.org")
    away = [StoreUnavailable("away")]

    def give_back(*given, **named):
        if away:
            raise away.pop()
        turns.give_back(*given, **named)

    monkeypatch.setattr(daily, "give_back", give_back)
    monkeypatch.setattr(daily, "AGAIN", daily.DAILY * 0)
    with monkeypatch.context() as broken:
        broken.setattr(daily.Retention, "run", _fail)
        with pytest.raises(OSError, match="disk"):
            await chores.apply_retention()
    await chores.apply_retention()
    assert kinds(store, subject)[-1] is EventKind.ERASED


async def test_a_clock_that_was_set_is_not_believed_for_a_day(store, chores, monkeypatch):
    """What one wrong clock erases, no right one brings back."""
    address = parse("anna@example.org")
    agreed = [granted(at=store.now()), withdrawn(at=store.now())]
    subject = store.write_now(lambda tx: people.record(tx, address, agreed))
    now = store.now() + timedelta(days=4000)
    at = float(round(clock.elapsed()))  # in whole seconds a sum is exact, however large
    monkeypatch.setattr(clock.Clock, "now", lambda _: now)
    for hours in (0, 1, 23):
        monkeypatch.setattr(daily, "elapsed", lambda at=at + 3600 * hours: at)
        monkeypatch.setattr(clock.Clock, "now", lambda _, on=timedelta(hours=hours): now + on)
        await chores.apply_retention()
        assert EventKind.ERASED not in kinds(store, subject)
    monkeypatch.setattr(daily, "elapsed", lambda: at + 86_400)
    monkeypatch.setattr(clock.Clock, "now", lambda _: now + timedelta(days=1))
    await chores.apply_retention()
    assert kinds(store, subject)[-1] is EventKind.ERASED, "it is the time, after all"


def _fail(_run):
    raise OSError("disk")


async def test_uses_are_gathered_along_the_way(store, chores):
    subject = store.write_now(lambda tx: people.record(tx, parse("a@example.org"), [granted()]))
    accept(store, submission("a@example.org"))
    change(store, tables.recipient, {"subject": subject})
    mark(store, *(outcome(row, State.DELIVERED) for row in claim(store)))
    await chores.gather()
    (use,) = rows_of(store, consent_use)
    assert (use["subject"], use["copies"]) == (subject, 1)
