"""The pool: room, spreading, rate, circuit, and stopping without losing anything."""

import asyncio
import random
import time

import pytest

from gatepost.flow.transmit import pool as pool_module
from gatepost.flow.transmit import trouble
from gatepost.flow.transmit.bucket import Bucket
from gatepost.flow.transmit.route import Route
from gatepost.flow.transmit.session import WINDOW
from gatepost.mail.outcome import Result, Scope
from support.patience import PATIENCE_SECONDS
from support.sending import Sending, make_copy, until
from support.upstream import EXTENSIONS, Drop, Hang, Raw, Script, Slow, Upstream

DELIVERED, DEFERRED, FAILED, UNSENT = (
    Result.DELIVERED, Result.DEFERRED, Result.FAILED, Result.UNSENT,
)  # fmt: skip


def copies(count: int, **more):
    return [make_copy(f"r{n}@one.example", **more) for n in range(count)]


async def test_many_copies_over_several_connections_each_once():
    async with Upstream() as up, Sending(up, connections=5) as sending:
        outcomes = await sending.send(*copies(500))
        assert {one.result for copy in outcomes for one in copy} == {DELIVERED}
        assert sorted(m.recipients[0] for m in up.messages) == sorted(
            f"r{n}@one.example" for n in range(500)
        )
        assert 1 < up.connections <= 5
        assert up.violations == []


async def test_slow_answers_spread_copies_over_all_connections():
    script = Script(steps={"DOT": [Slow(0.1)] * 8})
    async with Upstream(script) as up, Sending(up, connections=4) as sending:
        await sending.send(*copies(8))
        assert {message.connection for message in up.messages} == {1, 2, 3, 4}
        assert up.most_connections == 4


async def test_connections_are_opened_on_demand_and_closed_when_idle():
    async with Upstream() as up, Sending(up, idle=0.05) as sending:
        assert up.connections == 0
        await sending.send(make_copy())
        await until(lambda: not up.open_connections)
        assert up.commands[-1][1] == "QUIT"
        await sending.send(make_copy())
        assert up.connections == 2
        assert sending.health == []


async def test_room_is_bounded_by_number_and_comes_back():
    async with Upstream(Script(steps={"CONNECT": Slow(0.1)})) as up, Sending(up) as sending:
        pool = sending.pool
        first = pool.room()
        waiting = copies(first)
        for copy in waiting:
            pool.put(copy)
        assert pool.room() == 0
        async with asyncio.timeout(PATIENCE_SECONDS):
            await pool.wait_for_room()
        assert pool.room() > 0
        await sending.wait(*waiting)
        assert pool.room() == first


async def test_urgent_copies_have_room_of_their_own_and_go_first():
    async with (
        Upstream(Script(steps={"DOT": Slow(0.02)})) as up,
        Sending(up, connections=1) as sending,
    ):
        pool = sending.pool
        slow = copies(pool.room())
        for copy in slow:
            pool.put(copy)
        assert (pool.room(), pool.room(urgent=True)) == (0, len(slow))
        await until(lambda: up.messages)
        begun = len(up.messages)
        urgent = make_copy("anna@one.example", urgent=True)
        pool.put(urgent)
        assert pool.room(urgent=True) == len(slow) - 1
        await sending.wait(urgent, *slow)
        order = [message.recipients[0] for message in up.messages]
        assert order.index("anna@one.example") - begun <= WINDOW
        assert pool.room() == pool.room(urgent=True) == len(slow)


async def test_a_rate_lets_urgent_copies_go_first():
    async with Upstream() as up, Sending(up, connections=1, rate=(10, 1.0)) as sending:
        bulk = copies(15)
        for copy in bulk:
            sending.pool.put(copy)
        await until(lambda: len(up.messages) >= 10)
        begun = len(up.messages)
        await sending.send(make_copy("anna@one.example", urgent=True))
        order = [message.recipients[0] for message in up.messages]
        assert order.index("anna@one.example") - begun <= 1
        await sending.wait(*bulk)


