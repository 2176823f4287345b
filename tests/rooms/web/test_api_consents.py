"""/api/v1/consents and /api/v1/audience-checks: the rules of the commands, over HTTP."""

from datetime import timedelta

import pytest

from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import parse
from gatepost.store import people
from support.api import add_source, api, client_with, key_for

ANNA = "anna@kund.example"


def consent(**more):
    return {
        "address": ANNA, "stream": "newsletter", "source": "web", "basis": "form-checkbox",
        "at": "2026-03-01T10:00:00Z",
    } | more  # fmt: skip


async def leave(site, ago):
    fact = Fact(
        kind=EventKind.WITHDRAWN, at=site.store.now() - ago, sender="acme", stream="newsletter"
    )
    await site.store.write(lambda tx: people.record(tx, parse(ANNA), [fact]))


async def test_a_consent_with_its_evidence(tmp_path):
    async with api(tmp_path) as (site, client):
        await add_source(site)
        asked = consent(
            url="https://acme.example/join", ip="192.0.2.7", user_agent="Browser", note="n"
        )
        answer = await client.post("/consents", json=asked)
        assert answer.status_code == 201
        said = answer.json()
        assert (said["kind"], said["verdict"], said["reason"]) == (
            "granted",
            "deliver",
            "consented",
        )
        assert said["at"] == "2026-03-01T10:00:00.000Z"
        shown = (
            await client.post("/consents/lookup", json={"address": "ANNA@kund.example"})
        ).json()
        (event,) = shown["events"]
        assert (event["actor"], event["method"], event["ip"]) == ("mailer", "api", "192.0.2.7")
        assert (event["text_version"], event["text_state"]) == ("1", "valid")
        assert event["at"] == "2026-03-01T10:00:00.000Z"
        standing = next(one for one in shown["standings"] if one["stream"] == "newsletter")
        assert (standing["state"], standing["since"]) == ("granted", "2026-03-01T10:00:00.000Z")
        again = await client.post("/consents", json=asked)
        assert (again.status_code, again.json()["known"]) == (200, True)
        shown = (await client.post("/consents/lookup", json={"address": ANNA})).json()
        assert len(shown["events"]) == 1


async def test_who_left_comes_back_with_an_explanation_only(tmp_path):
    """HR-4, E5."""
    async with api(tmp_path) as (site, client):
        await add_source(site)
        await leave(site, timedelta(days=2))
        now = site.store.now().isoformat()
        for asked, words in (
            (consent(at=now), "how they came back"),
            (consent(), "no return"),
            (consent(at=now, basis="purchase", explanation="bought again"), "explicit"),
        ):
            answer = await client.post("/consents", json=asked)
            assert answer.status_code == 422
            assert words in answer.json()["detail"]
        answer = await client.post("/consents", json=consent(at=now, explanation="by phone"))
        assert (answer.status_code, answer.json()["kind"]) == (201, "resubscribed")
        assert answer.json()["verdict"] == "deliver"


async def test_pending_never_counts(tmp_path):
    """JU-17."""
    async with api(tmp_path) as (site, client):
        await add_source(site)
        answer = await client.post("/consents", json=consent(stream="club", basis="double-opt-in"))
        assert (answer.json()["kind"], answer.json()["reason"]) == ("requested", "unconfirmed")
        confirmed = consent(
            stream="club", basis="double-opt-in", confirmed_at="2026-03-02T10:00:00Z"
        )
        answer = await client.post("/consents", json=confirmed)
        assert (answer.json()["kind"], answer.json()["verdict"]) == ("granted", "deliver")


async def test_a_forbidden_basis_stands_on_record_and_never_counts(tmp_path):
    """HS-14."""
    async with api(tmp_path) as (site, client):
        await add_source(site)
        answer = await client.post("/consents", json=consent(basis="purchased-list"))
        assert (answer.status_code, answer.json()["reason"]) == (201, "forbidden-source")


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"source": "nowhere"}, 422), ({"basis": "nice people"}, 422), ({"stream": "nowhere"}, 404),
        ({"stream": "receipts"}, 422), ({"stream": "foreign"}, 422), ({"at": "2999-01-01"}, 422),
        ({"at": "soon"}, 422), ({"at": ""}, 422), ({"address": "anna"}, 422),
        ({"text_version": "9"}, 422), ({"bought": "yes"}, 422), ({"categories": "a"}, 422),
    ],
)  # fmt: skip
async def test_what_is_no_consent_is_refused(tmp_path, more, status):
    async with api(tmp_path) as (site, client):
        await add_source(site)
        answer = await client.post("/consents", json=consent(**more))
        assert answer.status_code == status
        assert await site.store.read(lambda tx: people.history(tx, parse(ANNA))) is None


async def test_what_another_sender_knows_is_not_there(tmp_path):
    async with api(tmp_path) as (site, client):
        await add_source(site)
        await client.post("/consents", json=consent())
        key = await key_for(site, "other", senders=["other"])
        async with client_with(site, key) as other:
            known = (await other.post("/consents/lookup", json={"address": ANNA})).json()
            stranger = (
                await other.post("/consents/lookup", json={"address": "x@kund.example"})
            ).json()
            assert {**known, "address": ""} == {**stranger, "address": ""}
            assert [one["sender"] for one in known["standings"]] == ["other"]
            for asked in (consent(stream="foreign"), consent()):
                assert (await other.post("/consents", json=asked)).status_code in {404, 422}
            check = {"stream": "newsletter", "addresses": [ANNA]}
            assert (await other.post("/audience-checks", json=check)).status_code == 404


async def test_the_audience_check_says_what_the_relay_would(tmp_path):
    """SO-2…5: one verdict per address, in their order, and nothing is changed."""
    async with api(tmp_path) as (site, client):
        await site.subscribe(ANNA, "newsletter")
        await leave(site, timedelta(minutes=1))
        await site.subscribe("bo@kund.example", "newsletter")
        many = [f"r{number}@kund.example" for number in range(4000)]
        asked = {"stream": "newsletter", "addresses": ["Bo@kund.example", "x", ANNA, *many]}
        answer = (await client.post("/audience-checks", json=asked)).json()
        assert [one["address"] for one in answer] == asked["addresses"]
        assert [(one["verdict"], one["reason"]) for one in answer[2:4]] == [
            ("drop", "withdrawn"), ("drop", "no-consent"),
        ]  # fmt: skip
        assert (answer[0]["verdict"], answer[1]["verdict"]) == ("deliver", "invalid")
        assert answer[2]["since"].endswith("Z")
        assert await site.store.read(lambda tx: people.history(tx, parse(many[0]))) is None
        empty = await client.post(
            "/audience-checks", json={"stream": "newsletter", "addresses": []}
        )
        assert empty.json() == []
        too_many = {"stream": "newsletter", "addresses": ["a@b.example"] * 10_001}
        assert (await client.post("/audience-checks", json=too_many)).status_code == 422
