"""Who is let in to the API, and how everybody else is answered."""

import asyncio
from datetime import timedelta

import pytest
import structlog

from gatepost import logfile
from gatepost.store import api_keys, clock
from gatepost.store.engine import Store, StoreUnavailable
from support.api import api, client_with, key_for
from support.site import served
from support.visiting import visiting

ITEM = {"address": "anna@kund.example", "stream": "newsletter"}


@pytest.fixture
def logging():
    """As the program logs: the library's own way takes seconds to draw a traceback."""
    logfile.configure("json", "hashed", b"k" * 32)
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "head",
    [{}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}, {"Authorization": "Bearer x"},
     {"Authorization": "Bearer gpk_0000000000001_wrong"}, {"Authorization": "Bearer gpk__"},
     {"Authorization": "Bearer \xff\xfe"}],
)  # fmt: skip
async def test_nobody_comes_in_without_a_key(tmp_path, head):
    async with served(tmp_path) as site:
        url = f"http://127.0.0.1:{site.admin_port}/api/v1/withdrawals"
        encoded = {name: value.encode("latin-1") for name, value in head.items()}
        async with visiting() as client:
            answer = await client.post(url, json=ITEM, headers=encoded)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        assert answer.headers["content-type"] == "application/problem+json"
        assert site.withdrawn == []


async def test_one_letter_off_is_no_key(tmp_path):
    async with api(tmp_path) as (site, _):
        key = await key_for(site, "crm")
        for wrong in (
            key[:-1] + ("A" if key[-1] != "A" else "B"),
            key + "A",
            key[:-1],
            "X" + key[1:],
        ):
            async with client_with(site, wrong) as client:
                assert (await client.post("/withdrawals", json=ITEM)).status_code == 401


async def test_a_key_opens_what_it_is_for(tmp_path):
    async with api(tmp_path) as (site, _):
        key = await key_for(site, "crm", scopes=["withdrawals:write"])
        async with client_with(site, key) as client:
            assert (await client.post("/withdrawals", json=ITEM)).status_code == 200
            refused = await client.get("/campaigns")
            assert refused.status_code == 403
            assert 'scope="campaigns:read"' in refused.headers["www-authenticate"]


async def test_a_revoked_key_is_none_at_once(tmp_path):
    async with api(tmp_path) as (_site, client):
        assert (await client.get("/campaigns")).status_code == 200
        with await asyncio.to_thread(Store.open, "", tmp_path / "data") as elsewhere:
            assert await elsewhere.write(lambda tx: api_keys.revoke(tx, "all"))
        assert (await client.get("/campaigns")).status_code == 401


async def test_a_key_ends_on_its_day(store, monkeypatch):
    end = store.now() + timedelta(days=90)
    key = await store.write(lambda tx: api_keys.add(tx, "crm", expires_at=end))
    monkeypatch.setattr(clock.Clock, "now", lambda _self: end - timedelta(seconds=1))
    assert (await store.read(lambda tx: api_keys.find(tx, key))).name == "crm"
    monkeypatch.setattr(clock.Clock, "now", lambda _self: end)
    assert await store.read(lambda tx: api_keys.find(tx, key)) is None


async def test_the_secret_is_not_kept_and_use_is_noted(tmp_path):
    async with api(tmp_path) as (site, _client):
        key = await key_for(site, "crm", scopes=["campaigns:read"])
        async with client_with(site, key) as other:
            await other.get("/campaigns")
        (kept,) = [one for one in await site.store.read(api_keys.list_all) if one.name == "crm"]
        assert kept.last_used_at is not None
        raw = (tmp_path / "data" / "gatepost.db").read_bytes()
        raw += (tmp_path / "data" / "gatepost.db-wal").read_bytes()
        assert key[-20:].encode() not in raw


