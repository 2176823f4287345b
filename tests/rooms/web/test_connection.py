"""Connections: slow, large, and in ways of writing a request that nobody should use."""

import asyncio
from contextlib import suppress

import pytest

from gatepost.web import body, connection
from gatepost.web.api import gate
from support.api import key_for
from support.site import served

PAIR = b"List-Unsubscribe=One-Click"


async def said(port, *pieces):
    """Everything that comes back on one connection until the other side ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece if isinstance(piece, bytes) else piece.encode())
        await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


def close_at_once(head):
    return f"{head}\r\nHost: x\r\nConnection: close\r\n\r\n"


# slow


@pytest.fixture
def impatient(monkeypatch):
    """A second stands for the times that the program waits."""
    monkeypatch.setattr(connection, "HEAD_WITHIN_SECONDS", 0.2)
    monkeypatch.setattr(connection, "REST_WITHIN_SECONDS", 0.2)
    monkeypatch.setattr(body, "_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(gate, "BODY_WITHIN_SECONDS", 0.2)


@pytest.mark.parametrize("start", ["", "G", "POST /u/x HTTP/1.1\r\nHost: x\r\nA: "])
async def test_a_request_that_does_not_come_is_not_waited_for(tmp_path, impatient, start):
    async with served(tmp_path) as site:
        for port in (site.port, site.admin_port):
            assert await said(port, start) == b""


async def test_a_head_that_drips_has_no_longer(tmp_path, impatient):
    async with served(tmp_path) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)

        async def drip():
            writer.write(b"GET / HTTP/1.1\r\nA: ")
            while not writer.is_closing():
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        dripping.cancel()
        writer.close()


async def test_a_body_that_never_comes_holds_up_nothing(tmp_path, impatient):
    """Who asked to leave has left, with whatever of the body there was."""
    async with served(tmp_path) as site:
        for number, rest in enumerate([b"", PAIR[:9], PAIR]):
            subject = await site.subscribe(f"anna{number}@example.org", "newsletter")
            head = f"POST /u/{site.token(subject)} HTTP/1.1\r\nHost: x\r\n"
            answer = await said(site.port, f"{head}Content-Length: 1000\r\n\r\n", rest)
            assert answer.startswith(b"HTTP/1.1 200 ")
            (fact,) = await site.facts(subject)
            assert (fact.note == "") is (rest == PAIR)


async def test_a_form_that_never_comes_is_an_error_and_no_wish(tmp_path, impatient):
    async with served(tmp_path) as site:
        subject = await site.subscribe("anna@example.org", "newsletter")
        head = f"POST /p/{site.token(subject, purpose='p')} HTTP/1.1\r\nHost: x\r\n"
        answer = await said(site.port, f"{head}Content-Length: 1000\r\n\r\naction=nothing&x=")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert not await site.facts(subject)


async def test_the_api_does_not_wait_for_ever(tmp_path, impatient):
    async with served(tmp_path) as site:
        key = await key_for(site, "all")
        head = f"POST /api/v1/withdrawals HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        answer = await said(site.admin_port, f"{head}Content-Length: 1000\r\n\r\n{{")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in answer


async def test_a_rest_that_comes_late_leaves_the_connection_as_it_was(tmp_path, monkeypatch):
    """A refusal before the body was read; then the body, and the next request."""
    async with served(tmp_path) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.admin_port)
        writer.write(b"POST /api/v1/withdrawals HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401 ")
        await reader.readuntil(b"}")
        monkeypatch.setattr(connection, "HEAD_WITHIN_SECONDS", 0.2)
        writer.write(b"{}")
        writer.write(close_at_once("GET /healthz HTTP/1.1").encode())
        assert (await reader.read()).endswith(b"\r\n\r\nok\n")
        writer.close()


async def test_after_a_late_rest_silence_is_not_waited_for(tmp_path, impatient):
    async with served(tmp_path) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.admin_port)
        writer.write(b"POST /api/v1/withdrawals HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401 ")
        writer.write(b"{}")
        assert (await reader.read()).endswith(b"}")
        writer.close()


# large


@pytest.mark.parametrize(
    "request_text",
    [
        f"GET /u/{'a' * 70_000} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /u/x HTTP/1.1\r\nHost: x\r\nA: {'b' * 70_000}\r\n\r\n",
        "GET /u/x HTTP/1.1\r\nHost: x\r\n" + "A: b\r\n" * 12_000 + "\r\n",
        f"GET /u/x HTTP/1.1\r\nHost: x\r\nA: {'b' * 70_000}",
    ],
    ids=["URL", "one field", "many fields", "no end"],
)
@pytest.mark.parametrize("size", [1 << 20, 1000])
async def test_a_head_has_a_size(tmp_path, request_text, size):
    """However it is cut into pieces."""
    pieces = [request_text[at : at + size] for at in range(0, len(request_text), size)]
    async with served(tmp_path) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        for piece in pieces:
            writer.write(piece.encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 431 ")
        writer.close()


async def test_a_long_head_that_is_not_too_long(tmp_path):
    async with served(tmp_path) as site:
        subject = await site.subscribe("anna@example.org", "newsletter")
        head = f"POST /u/{site.token(subject)}?{'q' * 20_000} HTTP/1.1\r\nHost: x\r\n"
        fields = f"Cookie: {'c' * 20_000}\r\n" + "A: b\r\n" * 500
        request = f"{head}{fields}Connection: close\r\nContent-Length: 0\r\n\r\n"
        assert (await said(site.port, request)).startswith(b"HTTP/1.1 200 ")


async def test_each_request_has_a_head_of_its_own(tmp_path):
    """Sizes are not added up over a connection, nor over what is sent at once."""
    async with served(tmp_path) as site:
        one = f"GET /healthz HTTP/1.1\r\nHost: x\r\nA: {'b' * 20_000}\r\n\r\n"
        answer = await said(site.port, one * 9, close_at_once("GET /healthz HTTP/1.1"))
        assert answer.count(b"HTTP/1.1 200 OK") == 10


# odd


async def test_ways_of_writing_a_target(tmp_path):
    """R8058-7: a link works however it is written, and is answered with no redirect."""
    ways = [
        "/u/{token}", "//u/{token}", "///u/{token}", "http://evil.example/u/{token}",
        "https://mail.example.org:443/u/{token}", "/%75/{escaped}", "/u/{token}#there",
        "/u/{token}?", "/u/{token}?List-Unsubscribe=One-Click", "/u/{token}%3E", "/u/{token}.",
    ]  # fmt: skip
    async with served(tmp_path) as site:
        for number, way in enumerate(ways):
            subject = await site.subscribe(f"anna{number}@example.org", "newsletter")
            token = site.token(subject)
            target = way.format(token=token, escaped="".join(f"%{ord(c):02x}" for c in token))
            got = await said(site.port, close_at_once(f"GET {target} HTTP/1.1"))
            assert (way, got[:13]) == (way, b"HTTP/1.1 200 ")
            assert not await site.facts(subject)
            got = await said(site.port, close_at_once(f"POST {target} HTTP/1.1"))
            assert (way, got[:13]) == (way, b"HTTP/1.1 200 ")
            assert len(await site.facts(subject)) == 1


@pytest.mark.parametrize(
    "head",
    [
        "POST /u/{} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
        "POST /u/{} HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\n",
        "POST /u/{} HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n",
        "POST /u/{} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /u/{} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "POST /u/{} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        "POST /u/{} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n",
        "POST /u/{} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\n",
        "POST /u/{} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        "POST /u/{} HTTP/1.1\nHost: x\n\n",
        "POST /u/{} HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        "CONNECT /u/{} HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /u/{}\xe5 HTTP/1.1\r\nHost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_two_servers_could_read_differently_is_no_request(tmp_path, capfd, head):
    """Neither is what stands behind it: `POST` of somebody else, meant for the next in line."""
    async with served(tmp_path) as site:
        subject = await site.subscribe("anna@example.org", "newsletter")
        behind = f"POST /u/{site.token(subject)} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        text = head.format(site.token(1)) + "0\r\n\r\n" + behind
        answer = await said(site.port, text.encode("latin-1"))
        assert b"HTTP/1.1 200 " not in answer
        assert (answer.count(b"HTTP/1.1 400 ") == 1) is not head.startswith("CONNECT")
        assert not await site.facts(subject)
    assert "Invalid HTTP request" not in capfd.readouterr().err


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize(
    "offer",
    [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\n",
        "Connection: keep-alive, Upgrade\r\nUpgrade: what, ever\r\n",
    ],
)
async def test_a_body_behind_an_offered_upgrade_is_no_request(tmp_path, capfd, offer, pieces):
    """Nobody smuggles a request into the connection that a proxy shares among all visitors."""
    async with served(tmp_path) as site:
        anna = await site.subscribe("anna@example.org", "newsletter")
        bert = await site.subscribe("bert@example.org", "newsletter")
        hidden = f"POST /u/{site.token(bert)} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        head = f"POST /u/{site.token(anna)} HTTP/1.1\r\nHost: x\r\n{offer}"
        head += f"Content-Length: {len(hidden)}\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write((head + hidden if pieces == 1 else head).encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer
        if pieces == 2:
            writer.write(hidden.encode())
        with suppress(ConnectionResetError):
            assert b"HTTP/1.1" not in await reader.read()
        writer.close()
        assert len(await site.facts(anna)) == 1
        assert not await site.facts(bert)
    assert not capfd.readouterr().err
