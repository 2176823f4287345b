"""POST /api/v1/withdrawals: what other systems know about who left (issue of promise 3)."""

import asyncio
from datetime import timedelta

import pytest

from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.mail.address import parse
from gatepost.store import people
from support.api import api, client_with, key_for

pytestmark = pytest.mark.both_engines

ANNA = "anna@kund.example"


async def test_one_withdrawal_holds_when_it_is_answered(tmp_path):
    async with api(tmp_path) as (site, client):
        subject = await site.subscribe(ANNA, "newsletter")
        answer = await client.post(
            "/withdrawals", json={"address": ANNA, "stream": "newsletter", "note": "by phone"}
        )
        assert answer.status_code == 200
        assert answer.json() == {
            "address": ANNA, "stream": "newsletter", "sender": "acme", "status": "withdrawn",
            "detail": "",
        }  # fmt: skip
        assert site.withdrawn == [(subject, "acme", "newsletter")]
        (fact,) = await site.facts(subject)
        assert (fact.actor, fact.method, fact.note) == ("mailer", "api", "by phone")


async def test_twice_is_once(tmp_path):
    async with api(tmp_path) as (site, client):
        subject = await site.subscribe(ANNA, "newsletter")
        item = {"address": ANNA, "stream": "newsletter", "at": "2026-01-02T03:04:05+01:00"}
        said = [(await client.post("/withdrawals", json=item)).json()["status"] for _ in range(3)]
        assert said == ["withdrawn", "known", "known"]
        assert len(await site.facts(subject)) == 1


async def test_twice_in_one_request_is_once(tmp_path):
    async with api(tmp_path) as (site, client):
        item = {"address": ANNA, "everything": True, "sender": "acme"}
        answer = await client.post("/withdrawals", json=[item, item])
        assert [one["status"] for one in answer.json()] == ["withdrawn", "known"]
        ids = await site.store.read(lambda tx: people.history(tx, parse(ANNA)))
        assert [one.reason for one in ids.suppressions] == ["unsubscribed"]


async def test_a_stranger_can_leave(tmp_path):
    async with api(tmp_path) as (site, client):
        await client.post("/withdrawals", json={"address": ANNA, "stream": "newsletter"})
        history = await site.store.read(lambda tx: people.history(tx, parse(ANNA)))
        assert [event.kind for event in history.events] == [EventKind.WITHDRAWN]


async def test_thousands_each_with_its_answer(tmp_path):
    async with api(tmp_path) as (site, client):
        items = [{"address": f"r{n}@kund.example", "stream": "newsletter"} for n in range(2500)]
        items[7] = {"address": "no address", "stream": "newsletter"}
        items[1200] = {"address": ANNA, "stream": "receipts"}
        items[2400] = {"address": ANNA, "stream": "nowhere"}
        items[2401] = {"address": ANNA, "stream": "newsletter", "at": "2999-01-01"}
        answer = await client.post("/withdrawals", json=items)
        assert answer.status_code == 200
        said = [one["status"] for one in answer.json()]
        assert {place for place, one in enumerate(said) if one == "refused"} == {
            7,
            1200,
            2400,
            2401,
        }
        assert said.count("withdrawn") == 2496
        assert len(site.withdrawn) == 2496
        assert [answer.json()[n]["address"] for n in (0, 2499)] == [
            "r0@kund.example",
            "r2499@kund.example",
        ]


async def test_a_repeated_request_does_not_undo_a_return(tmp_path):
    async with api(tmp_path) as (site, client):
        subject = await site.subscribe(ANNA, "newsletter")
        head = {"Idempotency-Key": "crm-4711"}
        item = {"address": ANNA, "stream": "newsletter"}
        first = await client.post("/withdrawals", json=item, headers=head)
        now = site.store.now() + timedelta(milliseconds=5)
        await site.store.write(
            lambda tx: people.record_for_subject(
                tx,
                subject,
                [Fact(kind=EventKind.RESUBSCRIBED, at=now, sender="acme", stream="newsletter",
                      basis="newsletter-form", text_state=TextState.VALID, actor="recipient")],
            )
        )  # fmt: skip
        again = await client.post("/withdrawals", json=item, headers=head)
        assert again.json() == first.json()
        assert len(await site.facts(subject)) == 1
        left = (subject, "acme", "newsletter")
        assert (site.withdrawn, site.again) == ([left], [left]), "perhaps another gateway's answer"
        other = await client.post("/withdrawals", json=item | {"note": "another"}, headers=head)
        assert other.status_code == 422
        without = await client.post("/withdrawals", json=item)
        assert without.json()["status"] == "withdrawn", "a new one, without the key"


@pytest.mark.parametrize(
    ("item", "status"),
    [
        ({"address": ANNA}, 422),
        ({"address": ANNA, "stream": "newsletter", "everything": True}, 422),
        ({"address": ANNA, "everything": True}, 422),  # there are two senders
        ({"address": ANNA, "everything": True, "sender": "*"}, 422),
        ({"address": ANNA, "everything": True, "sender": "nobody"}, 404),
        ({"address": ANNA, "stream": "newsletter", "sender": "other"}, 422),
        ({"address": ANNA, "stream": "nowhere"}, 404),
        ({"address": ANNA, "stream": "receipts"}, 422),
        ({"address": "anna", "stream": "newsletter"}, 422),
        ({"address": "a\u0000@kund.example", "stream": "newsletter"}, 422),
        ({"address": ANNA, "stream": "newsletter", "at": "yesterday"}, 422),
        ({"address": ANNA, "stream": "newsletter", "at": "2999-01-01T00:00:00Z"}, 422),
        ({"address": ANNA, "stream": "newsletter", "at": "0001-01-01T00:00:00+14:00"}, 422),
        ({"address": ANNA, "stream": "newsletter", "why": "unknown member"}, 422),
        ({"address": 7, "stream": "newsletter"}, 422),
        ("nothing", 422),
        (None, 422),
    ],
)  # fmt: skip
async def test_what_cannot_be_done_is_a_problem(tmp_path, item, status):
    async with api(tmp_path) as (site, client):
        answer = await client.post("/withdrawals", json=item)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
        assert ANNA not in answer.text
        assert site.withdrawn == []


async def test_a_key_of_one_sender_changes_nothing_of_another(tmp_path):
    async with api(tmp_path) as (site, _):
        key = await key_for(site, "other", senders=["other"])
        async with client_with(site, key) as client:
            foreign = await client.post(
                "/withdrawals", json={"address": ANNA, "stream": "newsletter"}
            )
            assert foreign.status_code == 404
            many = await client.post(
                "/withdrawals",
                json=[
                    {"address": ANNA, "stream": "newsletter"},
                    {"address": ANNA, "everything": True},
                ],
            )
            assert [one["status"] for one in many.json()] == ["refused", "withdrawn"]
            assert many.json()[1]["sender"] == "other", "the only one it sees"


async def test_the_same_at_the_same_time_is_recorded_once(tmp_path):
    async with api(tmp_path) as (site, client):
        subject = await site.subscribe(ANNA, "newsletter")
        item = {"address": ANNA, "stream": "newsletter"}
        answers = await asyncio.gather(*(client.post("/withdrawals", json=item) for _ in range(8)))
        assert sorted(one.json()["status"] for one in answers) == ["known"] * 7 + ["withdrawn"]
        assert len(await site.facts(subject)) == 1
