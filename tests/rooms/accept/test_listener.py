"""A listener: sockets, connection limits, an orderly end, and uvloop."""

import asyncio
import base64
import socket
from contextlib import suppress
from ipaddress import ip_network

import pytest
import uvloop

from gatepost.flow.accept import proxied
from gatepost.flow.accept.clients import ClientTable
from gatepost.flow.accept.door import Limits, Role, Tls
from gatepost.flow.accept.passwords import hash_password
from gatepost.flow.accept.server import Listener
from gatepost.flow.accept.usage import Usage
from gatepost.mail.client import Client
from support.recording_handler import RecordingHandler
from support.smtp_talk import connected, until

MAIL = "MAIL FROM:<a@acme.example>"
LOCAL = Client(name="local", networks=(ip_network("127.0.0.1/32"),))
APP = Client(name="app", username="app", password_hash=hash_password("secret"))
GOOD = base64.b64encode(b"\0app\0secret").decode()


async def test_connections_per_client(listen):
    usage = Usage()
    limits = Limits(connections_per_client=2)
    first = await listen([LOCAL], limits=limits, usage=usage)
    second = await listen([LOCAL], limits=limits, usage=usage)
    async with connected(first.port), connected(second.port) as other:
        async with connected(first.port, greet=False) as talk:
            assert (await talk.answer()).status == "421 4.7.0"
            assert await talk.rest() == b""
        await other.say("QUIT")
        await other.rest()
        async with connected(first.port):
            pass


async def test_a_stranger_is_counted_by_address_and_then_as_the_client_it_is(listen):
    listener = await listen([APP], limits=Limits(connections_per_client=1))
    async with connected(listener.port) as talk:
        async with connected(listener.port, greet=False) as stranger:
            assert (await stranger.answer()).status == "421 4.7.0"
        assert (await talk.say(f"AUTH PLAIN {GOOD}")).status == "235 2.7.0"
        async with connected(listener.port) as another:
            assert (await another.say(f"AUTH PLAIN {GOOD}")).status == "421 4.7.0"
            assert await another.rest() == b""


async def test_stop_says_421_to_who_is_idle(listen):
    listener = await listen()
    async with connected(listener.port) as talk:
        await listener.stop(10.0)
        assert await talk.rest() == b"421 4.3.2 Shutting down, try later\r\n"
    with pytest.raises(RuntimeError):
        _ = listener.port


async def test_stop_lets_a_transaction_finish(listen, handler):
    handler.gate = asyncio.Event()
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk.say(MAIL, "RCPT TO:<b@shop.example>")
        stopping = asyncio.create_task(listener.stop(300.0))
        await asyncio.sleep(0.05)
        assert (await talk.say("RCPT TO:<c@shop.example>")).status == "250 2.1.5"
        assert (await talk.say("DATA")).code == 354
        await talk.send(b"x\r\n.\r\nMAIL FROM:<a@acme.example>\r\n")
        await asyncio.sleep(0.05)
        assert not stopping.done()
        handler.gate.set()
        assert (await talk.answer()).status == "250 2.0.0"
        await stopping
        assert (await talk.rest()).endswith(b"421 4.3.2 Shutting down, try later\r\n")
    assert len(handler.taken) == 1


async def test_stop_waits_no_longer_than_its_grace(listen, handler):
    handler.gate = asyncio.Event()
    listener = await listen()
    async with connected(listener.port) as busy, connected(listener.port) as slow:
        await busy.say(MAIL, "RCPT TO:<b@shop.example>", "DATA")
        await busy.send(b"x\r\n.\r\n")
        await slow.say(MAIL)
        await listener.stop(0.1)
        assert await slow.rest() == b"421 4.3.2 Shutting down, try later\r\n"
        assert await busy.rest() == b""  # R5321-13: neither 250 nor 4yz would be true
    assert handler.taken == []


async def test_stop_does_not_wait_for_who_reads_nothing(listen):
    listener = await listen()
    async with connected(listener.port) as talk:
        flood = asyncio.create_task(talk.send(b"HELP\r\n" * 2_000_000))
        await asyncio.sleep(0.3)
        await listener.stop(0.1)
        await until(lambda: listener.connections == 0)
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)


