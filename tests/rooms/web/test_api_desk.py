"""/api/v1: suppressions, campaigns and the quarantine."""

import asyncio

import pytest

from gatepost.mail.address import parse
from gatepost.store import people
from gatepost.store.engine import Store
from gatepost.store.spool import PUT
from support.api import api, client_with, key_for
from support.engines import store_url
from support.submissions import HOLD, submission

pytestmark = pytest.mark.both_engines

ANNA, BO = "anna@kund.example", "bo@kund.example"


async def put(site, *addresses, sender="acme", stream="newsletter", **more):
    job = submission(*addresses, sender=sender, stream=stream, **more)
    return await site.store.batch(PUT, job)


def rel_next(answer):
    return answer.links["next"]["url"].removeprefix("/api/v1") if "next" in answer.links else None


async def test_suppressions_come_and_go(tmp_path):
    async with api(tmp_path) as (site, client):
        item = {"address": ANNA, "sender": "acme", "note": "asked by phone"}
        first = await client.post("/suppressions", json=item)
        assert (first.status_code, first.json()["status"]) == (200, "suppressed")
        assert (await client.post("/suppressions", json=item)).json()["status"] == "known"
        many = [{"address": BO, "sender": "*"}, {"address": "x", "sender": "acme"},
                {"address": BO, "sender": "nobody"}, {"address": BO, "sender": "*"}]  # fmt: skip
        said = [one["status"] for one in (await client.post("/suppressions", json=many)).json()]
        assert said == ["suppressed", "refused", "refused", "known"]
        (anna, also), (bo, still) = site.again[:2], site.again[2:]
        assert (anna, bo) == (also, still), "no copy begins, also where another gateway knew"
        assert (anna[1:], bo[1:]) == (("acme", ""), ("", ""))
        assert len({anna[0], bo[0]}) == 2
        listed = (await client.get("/suppressions")).json()
        assert {(one["address"], one["sender"], one["scope"], one["reason"]) for one in listed} == {
            (ANNA, "acme", "all", "manual"), (BO, "*", "all", "manual"),
        }  # fmt: skip
        found = await client.post("/suppressions/lookup", json={"address": BO, "sender": "acme"})
        assert [one["sender"] for one in found.json()] == ["*"]
        gone = await client.post("/suppressions/remove", json={"address": ANNA, "sender": "acme"})
        assert [one["reason"] for one in gone.json()["lifted"]] == ["manual"]
        again = await client.post("/suppressions/remove", json={"address": ANNA, "sender": "acme"})
        assert again.status_code == 404


@pytest.mark.parametrize("reason", ["complaint", "hard-bounce", "unsubscribed"])
async def test_what_is_for_the_person_alone_stays(tmp_path, reason):
    """E4."""
    async with api(tmp_path) as (_, client):
        item = {"address": ANNA, "sender": "acme", "reason": reason, "scope": "bulk"}
        await client.post("/suppressions", json=item)
        kept = await client.post("/suppressions/remove", json={"address": ANNA, "sender": "acme"})
        assert kept.status_code == 409
        assert len((await client.get("/suppressions?sender=acme")).json()) == 1


async def test_lists_come_in_pages_and_miss_nothing(tmp_path):
    async with api(tmp_path) as (site, client):
        items = [{"address": f"r{n}@kund.example", "sender": "acme"} for n in range(25)]
        await client.post("/suppressions", json=items)
        for n in range(7):
            await put(
                site, f"r{n}@kund.example", campaign=f"c{n}", verdicts={f"r{n}@kund.example": HOLD}
            )
        for path, count, name in (
            ("/suppressions?limit=10", 25, "address"), ("/campaigns?limit=3", 7, "id"),
            ("/quarantine?limit=2", 7, "id"),
        ):  # fmt: skip
            seen = []
            while path:
                answer = await client.get(path)
                assert answer.status_code == 200
                seen += [one[name] for one in answer.json()]
                path = rel_next(answer)
            assert (len(seen), len(set(seen))) == (count, count)