async def test_the_rate_holds_back_what_is_too_much():
    async with Upstream() as up, Sending(up, rate=(20, 1.0), connections=3) as sending:
        before = time.time()  # upstream may be late to see even the first of them
        await sending.send(*copies(24))
        last = max(message.began for message in up.messages)
        assert last - before >= 0.15  # twenty at once, four more in a fifth of a second


@pytest.mark.parametrize(("count", "seconds"), [(5000, 3600.0), (1, 60.0), (100, 1.0), (7, 2.0)])
def test_bucket_never_lets_more_than_rate_and_one_second_through(count, seconds):
    bucket, now, taken = Bucket(count, seconds), 1000.0, []
    rng = random.Random(count)
    for _ in range(2000):
        now += rng.expovariate(2 * count / seconds)
        if bucket.wait(now) == 0:
            bucket.take(now)
            taken.append(now)
    burst = max(1.0, count / seconds)
    for index, start in enumerate(taken):
        within = sum(start <= other < start + seconds for other in taken[index:])
        assert within <= count + burst + 1e-6
    assert len(taken) >= (now - 1000.0) * count / seconds * 0.6


@pytest.mark.parametrize(("count", "seconds"), [(5000, 3600.0), (3, 60.0), (100, 1.0), (7, 2.0)])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_together_keep_to_the_rate(count, seconds, workers):
    """Also more workers than copies: each has one to begin with, and none is shut out for ever."""
    whole = Route(name="one", host="127.0.0.1", port=25, ehlo="x.example", rate=(count, seconds))
    buckets = [Bucket(*whole.shared_by(workers).rate) for _ in range(workers)]
    now, taken, rng = 1000.0, [], random.Random(count)
    for _ in range(1000):
        now += rng.expovariate(2 * count / seconds)
        ready = [bucket for bucket in buckets if bucket.wait(now) == 0]
        if ready:
            rng.choice(ready).take(now)
            taken.append(now)
    burst = max(workers, count / seconds)
    for index, start in enumerate(taken):
        within = sum(other < start + seconds for other in taken[index:])
        assert within <= count + burst + 1e-6
    assert len(taken) >= (now - 1000.0) * count / seconds * 0.6


def test_without_a_rate_there_is_nothing_to_share():
    route = Route(name="one", host="127.0.0.1", port=25, ehlo="x.example")
    assert route.shared_by(4) is route


def test_bucket_says_how_long_to_wait():
    bucket = Bucket(2, 1.0)
    for _ in range(2):
        assert bucket.wait(0.0) == 0
        bucket.take(0.0)
    assert bucket.wait(0.0) == pytest.approx(0.5)
    assert bucket.wait(0.5) == 0


