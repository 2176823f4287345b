"""Leases: written before the try, renewed while upstream thinks, and never held by two."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from gatepost.flow.spool.fresh import FreshWithdrawals
from gatepost.flow.spool.queue import Pace, Queue
from gatepost.mail.recipient_state import State
from gatepost.store import clock
from gatepost.store.clock import elapsed
from gatepost.store.engine import Store
from gatepost.store.spool import Marked
from gatepost.store.tables import mail as tables
from gatepost.store.times import from_ms
from support.submissions import LEASE, accept, change, claim, rows_of, submission

LONG = timedelta(seconds=120)
SHORT = timedelta(milliseconds=400)
AHEAD = timedelta(minutes=10)


@pytest.fixture
def other(store, store_url, tmp_path):
    """The same store, opened by another process as it were."""
    with Store.open(store_url, tmp_path / "data") as opened:
        yield opened


def gateway(store, name="gateway-1", lease=LONG):
    return Queue(store, holder=name, retry_after=lambda n: timedelta(minutes=15 * n), lease=lease)


def take(queue, limit=100):
    return queue.claim(
        {"smarthost": limit}, lambda review: [None] * len(review.rows), lambda _stream: False,
        urgent=False,
    )  # fmt: skip


def stall():
    """The loop stands still, as when the process is stopped and goes on."""
    time.sleep(2 * SHORT.total_seconds())


def stall_until_taken(store, other):
    """The same from when the lease is written until another takes up what is under it."""
    while [holder for holder, _ in leases(store)] != ["gateway-1"]:
        time.sleep(0.02)
    while not (rows := claim(other, holder="gateway-2")):
        time.sleep(0.02)
    return rows


def leases(store):
    rows = rows_of(store, tables.recipient)
    return [(row["lease_by"], row["lease_until_ms"]) for row in rows]


def jump(monkeypatch, span):
    """Sets the clock of this machine, as everything in this process sees it."""

    class Jumped(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + span

    monkeypatch.setattr(clock, "datetime", Jumped)


@pytest.mark.parametrize("at_once", [True, False])
async def test_attempt_and_next_time_are_written_before_the_try(store, at_once):
    queue = gateway(store)
    job = submission("ann@one.example", claim=at_once)
    job = submission("ann@one.example", claim=True, lease=queue.first_lease) if at_once else job
    rows = (await queue.put(job)).claimed or await take(queue)
    assert queue.may_begin(rows)
    (row,) = rows_of(store, tables.recipient)
    assert (row["state"], row["attempts"], row["lease_by"]) == ("sending", 1, "gateway-1")
    assert from_ms(row["next_attempt_ms"]) - from_ms(row["last_attempt_ms"]) == timedelta(
        minutes=15
    )
    assert from_ms(row["lease_until_ms"]) - from_ms(row["last_attempt_ms"]) == LONG


async def test_a_lease_is_renewed_for_as_long_as_upstream_thinks(store, other):
    queue = gateway(store)
    accept(store, submission("ann@one.example"))
    rows = await take(queue)
    for _ in range(3):
        nearly = store.now() + timedelta(seconds=1)
        change(store, tables.recipient, {"lease_until_ms": int(nearly.timestamp() * 1000)})
        await queue.renew()
        ((holder, until),) = leases(store)
        assert holder == "gateway-1"
        assert from_ms(until) > store.now() + LONG / 2
        assert claim(other, holder="gateway-2") == []
    assert queue.may_begin(rows)


async def test_who_slept_longer_than_the_lease_begins_nothing(store, other):
    """Neither before it renews nor after, whatever the other one has done meanwhile."""
    queue = gateway(store, lease=SHORT)
    accept(store, submission("ann@one.example", "bo@two.example"))
    rows = await take(queue)
    stall()
    assert not queue.may_begin(rows)
    taken = claim(other, holder="gateway-2", limit=1)
    await queue.renew()
    lost = [row for row in rows if row.id == taken[0].id]
    kept = [row for row in rows if row.id != taken[0].id]
    assert not queue.may_begin(lost)
    assert [holder for holder, _ in leases(store)].count("gateway-2") == 1
    with capture_logs() as logged:
        queue.mark([Marked(row.id, State.DELIVERED, "250 2.0.0 late") for row in lost])
        await queue.settle()
    ((said, count, delivered),) = [(x["event"], x["count"], x["delivered"]) for x in logged]
    assert said.startswith("outcomes came too late")
    assert (count, delivered) == (1, 1)
    assert rows_of(store, tables.recipient, id=taken[0].id)[0]["state"] == "sending"
    assert len(kept) == 1, "what nobody took up is still its own"


async def test_who_slept_between_asking_and_hearing_has_an_old_lease(store, other):
    """A renewal that runs before the answer is heard must not make the answer young."""
    queue = gateway(store, lease=SHORT)
    accept(store, submission("ann@one.example"))
    asking = asyncio.create_task(take(queue))
    await asyncio.sleep(0)  # asked
    (taken,) = stall_until_taken(store, other)  # committed, and not heard
    await queue.renew()
    rows = await asking
    assert [row.id for row in rows] == [taken.id]
    assert not queue.may_begin(rows)
    await queue.renew()
    assert not queue.may_begin(rows)


async def test_the_same_between_putting_and_hearing(store, other):
    queue = gateway(store, lease=SHORT)
    job = submission("ann@one.example", claim=True, lease=queue.first_lease)
    asking = asyncio.create_task(queue.put(job))
    await asyncio.sleep(0)
    assert len(stall_until_taken(store, other)) == 1
    await queue.renew()
    assert not queue.may_begin((await asking).claimed)


async def test_what_is_in_hand_is_not_handed_out_again(store):
    """The store was away for longer than the lease: the rows are ours still, and once."""
    queue = gateway(store)
    queue._pace = Pace(timedelta(0), clock=lambda: 0.0)  # believes every clock
    accept(store, submission("ann@one.example"))
    rows = await take(queue)
    change(store, tables.recipient, {"lease_until_ms": 1})
    assert await take(queue) == []
    assert queue.may_begin(rows)
    assert leases(store)[0][1] > 1
    queue.mark([Marked(rows[0].id, State.DELIVERED, "250 2.0.0 Ok")])
    await queue.settle()
    assert rows_of(store, tables.recipient)[0]["state"] == "delivered"


async def test_a_clock_that_is_set_forward_takes_nothing_from_anybody(
    engine, store, other, monkeypatch
):
    first, second = gateway(store), gateway(other, "gateway-2")
    accept(store, submission("ann@one.example"))
    rows = await take(first)
    assert await take(second) == []
    jump(monkeypatch, AHEAD)
    if engine == "sqlite":  # where the machine's clock is the store's
        assert from_ms(leases(store)[0][1]) < other.now(), "the lease looks over"
    assert await take(second) == []
    await first.renew()
    assert first.may_begin(rows)
    assert claim(other, holder="gateway-2") == [], "renewed by the clock as it now is"


def test_a_gateway_whose_clock_is_wrong_keeps_leases_like_the_others(
    engine, store, store_url, tmp_path, monkeypatch
):
    """On PostgreSQL the server's clock counts; on SQLite there is but one."""
    jump(monkeypatch, AHEAD)
    with Store.open(store_url, tmp_path / "data") as wrong:
        accept(wrong, submission("ann@one.example", claim=True))
        monkeypatch.undo()
        ((_, until),) = leases(store)
        ahead = timedelta(0) if engine == "postgresql" else AHEAD
        assert abs(from_ms(until) - datetime.now(UTC) - ahead - LEASE.duration) < AHEAD / 2