@pytest.mark.parametrize("more", [{"scopes": ["everything"]}, {"name": "a b"}, {"name": ""}])
async def test_a_key_that_makes_no_sense_is_refused(store, more):
    with pytest.raises(ValueError, match=r"scope|name"):
        await store.write(
            lambda tx: api_keys.add(tx, more.get("name", "crm"), scopes=more.get("scopes", ()))
        )


async def test_more_than_the_bounds_is_not_read(tmp_path):
    async with api(tmp_path) as (_, client):
        body = b'[{"address": "' + b"x" * (9 * 1024 * 1024)
        answer = await client.post("/withdrawals", content=body)
        assert answer.status_code == 413

        async def drip():
            for _ in range(9):
                yield b"x" * 1024 * 1024

        answer = await client.post("/withdrawals", content=drip())
        assert answer.status_code == 413
        many = [{"address": "a", "stream": "b"}] * 10_001
        assert (await client.post("/withdrawals", json=many)).status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"address": "\\ud800@x.example", "stream": "newsletter"}',
    ],
)
async def test_what_is_no_json_is_no_error_of_ours(tmp_path, body):
    async with api(tmp_path) as (_, client):
        answer = await client.post(
            "/withdrawals", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in {400, 422}
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_store_that_is_away_is_503_with_a_time_to_come_back(tmp_path):
    async with api(tmp_path) as (site, client):
        await asyncio.to_thread(site.store.close)
        answer = await client.post("/withdrawals", json=ITEM)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["#/address"]),
        ([ITEM, {"address": "bo@kund.example", "x": 1}], ["#/1/x"]),
        (ITEM | {"a~/b": 1}, ["#/a~0~1b"]),
        (5, ["#", "#"]),
    ],
)
async def test_a_refusal_points_at_what_is_wrong(tmp_path, body, pointers):
    """RFC 6901, into the body as it was sent."""
    async with api(tmp_path) as (_, client):
        answer = await client.post("/withdrawals", json=body)
        assert answer.status_code == 422
        assert [one["pointer"] for one in answer.json()["errors"]] == pointers


@pytest.mark.parametrize("trouble", [StoreUnavailable("away"), RuntimeError("a secret")])
@pytest.mark.usefixtures("logging")
async def test_trouble_half_way_is_503_too(tmp_path, trouble):
    """The key was found, and then the store went away, or we made a mistake."""
    async with api(tmp_path) as (site, client):

        def fail(*_):
            raise trouble

        site.tell = fail
        answer = await client.post("/withdrawals", json=ITEM)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
        assert "secret" not in answer.text
        assert (await client.get("/suppressions")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("PUT", "/withdrawals", 405), ("GET", "/campaigns/0", 422),
     ("GET", "/campaigns/77", 404), ("GET", "/campaigns/99999999999999999999", 422),
     ("GET", "/campaigns?limit=100000", 422), ("GET", "/suppressions?after=nonsense", 422),
     ("GET", "/quarantine?stream=%00", 200)],
)  # fmt: skip
async def test_wrong_questions_are_problems(tmp_path, method, path, status):
    async with api(tmp_path) as (_, client):
        answer = await client.request(method, path)
        assert answer.status_code == status
        if status != 200:
            assert answer.json()["title"]


async def test_the_page_of_the_api_is_ours_alone(tmp_path):
    async with served(tmp_path) as site, visiting() as client:
        base = f"http://127.0.0.1:{site.admin_port}/api"
        page = await client.get(f"{base}/docs")
        assert page.status_code == 200
        assert "/api/v1/withdrawals" in page.text
        assert "http://" not in page.text.replace("https://", "http://").replace("http://127", "")
        assert "<script" not in page.text
        assert (await client.get(f"{base}/docs.css")).headers["content-type"].startswith("text/css")
        document = (await client.get(f"{base}/openapi.json")).json()
        assert set(document["paths"]) >= {"/v1/withdrawals", "/v1/consents", "/v1/audience-checks"}
        assert document["servers"] == [{"url": "/api"}]
        assert all(one["security"] for path in document["paths"].values() for one in path.values())