async def test_upstream_away_gives_everything_back_and_recovers():
    script = Script(steps={"CONNECT": ["421 4.3.2 closed", "421 4.3.2 closed"]})
    async with Upstream(script) as up, Sending(up, connections=3) as sending:
        outcomes = await sending.send(*copies(20))
        assert {(o[0].result, o[0].scope, o[0].reply.code) for o in outcomes} == {
            (UNSENT, Scope.UPSTREAM, 421)
        }
        assert not sending.pool.healthy
        assert sending.pool.room() == 0
        ((late,),) = await sending.send(make_copy())  # put although there was no room
        assert (late.result, late.scope) == (UNSENT, Scope.UPSTREAM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await sending.pool.wait_for_room()
        assert sending.pool.healthy
        assert [healthy for healthy, _ in sending.health] == [False, True]
        assert sending.health[0][1].code == 421
        outcomes = await sending.send(*copies(20))
        assert {o[0].result for o in outcomes} == {DELIVERED}
        assert len(up.messages) == 20


async def test_an_upstream_that_greets_and_drops_is_not_hammered_at():
    async with Upstream(Script(steps={"MAIL": Drop()})) as up, Sending(up) as sending:
        await sending.send(*copies(50))
        results = sending.results()
        assert results.count(DEFERRED) <= pool_module.BARREN_LIMIT
        assert results.count(UNSENT) == 50 - results.count(DEFERRED)
        assert next(healthy for healthy, _ in sending.health) is False
        assert up.connections <= pool_module.BARREN_LIMIT + 1


async def test_the_pause_grows_while_nothing_gets_through():
    async with (
        Upstream(Script(steps={"CONNECT": "554 5.3.2 no"})) as up,
        Sending(up, pause=0.01, longest_pause=0.08) as sending,
    ):
        await sending.send(make_copy())
        await until(lambda: up.connections >= 6)
        assert sending.pool._pause == 0.08
        assert len(sending.health) == 1


async def test_a_limit_on_connections_is_lived_with():
    """Upstream lets two in and greets the others with 421: the two carry everything."""
    script = Script(steps={"CONNECT": [None, None, *["421 4.7.0 too many"] * 50]})
    async with Upstream(script) as up, Sending(up, connections=10, pause=60) as sending:
        outcomes = await sending.send(*copies(200))
        assert {o[0].result for o in outcomes} == {DELIVERED}
        assert sending.health == []
        assert up.connections <= 10
        assert sending.pool._limit == 3  # the next time one more is asked for


async def test_a_poisonous_copy_costs_itself_and_not_the_others():
    """Upstream dies of one recipient, every time."""
    script = Script(recipients={"poison@one.example": Drop()})
    async with Upstream(script) as up, Sending(up) as sending:
        poison = make_copy("poison@one.example")
        await sending.send(*copies(3), poison)
        outcomes = await sending.send(*copies(3))
        assert {o[0].result for o in outcomes} <= {DELIVERED, UNSENT}
        assert sending.done[poison][0].result is DEFERRED
        assert sending.pool.healthy


async def test_drain_finishes_the_wire_and_gives_back_the_queue():
    script = Script(steps={"DOT": Slow(0.5)})
    async with Upstream(script) as up, Sending(up) as sending:
        waiting = copies(10)
        for copy in waiting:
            sending.pool.put(copy)
        await until(lambda: up.messages)
        await sending.pool.drain(PATIENCE_SECONDS)
        assert set(sending.done) == set(waiting)
        results = sending.results()
        assert results.count(DELIVERED) == len(up.messages) == 2  # one written, one begun
        assert results.count(UNSENT) == 8
        unsent = next(o[0] for o in sending.done.values() if o[0].result is UNSENT)
        assert unsent.reply == trouble.STOPPING
        assert up.commands[-1][1] == "QUIT"
        assert up.open_connections == 0


async def test_stop_leaves_in_doubt_only_what_is_out():
    async with Upstream(Script(steps={"DOT": Hang()})) as up, Sending(up) as sending:
        waiting = copies(5)
        for copy in waiting:
            sending.pool.put(copy)
        await up.wait_for(1)
        await asyncio.sleep(0.02)
        await sending.pool.stop()
        assert [sending.done[copy][0].result for copy in waiting] == [
            DEFERRED, UNSENT, UNSENT, UNSENT, UNSENT,
        ]  # fmt: skip


@pytest.mark.parametrize("event", ["CONNECT", "EHLO", "MAIL"])
async def test_stop_before_anything_was_begun_costs_no_attempt(event):
    async with Upstream(Script(steps={event: Hang()})) as up, Sending(up) as sending:
        waiting = copies(3)
        for copy in waiting:
            sending.pool.put(copy)
        await until(lambda: up.connections)
        await asyncio.sleep(0.02)
        await sending.pool.stop()
        assert sending.results() == [UNSENT] * 3


async def test_stop_in_any_moment_of_connecting_waits_for_no_greeting():
    """asyncio.wait_for loses a cancellation in the moment in which the line stands."""
    async with Upstream(Script(steps={"CONNECT": Hang()})) as up:
        for moment in range(30):
            async with Sending(up) as sending:
                sending.pool.put(make_copy())
                for _ in range(moment):
                    await asyncio.sleep(0)
                await asyncio.wait_for(sending.pool.stop(), PATIENCE_SECONDS)
                assert sending.results() == [UNSENT]
                assert not sending.pool._tasks
        assert up.connections >= 10, "some were stopped later than that"


async def test_put_after_stop_comes_back():
    async with Upstream() as up, Sending(up) as sending:
        await sending.pool.stop()
        assert sending.pool.room() == 0
        ((outcome,),) = await sending.send(make_copy())
        assert (outcome.result, outcome.reply) == (UNSENT, trouble.STOPPING)
        await asyncio.wait_for(sending.pool.wait_for_room(), PATIENCE_SECONDS)
        assert up.connections == 0


async def test_a_done_that_raises_does_not_stop_the_pool():
    async with Upstream() as up, Sending(up) as sending:
        reported = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context["message"])
        )
        note = sending.pool._done

        def broken(copy, outcomes):
            note(copy, outcomes)
            raise RuntimeError

        sending.pool._done = broken
        await sending.send(*copies(5))
        await up.wait_for(5)
        assert len(reported) == 5


