"""Webhooks over a real ledger and a real https server: everything, in order, again, and no more."""

import asyncio
import base64
import hashlib
import hmac
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import pytest

from gatepost import houselog
from gatepost.app.onward.sending import Line, Onward
from gatepost.app.onward.webhooks import Hook, Webhook
from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import parse
from gatepost.store import ledger, onward, people
from gatepost.store.onward import Wanted
from support.listening import listening
from support.patience import PATIENCE_SECONDS

KEY = b"0123456789abcdef0123456789abcdef"
ANNA, BO = "anna@kund.example", "bo@kund.example"


def fact(store, kind=EventKind.WITHDRAWN, **more):
    return Fact(kind=kind, at=store.now(), sender="acme", actor="recipient", **more)


async def record(store, address, *facts):
    await store.write(lambda tx: people.record(tx, parse(address), facts))
    await store.write(ledger.seal)


class Sender:
    """One gateway's line to one hook, with a clock that tests can turn forward."""

    def __init__(self, store, there, *, holder="gw-0", days=3, **more):
        self.store, self.ahead = store, timedelta(0)
        hook = Hook(name="crm", url=there.url, key=KEY, authority=there.authority,
                    allow_private=True, **more)  # fmt: skip
        self.webhook = Webhook(hook, store.now)
        self.line = Line(self, self.webhook, lambda: timedelta(days=days), holder, lambda: 0.5)

    def now(self):
        return self.store.now() + self.ahead

    def read(self, op):
        return self.store.read(op)

    def survey(self, op):
        return self.store.survey(op)

    def write(self, op):
        return self.store.write(op)

    async def work(self):
        while await self.line.turn():
            pass

    async def hooks(self):
        return await self.store.read(onward.list_webhooks)


@asynccontextmanager
async def sending(store, folder, **more):
    """(the other system, our line to it), which has heard of all that was."""
    async with listening(folder) as there:
        sender = Sender(store, there, **more)
        try:
            await sender.work()
            yield there, sender
        finally:
            await sender.webhook.close()


async def test_what_happens_is_told_and_signed(store, tmp_path):
    async with sending(store, tmp_path) as (there, sender):
        await record(store, ANNA, fact(store, stream="newsletter", method="one-click", ip="192.0.2.7",
                                       user_agent="Browser", note="a note"))  # fmt: skip
        await sender.work()
        (heard,) = there.heard
        told = heard.json
        assert (told["event"], told["sender"], told["stream"]) == (
            "withdrawn",
            "acme",
            "newsletter",
        )
        assert (told["address"], told["method"], told["actor"]) == (ANNA, "one-click", "recipient")
        assert "192.0.2.7" not in heard.body.decode()
        assert "Browser" not in heard.body.decode()
        message, seconds = heard.headers["webhook-id"], heard.headers["webhook-timestamp"]
        assert told["id"] == message
        signed = f"{message}.{seconds}.".encode() + heard.body
        right = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
        assert heard.headers["webhook-signature"] == f"v1,{right}"
        assert abs(int(seconds) - store.now().timestamp()) < 60
        assert heard.headers["content-type"] == "application/json"
        (row,) = await sender.hooks()
        assert (row.delivered, row.waiting, row.dead, row.behind) == (1, 0, 0, 0)


async def test_what_was_before_the_webhook_is_not_told(store, tmp_path):
    await record(store, ANNA, fact(store, stream="newsletter"))
    async with sending(store, tmp_path) as (there, sender):
        await sender.work()
        assert there.heard == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, ["granted", "withdrawn", "complained"]),
        ({"events": frozenset({EventKind.WITHDRAWN})}, ["withdrawn"]),
        ({"senders": frozenset({"other"})}, []),
        ({"senders": frozenset({"acme"}), "imports": True}, ["granted", "granted", "withdrawn", "complained"]),
    ],
)  # fmt: skip
async def test_a_hook_hears_what_it_asks_for(store, tmp_path, settings, told):
    async with sending(store, tmp_path, **settings) as (there, sender):
        granted = fact(store, EventKind.GRANTED, stream="newsletter", basis="form")
        await record(
            store, ANNA,
            Fact(kind=EventKind.GRANTED, at=store.now(), sender="acme", stream="club", basis="form",
                 method="import", actor="import"),
            granted, fact(store, EventKind.ENGAGED, stream="newsletter"),
            fact(store, stream="newsletter"), fact(store, EventKind.COMPLAINED),
        )  # fmt: skip
        await sender.work()
        assert [heard.json["event"] for heard in there.heard] == told