async def test_a_socket_that_is_bound_already(listen):
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    listener = await listen(bound=bound)
    assert listener.port == bound.getsockname()[1]
    async with connected(listener.port) as talk:
        assert (await talk.say("NOOP")).code == 250


async def test_two_share_a_port(listen):
    first = await listen(reuse_port=True)
    second = await listen(reuse_port=True, port=first.port)
    assert first.port == second.port
    with pytest.raises(OSError, match="in use"):
        await listen(port=first.port)


async def test_returns_must_know_what_they_accept(listen):
    with pytest.raises(ValueError, match="accepts"):
        await listen(role=Role.RETURNS)


def test_on_uvloop(server_tls, client_tls):
    async def converse():
        handler = RecordingHandler()
        clients = ClientTable([LOCAL, APP])
        settings = {"hostname": "r.example", "handler": handler, "clients": clients}
        listener = Listener(**settings, tls=Tls.STARTTLS, context=server_tls)
        await listener.start()
        async with connected(listener.port) as talk:
            assert (await talk.mail(b"x\r\n" * 100_000, "b@shop.example")).status == "250 2.0.0"
            await talk.start_tls(client_tls)
            await talk.say("EHLO c")
            assert (await talk.say(f"AUTH PLAIN {GOOD}")).status == "235 2.7.0"
            assert (await talk.mail(b"y\r\n" * 100_000, "b@shop.example")).status == "250 2.0.0"
        async with connected(listener.port) as talk:
            await talk.send(b"STARTTLS\r\nNOOP\r\n")
            assert (await talk.answer()).code == 421
        async with connected(listener.port) as talk:
            assert (await talk.say("STARTTLS")).code == 220
            await talk.send(b"NOOP\r\n" * 10)
            assert b"250" not in await talk.rest()
        async with connected(listener.port) as talk:
            await listener.stop(5.0)
            assert b"421 4.3.2" in await talk.rest()
        implicit = Listener(**settings, tls=Tls.IMPLICIT, context=server_tls)
        await implicit.start()
        async with connected(implicit.port, tls=client_tls) as talk:
            assert (await talk.mail(b"z\r\n", "b@shop.example")).status == "250 2.0.0"
            assert (await talk.say("QUIT")).code == 221
            assert await talk.rest() == b""
        await implicit.stop(5.0)
        elsewhere = (ip_network("192.0.2.0/24"),)  # a balancer's; we come directly
        implicit = Listener(**settings, tls=Tls.IMPLICIT, context=server_tls, proxies=elsewhere)
        await implicit.start()
        for _ in range(3):
            async with connected(implicit.port, tls=client_tls):
                pass
        await implicit.stop(5.0)
        return handler

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        handler = runner.run(converse())
    assert handler.contents == [b"x\r\n" * 100_000, b"y\r\n" * 100_000, b"z\r\n"]
    assert [arrival.protocol for arrival, _, _ in handler.taken] == ["ESMTP", "ESMTPSA", "ESMTPS"]


async def test_who_never_ends_the_handshake_is_counted(listen, server_tls, client_tls):
    """Nor does a stop wait for them."""
    usage = Usage()
    limits = Limits(connections_per_client=3)
    listener = await listen(
        [LOCAL], tls=Tls.IMPLICIT, context=server_tls, limits=limits, usage=usage
    )
    bound = limits.connections_per_client + proxied._MOST_UNSEATED
    silent = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(bound)]
    await until(lambda: len(listener._door.tasks) == bound)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    with suppress(ConnectionError):  # one more is too many
        assert await reader.read() == b""
    writer.close()
    silent.pop()[1].close()
    await until(lambda: len(listener._door.tasks) == bound - 1)
    async with connected(listener.port, tls=client_tls, greet=False) as talk:
        assert (await talk.answer()).status == "421 4.7.0"  # with a reason
    for _, writer in silent:
        writer.close()
    await until(lambda: not listener._door.tasks)
    async with connected(listener.port, tls=client_tls):
        silent = [await asyncio.open_connection("127.0.0.1", listener.port)]
        await until(lambda: listener._door.tasks)
    await listener.stop(60.0)
    assert not listener.connections
    assert not listener._door.unseated
    assert usage.enter("client local", 1, total=1)  # nobody has a seat any more