HONEST = [None, "450 4.2.1 later", "550 5.1.1 no", "421 4.3.2 bye", Drop(), Slow(0.005)]
LYING = [
    *HONEST, "250 2.0.0 ok", "354 what", Raw(b"?\r\n"), Raw(b"250 ok\r\n250 ok\r\n"),
    Drop("250 2.0.0 ok"), Drop("550 5.1.1 no"),
]  # fmt: skip
CHAOS = ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT", "RSET"]


async def send_through_chaos(seed, extensions, steps, count=60):
    """Sends `count` copies, again while they are unsent; the pool and the upstream."""
    rng = random.Random(seed)
    script = Script(
        steps={
            event: rng.choices(steps, [15] + [1] * (len(steps) - 1), k=count) for event in CHAOS
        },
        extensions=extensions,
    )
    async with (
        Upstream(script) as up,
        Sending(up, connections=3, pause=0.001, longest_pause=0.01) as sending,
    ):
        left = {copy.recipients[0].address.key for copy in copies(count)}
        for _ in range(300):
            again = [make_copy(key) for key in sorted(left)]
            outcomes = await sending.send(*again)
            left = {
                copy.recipients[0].address.key
                for copy, (outcome,) in zip(again, outcomes, strict=True)
                if outcome.result is UNSENT
            }
            if not left:
                return sending, up
            await asyncio.wait_for(sending.pool.wait_for_room(), PATIENCE_SECONDS)
    raise AssertionError(f"still unsent: {left}")


EXTENSION_SETS = pytest.mark.parametrize(
    "extensions",
    [EXTENSIONS, (*EXTENSIONS, "CHUNKING"), ()],
    ids=["pipelined", "chunked", "serial"],
)


@EXTENSION_SETS
@pytest.mark.parametrize("seed", range(6))
async def test_an_honest_upstream_in_trouble_is_reported_as_it_was(seed, extensions):
    sending, up = await send_through_chaos(seed, extensions, HONEST)
    answered = {m.recipients[0] for m in up.messages if m.reply.startswith("250")}
    in_doubt = {m.recipients[0] for m in up.messages if not m.reply}
    for copy, (outcome,) in sending.done.items():
        key = copy.recipients[0].address.key
        if outcome.result is DELIVERED:
            assert key in answered
        elif outcome.result is FAILED:
            assert outcome.reply.code == 550
            assert key not in answered | in_doubt
    twice = [m.recipients[0] for m in up.taken]
    assert {key for key in twice if twice.count(key) > 1} == set()
    assert up.violations == []


@EXTENSION_SETS
@pytest.mark.parametrize("seed", range(6))
async def test_a_lying_upstream_neither_stops_nor_repeats_anything(seed, extensions):
    sending, _ = await send_through_chaos(seed + 100, extensions, LYING)
    ended = [copy for copy, (one,) in sending.done.items() if one.result is not UNSENT]
    assert len(ended) == 60
