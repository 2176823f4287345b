"""The server: starts, stops, tells whether it is ready, leaves signals alone."""

import asyncio
import os
import signal
import sys

import pytest
import structlog

from gatepost import logfile
from gatepost.web.server import Server, bind
from support.site import served
from support.visiting import visiting


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_health_on_both_listeners(tmp_path):
    async with served(tmp_path) as site, visiting() as client:
        admin = f"http://127.0.0.1:{site.admin_port}"
        for base in (site.url, admin):
            assert (await client.get(f"{base}/healthz")).text == "ok\n"
            assert (await client.get(f"{base}/readyz")).status_code == 200
        site.missing = "upstream smtp.example.org refuses connections"
        for base in (site.url, admin):
            answer = await client.get(f"{base}/readyz")
            assert answer.status_code == 503
            assert "retry-after" in answer.headers
            assert ("smtp.example.org" in answer.text) is (base == admin)
            assert (await client.get(f"{base}/healthz")).status_code == 200


async def test_metrics_are_on_the_admin_listener_only(tmp_path):
    async with served(tmp_path) as site, visiting() as client:
        await client.get(f"{site.url}/u/x")
        answer = await client.get(f"http://127.0.0.1:{site.admin_port}/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert 'gatepost_bad_links_total{page="unsubscribe"}' in answer.text
        wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
        answer = await client.get(f"http://127.0.0.1:{site.admin_port}/metrics", headers=wanted)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")
        assert (await client.get(f"{site.url}/metrics")).status_code == 404


async def test_metrics_of_all_workers_together(tmp_path, monkeypatch):
    numbers = tmp_path / "numbers"
    numbers.mkdir()
    work = "from gatepost.web.counters import BAD_LINKS; BAD_LINKS.labels('of-a-worker').inc(3)"
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(numbers)}
    for _ in range(2):
        worker = await asyncio.create_subprocess_exec(sys.executable, "-c", work, env=environment)
        assert await worker.wait() == 0
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(numbers))
    async with served(tmp_path) as site, visiting() as client:
        answer = await client.get(f"http://127.0.0.1:{site.admin_port}/metrics")
        assert 'gatepost_bad_links_total{page="of-a-worker"} 6.0' in answer.text


async def test_signals_stay_with_the_program():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    server = Server(hello, bind("127.0.0.1", 0))
    await server.start()
    try:
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    finally:
        await server.stop()


async def test_stopping_lets_an_answer_finish_and_drops_idle_connections():
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(scope, receive, send):
        entered.set()
        await go_on.wait()
        await hello(scope, receive, send)

    server = Server(slow, bind("127.0.0.1", 0))
    await server.start()
    _, idle = await asyncio.open_connection("127.0.0.1", server.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
    await entered.wait()
    stopping = asyncio.create_task(server.stop())
    await asyncio.sleep(0)
    go_on.set()
    assert b"hello" in await reader.read()
    await stopping
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", server.port)
    idle.close()
    writer.close()


class Arrivals(asyncio.Protocol):
    """Posts so many times on one connection, and keeps what comes, as it comes."""

    def __init__(self, times):
        self.left, self.pieces = times, []
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.ask()

    def ask(self):
        self.left -= 1
        self.transport.write(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n")

    def data_received(self, data):
        self.pieces.append(data)
        if not data.endswith(b"hello"):
            return
        if self.left:
            self.ask()
        else:
            self.done.set_result(None)


async def hello_with_length(scope, receive, send):
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_an_answer_is_one_write():
    """Head and body leave together: whoever waits is woken once."""
    server = Server(hello_with_length, bind("127.0.0.1", 0))
    await server.start()
    try:
        loop = asyncio.get_running_loop()
        transport, arrivals = await loop.create_connection(
            lambda: Arrivals(200), "127.0.0.1", server.port
        )
        await arrivals.done
        transport.close()
    finally:
        await server.stop()
    assert len(arrivals.pieces) == 200
    assert all(piece.startswith(b"HTTP/1.1 200") for piece in arrivals.pieces)


async def test_what_is_sent_bit_by_bit_arrives_in_order_and_whole():
    """An interim answer goes out at once; a long body comes complete before the end."""
    parts = [bytes([65 + number]) * 100_000 for number in range(20)]

    async def app(_scope, receive, send):
        assert (await receive())["body"] == b"body"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    server = Server(app, bind("127.0.0.1", 0))
    await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = b"POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 4\r\n"
        writer.write(head + b"Expect: 100-continue\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"body")
        await reader.readuntil(b"\r\n\r\n")
        chunked = await reader.read()
        writer.close()
    finally:
        await server.stop()
    assert chunked == b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("form", ["console", "json"])
async def test_an_error_of_our_own_is_a_page_and_no_traceback(tmp_path, capfd, form):
    """A line in the log, too; neither tells whose link it was."""
    logfile.configure(form, "hashed", b"k" * 32)
    try:
        async with served(tmp_path) as site, visiting(site.url) as client:
            subject = await site.subscribe("anna@example.org", "newsletter")

            def fail(*_):
                raise RuntimeError("a secret")

            site.tell = fail
            for path in (f"/u/{site.token(subject)}", f"/p/{site.token(subject, purpose='p')}"):
                answer = await client.post(path, data={"action": "nothing"})
                assert answer.status_code == 503
                assert "retry-after" in answer.headers
                assert "secret" not in answer.text
    finally:
        structlog.reset_defaults()
    said = capfd.readouterr().err
    assert said.count("page failed") == 2
    assert said.count("RuntimeError: a secret") == 2
    for private in (site.token(subject), site.token(subject, purpose="p"), "anna", "127.0.0.1"):
        assert private not in said


def test_a_taken_port_is_an_os_error():
    with bind("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(OSError):
            bind("127.0.0.1", first.getsockname()[1])


def test_processes_may_share_a_port():
    with (
        bind("127.0.0.1", 0, share=True) as first,
        bind("127.0.0.1", first.getsockname()[1], share=True) as second,
    ):
        assert first.getsockname() == second.getsockname()