async def test_for_one_person_in_order_although_one_is_refused(store, tmp_path):
    async with sending(store, tmp_path) as (there, sender):
        refused = {"left": 2}

        def answer_for(heard):
            if heard.json["address"] == ANNA and refused["left"]:
                refused["left"] -= 1
                return 422
            return 200

        there.answer_for = answer_for
        for stream in ("one", "two", "three"):
            await record(store, ANNA, fact(store, stream=stream))
            await record(store, BO, fact(store, stream=stream))
        for _ in range(4):
            await sender.work()
            sender.ahead += timedelta(minutes=2)
        streams = [heard.json["stream"] for heard in there.heard if heard.json["address"] == ANNA]
        assert streams == ["one", "one", "one", "two", "three"]
        same = [h.headers["webhook-id"] for h in there.heard if h.json["address"] == ANNA][:3]
        assert len(set(same)) == 1, "a repetition is known by its id"
        bo = [h.json["stream"] for h in there.heard if h.json["address"] == BO]
        assert bo == ["one", "two", "three"], "who is not concerned is not held up"


async def test_who_is_away_is_probed_and_hears_everything_later(store, tmp_path):
    async with sending(store, tmp_path) as (there, sender):
        there.answers = [503]
        for number in range(30):
            await record(store, f"r{number}@kund.example", fact(store, stream="newsletter"))
        await sender.work()
        asked = len(there.heard)
        assert asked <= 8
        await sender.work()
        assert len(there.heard) == asked, "not before the pause is over"
        for _ in range(5):
            sender.ahead += timedelta(hours=1, minutes=13)
            await sender.work()
        assert len(there.heard) == asked + 5, "one probe each time"
        there.answers, before = [200], len(there.heard)
        for _ in range(3):
            sender.ahead += timedelta(hours=1, minutes=13)
            await sender.work()
        assert {h.json["address"] for h in there.heard[before:]} == {
            f"r{number}@kund.example" for number in range(30)
        }
        assert len(there.heard) == before + 30


@pytest.mark.parametrize("answer", [503, 422])
async def test_a_clock_that_is_put_right_does_not_make_a_pause_of_days(store, tmp_path, answer):
    """Nor does a lease of the future keep anybody from sending."""
    async with sending(store, tmp_path) as (there, sender):
        sender.ahead = timedelta(days=400)
        there.answers = [answer]
        await record(store, ANNA, fact(store, stream="newsletter"))
        await sender.work()
        assert there.heard
        sender.ahead, there.answers, before = timedelta(0), [200], len(there.heard)
        await sender.work()
        assert len(there.heard) == before + 1


async def test_one_that_always_fails_does_not_hold_up_the_rest(store, tmp_path):
    async with sending(store, tmp_path) as (there, sender):
        there.answer_for = lambda heard: 500 if heard.json["address"] == ANNA else 200
        await record(store, ANNA, fact(store, stream="newsletter"))
        await sender.work()
        await record(store, BO, fact(store, stream="newsletter"))
        for _ in range(3):
            sender.ahead += timedelta(minutes=5)
            await sender.work()
        assert BO in [heard.json["address"] for heard in there.heard]


async def test_what_never_arrives_is_given_up_listed_and_can_be_tried_again(store, tmp_path):
    async with sending(store, tmp_path) as (there, sender):
        there.answers = [404]
        await record(store, ANNA, fact(store, stream="one"))
        await record(store, ANNA, fact(store, stream="two"))
        await sender.work()
        assert await store.read(onward.list_dead) == []
        sender.ahead += timedelta(days=3, minutes=1)
        await sender.work()
        (dead,) = await store.read(onward.list_dead)
        assert (dead.kind, dead.webhook, dead.attempts) == ("withdrawn", "crm", 2)
        assert dead.last_error == "answered 404"
        there.answers = [200]
        sender.ahead += timedelta(hours=2)
        await sender.work()
        assert there.heard[-1].json["stream"] == "two", "what comes after goes its way"
        assert await store.write(partial(onward.revive, name="crm")) == [dead.id]
        await sender.work()
        assert there.heard[-1].json["stream"] == "one"
        assert [row.dead for row in await sender.hooks()] == [0]


async def test_what_was_given_up_can_be_forgotten(store, tmp_path):
    async with sending(store, tmp_path, days=0) as (there, sender):
        there.answers = [410]
        await record(store, ANNA, fact(store, stream="one"))
        await sender.work()
        (dead,) = await store.read(onward.list_dead)
        assert await store.write(partial(onward.drop, ids=[dead.id, 7])) == [dead.id]
        assert await store.read(onward.list_dead) == []


async def test_a_restart_loses_and_repeats_nothing(store, tmp_path):
    async with sending(store, tmp_path) as (there, first):
        there.answers = [200, 503]
        for number in range(5):
            await record(store, f"r{number}@kund.example", fact(store, stream="newsletter"))
        await first.work()
        there.answers = [200]
        second = Sender(store, there)  # the same gateway, started again
        second.ahead = timedelta(hours=1)
        await second.work()
        await second.webhook.close()
        by_id = {}
        for heard in there.heard:
            by_id.setdefault(heard.headers["webhook-id"], set()).add(heard.json["address"])
        assert len(by_id) == 5
        assert {one for found in by_id.values() for one in found} == {
            f"r{number}@kund.example" for number in range(5)
        }