async def test_a_campaign_is_shown_and_stopped(tmp_path):
    async with api(tmp_path) as (site, client):
        put_in = await put(site, ANNA, BO)
        shown = (await client.get(f"/campaigns/{put_in.campaign}?limit=1")).json()
        assert shown["recipient_count"] == 2
        assert [one["recipient"] for one in shown["recipients"]] == [ANNA]
        assert (shown["outcomes"]["queued"], shown["stopped_at"]) == (2, None)
        stopped = await client.post(
            f"/campaigns/{put_in.campaign}/stop", json={"note": "wrong text"}
        )
        assert stopped.json() == {"id": put_in.campaign, "ended": 2}
        again = await client.post(f"/campaigns/{put_in.campaign}/stop", json={})
        assert again.json()["ended"] == 0
        (listed,) = (await client.get("/campaigns")).json()
        assert (listed["stopped_note"], listed["recipients"]) == ("wrong text", 2)


async def test_held_mail_is_released_with_a_reason_or_deleted(tmp_path):
    async with api(tmp_path) as (site, client):
        await put(
            site,
            ANNA,
            BO,
            "c@kund.example",
            verdicts=dict.fromkeys((ANNA, BO, "c@kund.example"), HOLD),
        )
        held = (await client.get("/quarantine?stream=newsletter")).json()
        assert {
            "id",
            "recipient",
            "stream",
            "reason",
            "held_at",
            "expires_at",
            "submission",
        } <= held[0].keys()
        first, second, third = [one["id"] for one in held]
        for reason in ({}, {"reason": ""}, {"reason": "  "}):
            answer = await client.post("/quarantine/release", json={"ids": [first], **reason})
            assert answer.status_code == 422
        released = await client.post(
            "/quarantine/release", json={"ids": [first, 999], "reason": "known to us"}
        )
        assert released.json() == {"changed": [first], "not_held": [999]}
        deleted = await client.post("/quarantine/delete", json={"ids": [second]})
        assert deleted.json()["changed"] == [second]
        assert [one["id"] for one in (await client.get("/quarantine")).json()] == [third]
        assert (await client.post("/quarantine/delete", json={"ids": [second]})).status_code == 404


async def test_another_senders_things_are_not_there(tmp_path):
    async with api(tmp_path) as (site, client):
        mine = await put(site, ANNA, verdicts={ANNA: HOLD})
        await client.post("/suppressions", json=[{"address": ANNA, "sender": "acme"},
                                                 {"address": BO, "sender": "*"}])  # fmt: skip
        (held,) = (await client.get("/quarantine")).json()
        key = await key_for(site, "other", senders=["other"])
        async with client_with(site, key) as other:
            for path in ("/campaigns", "/quarantine", "/suppressions"):
                assert (await other.get(path)).json() == []
            for path, body in (
                (f"/campaigns/{mine.campaign}/stop", {}),
                ("/quarantine/release", {"ids": [held["id"]], "reason": "x"}),
                ("/quarantine/delete", {"ids": [held["id"]]}),
                ("/suppressions/remove", {"address": ANNA, "sender": "acme"}),
                ("/suppressions/remove", {"address": BO, "sender": "*"}),
            ):
                assert (await other.post(path, json=body)).status_code == 404, path
            assert (await other.get(f"/campaigns/{mine.campaign}")).status_code == 404
            assert (await other.get("/suppressions?sender=acme")).status_code == 404
        assert len((await client.get("/quarantine")).json()) == 1
        history = await site.store.read(lambda tx: people.history(tx, parse(ANNA)))
        assert len(history.suppressions) == 1


async def test_what_the_api_records_others_see(tmp_path):
    async with api(tmp_path) as (_, client):
        await client.post("/suppressions", json={"address": ANNA, "sender": "acme"})
        with await asyncio.to_thread(
            Store.open, store_url(tmp_path), tmp_path / "data"
        ) as elsewhere:
            history = await elsewhere.read(lambda tx: people.history(tx, parse(ANNA)))
        (event,) = history.events
        assert (event.fact.actor, event.fact.method) == ("mailer", "api")
