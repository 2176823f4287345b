"""Who goes when several kinds of mail wait, and when upstream lets in only so many."""

from support.sending import Sending, make_copy, until
from support.upstream import Drop, Script, Slow, Upstream


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


async def test_the_last_connection_that_ends_well_is_replaced_at_once():
    """However long upstream is to be left in peace with the wish for a second one."""
    script = Script(
        steps={
            "CONNECT": [None, "421 4.7.0 one at a time", None],
            "DOT": [Slow(0.2)] + [None] * 8 + [Drop("250 2.0.0 ok")],
        }
    )
    async with (
        Upstream(script) as up,
        Sending(up, connections=2, pause=600.0, longest_pause=600.0) as sending,
    ):
        first = copies("first", 10)
        for copy in first:
            sending.pool.put(copy)
        await until(lambda: up.connections == 2)
        await sending.wait(*first)
        await until(lambda: not up.open_connections)
        await sending.send(*copies("second", 10))
        assert sending.health == []
        assert up.connections >= 3
