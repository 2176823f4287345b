"""Who goes when several kinds of mail wait, and when upstream lets in only so many."""

import asyncio

import pytest

from gatepost.flow.transmit.turns import Turns
from gatepost.mail.outcome import Result
from support.patience import PATIENCE_SECONDS
from support.sending import Sending, make_copy, until
from support.upstream import Drop, Hang, Script, Slow, Upstream


def copies(name, count, **more):
    return [make_copy(f"{name}{n}@one.example", **more) for n in range(count)]


async def test_a_flood_of_urgent_copies_leaves_a_mailing_one_place_in_four():
    slow = Script(steps={"DOT": Slow(0.002)})
    async with Upstream(slow) as up, Sending(up, connections=1) as sending:
        waiting = copies("urgent", 60, urgent=True) + copies("bulk", 40)
        await sending.send(*waiting)
        kinds = [message.recipients[0].startswith("bulk") for message in up.messages]
        assert [sum(kinds[place : place + 4]) for place in range(0, 80, 4)] == [1] * 20


async def test_where_nobody_else_waits_urgent_copies_have_every_place():
    async with Upstream() as up, Sending(up, connections=1) as sending:
        await sending.send(*copies("urgent", 60, urgent=True))
        await sending.send(*copies("bulk", 4))
        assert [m.recipients[0][:4] for m in up.messages] == ["urge"] * 60 + ["bulk"] * 4


@pytest.mark.parametrize("end", [Drop("250 2.0.0 ok"), "452 4.3.1 no room at present"])
async def test_the_last_connection_is_replaced_soon(end):
    """However long upstream is to be left in peace with the wish for a second one."""
    script = Script(
        steps={
            "CONNECT": [None, "421 4.7.0 one at a time", None],
            "DOT": [Slow(0.2)] + [None] * 8 + [end],
        }
    )
    async with (
        Upstream(script) as up,
        Sending(up, connections=2, longest_pause=600.0) as sending,
    ):
        sending.pool._pause = 600.0  # after many refusals
        first = copies("first", 10)
        for copy in first:
            sending.pool.put(copy)
        await until(lambda: up.connections == 2)
        await sending.wait(*first)
        await until(lambda: not up.open_connections)
        await sending.send(*copies("second", 10))
        assert sending.health == []
        assert up.connections >= 3


async def begin(turns, *lists):
    tasks = [asyncio.create_task(turns.put(copies)) for copies in lists]
    await asyncio.sleep(0)
    return tasks


async def test_turns_are_in_the_order_of_asking():
    async with (
        Upstream(Script(steps={"DOT": Slow(0.002)})) as up,
        Sending(up, connections=1) as sending,
    ):
        everything = [copies(name, 90) for name in ("a", "b", "c")]
        wanted = [copy for some in everything for copy in some]
        await asyncio.gather(*await begin(Turns(sending.pool), *everything))
        await sending.wait(*wanted)
        assert [m.recipients[0][0] for m in up.messages] == ["a"] * 90 + ["b"] * 90 + ["c"] * 90


async def test_urgent_copies_wait_for_nobody_elses_turn():
    async with Upstream(Script(steps={"DOT": Hang()})) as up, Sending(up) as sending:
        turns = Turns(sending.pool)
        bulk = await begin(turns, copies("a", 200), copies("b", 200))
        (urgent,) = await begin(turns, copies("c", 16, urgent=True))
        assert urgent.done()
        for task in bulk:
            task.cancel()


@pytest.mark.parametrize("place", [0, 1])
async def test_who_is_cancelled_keeps_what_was_not_put_and_the_next_goes_on(place):
    """The one whose turn it is, or the one who waits for it."""
    slow = Script(steps={"DOT": Slow(0.005)})
    async with Upstream(slow) as up, Sending(up, connections=1) as sending:
        lists = copies("a", 100), copies("b", 40), copies("c", 40)
        every = [copy for some in lists for copy in some]
        tasks = await begin(Turns(sending.pool), *lists)
        tasks[place].cancel()
        await asyncio.wait(tasks)
        unsent = lists[place]
        assert 0 < len(unsent) < 100
        assert [len(some) for some in lists if some is not unsent] == [0, 0]
        await sending.wait(*(copy for copy in every if copy not in unsent))
        assert sending.pool.in_hand == 0


async def test_a_pool_that_stops_keeps_nobody_waiting():
    async with Upstream(Script(steps={"DOT": Hang()})) as up, Sending(up) as sending:
        lists = copies("a", 200), copies("b", 200), copies("c", 200, urgent=True)
        every = [copy for some in lists for copy in some]
        tasks = await begin(Turns(sending.pool), *lists)
        await until(lambda: up.commands)
        await sending.pool.stop()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*tasks)
        await sending.wait(*every)
        assert set(sending.results()) <= {Result.UNSENT, Result.DEFERRED}


async def test_urgent_copies_and_others_that_wait_while_upstream_goes_come_back_once():
    """And one goes ahead when upstream is back, before anybody else."""
    script = Script(steps={"CONNECT": [None, "421 4.3.2 bye", "421 4.3.2 bye"], "DOT": [Drop()]})
    async with Upstream(script) as up, Sending(up) as sending:
        turns = Turns(sending.pool)
        lists = copies("a", 100), copies("b", 100, urgent=True)
        every = [copy for some in lists for copy in some]
        tasks = await begin(turns, *lists)
        await sending.wait(*every[:1])
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*tasks)
        await sending.wait(*every)
        await until(lambda: sending.pool.healthy or sending.pool.on_trial)
        late = copies("late", 1, urgent=True)
        (last,) = late
        await turns.put(late)
        await sending.wait(last)
        assert sending.done[last][0].result is Result.DELIVERED
        assert sending.pool.room() == sending.pool.room(urgent=True) > 1