@pytest.mark.parametrize(
    "narrower",
    [{"senders": frozenset({"other"})}, {"events": frozenset({EventKind.COMPLAINED})}],
)
async def test_what_a_hook_may_hear_no_more_is_not_told_of_what_waits(store, tmp_path, narrower):
    """Its settings were made narrower while deliveries were on their way."""
    async with sending(store, tmp_path) as (there, wider):
        there.answers = [503, 200]
        await record(store, ANNA, fact(store, stream="newsletter"))
        await wider.work()
        assert len(there.heard) == 1
        sender = Sender(store, there, **narrower)
        sender.ahead = timedelta(hours=1)
        await sender.work()
        await sender.webhook.close()
        assert len(there.heard) == 1
        assert [row.waiting for row in await sender.hooks()] == [0]


async def test_what_waits_for_a_hook_that_was_renamed_is_said(store, tmp_path, monkeypatch):
    said = asyncio.Queue()
    monkeypatch.setattr(houselog, "webhook_gone", lambda *what: said.put_nowait(what))
    async with sending(store, tmp_path) as (there, sender):
        there.answers = [503]
        await record(store, ANNA, fact(store, stream="newsletter"))
        await sender.work()
        everybody = Onward(store, dict, lambda: timedelta(days=3), "gw-0")
        await everybody.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await said.get() == ("crm", 1)
        await everybody.stop()


async def test_two_gateways_tell_once(store, tmp_path):
    async with sending(store, tmp_path) as (there, first):
        second = Sender(store, there, holder="gw-1")
        for number in range(40):
            await record(store, f"r{number}@kund.example", fact(store, stream="newsletter"))
            await asyncio.gather(first.line.turn(), second.line.turn())
        await asyncio.gather(first.work(), second.work())
        assert len(there.heard) == 40
        await record(store, ANNA, fact(store, stream="newsletter"))
        await first.line.let_go()
        await second.work()
        await second.webhook.close()
        assert there.heard[40].json["address"] == ANNA, "the other one goes on"


async def test_a_lease_that_ran_out_is_taken_over_and_its_holder_makes_nothing_more(
    store, tmp_path
):
    async with sending(store, tmp_path) as (_, _first):

        def expire(tx):
            tx.connection.exec_driver_sql("UPDATE webhook SET lease_until_ms = 1")

        await store.write(expire)
        assert await store.write(partial(onward.take_lease, name="crm", holder="gw-1")) is not None
        assert await store.write(partial(onward.take_lease, name="crm", holder="gw-0")) is None
        wanted = [Wanted(1, 1, store.now())]
        made = partial(onward.put, name="crm", holder="gw-0", height=99, wanted=wanted)
        assert await store.write(made) is False
        assert await store.read(partial(onward.waiting, name="crm")) == []


async def test_who_was_erased_on_the_way_is_not_named(store, tmp_path):
    async with sending(store, tmp_path) as (there, sender):
        there.answers = [500]
        await record(store, ANNA, fact(store, EventKind.ENGAGED), fact(store, stream="newsletter"))
        await sender.work()
        await record(
            store, ANNA, Fact(kind=EventKind.ERASED, at=store.now(), rule="request", extent="all")
        )
        before = len(there.heard)
        there.answers = [200]
        for _ in range(3):
            sender.ahead += timedelta(minutes=5)
            await sender.work()
        assert there.heard[before:], "the erasure itself is told"
        assert ANNA not in b"".join(heard.body for heard in there.heard[before:]).decode()
        assert [heard.json["event"] for heard in there.heard[before:]] == ["erased"]


async def test_hashed_addresses(store, tmp_path):
    async with sending(store, tmp_path, addresses="hashed") as (there, sender):
        await record(store, "Anna@Kund.example", fact(store, stream="newsletter"))
        await sender.work()
        told = there.heard[0].json
        assert told["address_sha256"] == hashlib.sha256(ANNA.encode()).hexdigest()
        assert "address" not in told


async def test_little_lies_in_memory_and_in_the_table_while_somebody_is_away(store, tmp_path):
    async with sending(store, tmp_path) as (there, sender):
        there.answers = [503]
        for start in range(0, 3000, 500):
            items = [(parse(f"r{n}@kund.example"), [fact(store, stream="newsletter")])
                     for n in range(start, start + 500)]  # fmt: skip
            await store.write(lambda tx, items=items: people.record_many(tx, items))
            await store.write(ledger.seal)
            await sender.line.turn()
        (row,) = await sender.hooks()
        assert row.waiting <= 1500
        assert row.behind >= 3
