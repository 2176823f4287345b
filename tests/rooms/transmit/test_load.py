"""The load: copies are made as far as there is room, and no upstream takes all of it."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gatepost.flow.transmit.load import Load


async def begin(load, *takes):
    tasks = [asyncio.create_task(load.take(*take)) for take in takes]
    await asyncio.sleep(0)
    return tasks


async def test_more_than_half_of_what_is_free_has_to_wait():
    load = Load(100)
    one, two = await begin(load, ("a", 40), ("a", 40))
    assert (one.done(), two.done()) == (True, False)
    load.give("a", 40)
    await two
    assert load.total == 40


async def test_one_thing_may_always_go():
    load = Load(100)
    await load.take("a", 1000)
    await load.take("b", 1000)
    (late,) = await begin(load, ("b", 1))
    assert not late.done()
    load.give("a", 1000)
    load.give("b", 1000)
    await late


async def test_an_upstream_that_hangs_leaves_room_for_others():
    load = Load(100)
    for _ in range(50):
        await load.take("hangs", 1)
    (more,) = await begin(load, ("hangs", 1))
    assert not more.done()
    for _ in range(25):
        await load.take("works", 1)
    more.cancel()


async def test_what_is_large_is_not_passed_by_what_is_less_so():
    """Or small copies would take what comes free as long as there are any."""
    load = Load(1000)
    for _ in range(5):
        await load.take("a", 100)
    large, small, elsewhere = await begin(load, ("a", 400), ("a", 10), ("b", 10))
    load.give("a", 100)
    await asyncio.sleep(0)
    assert (large.done(), small.done(), elsewhere.done()) == (False, False, True)
    for _ in range(4):
        load.give("a", 100)
        await asyncio.sleep(0)
    await large
    await small


async def test_who_gives_up_waiting_lets_the_next_one_in():
    load = Load(100)
    await load.take("a", 90)
    large, small = await begin(load, ("a", 50), ("a", 1))
    large.cancel()
    load.give("a", 60)
    await small
    assert load.total == 31


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30)), max_size=60))
def test_the_limit_holds_whatever_is_asked(asked):
    async def run():
        load = Load(60)
        for upstream, octets in asked:
            before = load.total
            (task,) = await begin(load, (upstream, octets))
            if task.done():
                assert load.total <= 60 or octets == load._held[upstream]
            else:
                task.cancel()
                assert load.total == before

    asyncio.run(run())