def test_claimers_at_once_never_get_the_same(store, store_url, tmp_path):
    """Eight of them, each with a store of its own, in small bites."""
    people = [f"reader{number}@example.org" for number in range(160)]
    accept(store, submission(*people))

    def claim_all(number):
        with Store.open(store_url, tmp_path / "data") as own:
            got, bite = [], None
            while bite is None or bite:
                bite = claim(own, holder=f"gateway-{number}", limit=7)
                got += [row.recipient.address.key for row in bite]
        return got

    with ThreadPoolExecutor(8) as threads:
        shares = list(threads.map(claim_all, range(8)))
    assert sorted(address for share in shares for address in share) == sorted(people)
    holders = {row["address"]: row["lease_by"] for row in rows_of(store, tables.recipient)}
    for number, share in enumerate(shares):
        assert {holders[address] for address in share} <= {f"gateway-{number}"}


async def test_when_the_store_comes_back_others_have_time_to_say_what_they_know(store, other):
    """Nobody could renew a lease while it was away, nor tell what upstream has answered."""
    queue = gateway(store)
    queue._pace = Pace(timedelta(0), clock=lambda: 0.0)  # believes every clock
    accept(store, submission("ann@one.example"))
    claim(other, holder="gateway-2")
    change(store, tables.recipient, {"lease_until_ms": 1})
    queue.fresh.looked(elapsed() - LONG.total_seconds())
    assert await take(queue) == []
    queue.fresh.looked(elapsed())
    assert await take(queue) == []
    queue.fresh = FreshWithdrawals()
    queue.fresh.looked(elapsed())
    assert len(await take(queue)) == 1


class TestPace:
    def at(self, seconds):
        return datetime(2027, 3, 1, tzinfo=UTC) + timedelta(seconds=seconds)

    def pace(self):
        ours = [0.0]
        return ours, Pace(timedelta(seconds=30), clock=lambda: ours[0])

    def test_nobody_is_judged_at_first(self):
        ours, pace = self.pace()
        assert not pace.is_even(self.at(0))
        ours[0] = 31
        assert pace.is_even(self.at(31))

    @pytest.mark.parametrize("jumped", [600, -600])
    def test_after_a_jump_it_takes_a_while(self, jumped):
        ours, pace = self.pace()
        pace.is_even(self.at(0))
        ours[0] = 100
        assert pace.is_even(self.at(100))
        assert not pace.is_even(self.at(100 + jumped))
        ours[0] = 131
        assert pace.is_even(self.at(131 + jumped))

    def test_a_slow_drift_is_no_jump(self):
        ours, pace = self.pace()
        pace.is_even(self.at(0))
        ours[0] = 100
        assert pace.is_even(self.at(110))
