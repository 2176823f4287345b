"""Nobody on the way out waits behind what is not theirs."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from gatepost.flow import claims
from gatepost.mail.stream import Kind
from gatepost.store.clock import steady
from gatepost.store.tables import mail as tables
from gatepost.store.times import to_ms
from support.outgoing import OWN, Outgoing, order, people, sized, until
from support.submissions import accept, change, rows_of, submission
from support.upstream import Drop, Hang, Script, Slow, Upstream

ANNA = "anna@example.org"
RECEIPT = {"kind": Kind.TRANSACTIONAL}


@pytest.fixture
def engine():
    """Which engine has the spool makes no difference here."""
    return "sqlite"


def slow(seconds):
    return Upstream(Script(steps={"DOT": Slow(seconds)}))


def hanging():
    """Takes one mail and says nothing any more."""
    return Upstream(Script(steps={"DOT": [Hang()]}, extensions=("8BITMIME", "PIPELINING")))


async def test_a_mailing_leaves_without_a_pause(store, monkeypatch):
    """Whoever takes the last copies of half a hand asks for more, and nobody has to wait for it."""
    monkeypatch.setattr(claims, "IDLE_SECONDS", 600.0)
    async with Upstream() as up, Outgoing(store, {"": up, "idle": up}, connections=2) as way:
        await way.put(*people("reader", 9000))
        await until(lambda: len(up.messages) == 9000)


async def test_what_is_decided_away_by_the_thousand_makes_no_pause(store, monkeypatch):
    """Such as the mail of a sender who was frozen, or of a stream that is gone."""
    monkeypatch.setattr(claims, "IDLE_SECONDS", 600.0)
    async with Upstream() as up, Outgoing(store, {"": up}) as way:
        accept(store, submission(*people("gone", 7500), stream="gone", upstream=""))
        change(store, tables.recipient, {"next_attempt_ms": 1}, state="ready")
        accept(
            store,
            submission(ANNA, stream=OWN, upstream=""),
            submission(*people("late", 3500), stream="gone", upstream=""),
        )
        way.outbound.wake()
        await until(lambda: ANNA in order(up))


async def test_a_receipt_waits_for_no_large_mail(store):
    """Neither while one is on its way that takes all the memory, nor while many wait for memory."""
    async with (
        hanging() as up,
        Outgoing(store, {"": up}, connections=3, memory=10_000_000) as way,
    ):
        for number in range(8):
            large = sized(6_000_000)
            await way.put(f"large{number}@example.org", content=large, kind=Kind.PERSONAL)
        await until(lambda: way.pools[""].in_hand)
        await way.put(ANNA, **RECEIPT)
        await until(lambda: ANNA in order(up))
        assert len(up.messages) <= 2


async def test_a_receipt_waits_for_no_large_mailing(store):
    async with (
        hanging() as up,
        Outgoing(store, {"": up}, connections=2, memory=10_000_000) as way,
    ):
        await way.put(*people("reader", 50), content=sized(1_000_000))
        await until(lambda: way.pools[""].in_hand)
        await way.put(ANNA, **RECEIPT)
        await until(lambda: ANNA in order(up))


async def test_a_small_mailing_need_not_wait_for_the_end_of_a_large_one(store):
    async with slow(0.002) as up, Outgoing(store, {"": up}) as way:
        await way.put(*people("large", 6000))
        await until(lambda: len(up.messages) > 20)
        await way.put(*people("small", 20), campaign="small")
        await until(lambda: sum(one.startswith("small") for one in order(up)) == 20)
        assert len(up.messages) < 3000


async def test_a_small_mailing_goes_when_all_places_are_taken_and_the_line_is_behind(store):
    """The upstream is so slow that the line has fallen behind the clock by hours."""
    async with slow(0.01) as up, Outgoing(store, {"": up}) as way:
        await way.put(*people("large", 5000))
        await until(lambda: len(up.messages) > 5)
        past = to_ms(store.now() - timedelta(hours=3))
        change(store, tables.recipient, {"next_attempt_ms": past}, state="ready")
        await way.put(*people("small", 8), campaign="small", claim=False)
        await until(lambda: sum(one.startswith("small") for one in order(up)) == 8)
        assert len(up.messages) < 1200


async def test_a_flood_of_receipts_leaves_a_mailing_its_share(store):
    async with slow(0.004) as up, Outgoing(store, {"": up}) as way:
        await asyncio.gather(*(way.put(one, **RECEIPT) for one in people("order", 2500)))
        # Accepted by another gateway, as it were, so that it has to be claimed.
        await way.put(*people("reader", 20), claim=False)
        await until(lambda: sum(one.startswith("reader") for one in order(up)) == 20)
        assert len(up.messages) < 1800


async def test_an_upstream_that_hangs_with_receipts_keeps_none_from_another(store):
    """What another worker accepted is claimed although both have much bulk mail in hand."""
    async with (
        Upstream(Script(steps={"EHLO": Hang()})) as hangs,
        slow(0.005) as works,
        Outgoing(store, {"hangs": hangs, "works": works}) as way,
    ):
        for name in ("hangs", "works"):
            await way.put(*people(f"{name}.bulk", 4000), upstream=name)
        for number in range(50):
            await way.put(*people(f"order{number}.", 100), upstream="hangs", **RECEIPT)
        await way.put(ANNA, upstream="works", claim=False, **RECEIPT)
        await until(lambda: ANNA in order(works))
        assert len(works.messages) < 1000


async def test_nothing_that_is_counted_is_left_when_all_has_gone(store):
    """After refusals, lost connections and a circuit that opened and closed."""
    answers = [None, "450 4.2.0 later", "550 5.1.1 no", "421 4.3.2 bye"] * 20
    script = Script(steps={"DOT": answers, "CONNECT": [None, *["421 4.7.0 no"] * 3]})
    async with (
        Upstream(script) as up,
        Outgoing(store, {"": up}, connections=3, memory=1_000_000) as way,
    ):
        for number in range(10):
            await way.put(*people(f"bulk{number}.", 20), content=sized(100_000))
            await way.put(*people(f"order{number}.", 3), content=sized(30_000), **RECEIPT)
            await way.put(f"letter{number}@example.org", content=sized(80_000), **RECEIPT)
        await until(
            lambda: all(
                row["state"] in {"delivered", "deferred", "failed"}
                for row in rows_of(store, tables.recipient)
            )
        )
        await until(lambda: way.outbound._hand.is_empty(""))
        assert way.outbound._small.total == way.outbound._large.total == 0
        assert way.pools[""].in_hand == 0
        assert way.queue.arriving == 0


async def test_what_was_decided_before_the_list_of_withdrawals_begins_is_decided_again(store):
    """Where upstream is so slow that a copy waits for longer than withdrawals are listed."""
    async with slow(0.1) as up, Outgoing(store, {"": up}) as way:
        decided = []
        claim = way.queue.claim

        async def noted(*given, urgent):
            rows = await claim(*given, urgent=urgent)
            decided.extend(row.recipient.address.key for row in rows)
            return rows

        way.queue.claim = noted
        await way.put(*people("reader", 8))
        await until(lambda: up.messages)
        assert decided == []
        way.queue.fresh.prune(steady(), timedelta(0))  # an hour later, as it were
        await until(lambda: len(order(up)) == 8)
        assert len(decided) >= 3
        assert sorted(order(up)) == sorted(people("reader", 8))


async def test_a_stop_gives_everything_back_whatever_it_waits_for(store):
    """A turn at the pool, room in it, memory, the other lanes, or upstream."""
    async with hanging() as up, Outgoing(store, {"": up}, memory=1_000_000) as way:
        for number, (octets, count) in enumerate([(100, 300), (20_000, 300), (300_000, 20)]):
            for kind in (Kind.BULK, Kind.TRANSACTIONAL):
                for part in range(3):
                    name = f"{kind}{number}.{part}."
                    await way.put(*people(name, count), content=sized(octets), kind=kind)
        await until(lambda: up.messages)
    states = Counter(row["state"] for row in rows_of(store, tables.recipient))
    assert states["sending"] == 0
    assert states["deferred"] <= 100, "only what upstream has seen loses an attempt"
    assert way.outbound._hand.is_empty("")
    assert way.outbound._small.total == way.outbound._large.total == 0
    assert way.queue._held == {}


async def test_the_copy_on_trial_is_of_mail_that_somebody_waits_for(store):
    async with (
        Upstream(Script(steps={"MAIL": [Drop()] * 3})) as up,
        Outgoing(store, {"": up}) as way,
    ):
        await way.put(*people("reader", 40))
        await until(lambda: not way.pools[""].healthy)
        await way.put(ANNA, **RECEIPT)
        await until(lambda: len(order(up)) == 40 + 1 - 3)
        assert order(up)[0] == ANNA
        assert way.pools[""].healthy
