"""The PROXY protocol: who is behind a load balancer, and who only says so."""

import asyncio
import socket
import ssl
from ipaddress import ip_address, ip_network

import pytest

from gatepost.flow.accept import proxied
from gatepost.flow.accept.door import Limits, Tls
from gatepost.flow.accept.proxied import BadHeader, missing, read
from gatepost.mail.client import Client
from support.proxy_headers import BAD, GOOD
from support.smtp_talk import connected, until

BALANCER = (ip_network("127.0.0.1/32"),)
MAILER = Client(name="mailer", networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))


def take(octets, at_a_time=10**6):
    """Reads a header as the reception does; the peer, and what was not touched."""
    header, position = b"", 0
    while more := missing(header):
        piece = octets[position : position + min(more, at_a_time)]
        if not piece:
            return None, b"incomplete"
        header += piece
        position += len(piece)
    return read(header), octets[position:]


@pytest.mark.parametrize("at_a_time", [1, 5, 10**6])
@pytest.mark.parametrize("name", GOOD)
def test_headers_in_any_pieces_and_not_one_octet_more(name, at_a_time):
    header, address = GOOD[name]
    peer, rest = take(header + b"EHLO x\r\n", at_a_time)
    assert rest == b"EHLO x\r\n"
    assert peer == (address and (ip_address(address), 4711))


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header(name):
    with pytest.raises(BadHeader):
        take(BAD[name])


@pytest.mark.parametrize("name", GOOD)
def test_part_of_a_header_is_waited_for(name):
    header, _ = GOOD[name]
    for length in range(len(header)):
        assert take(header[:length]) == (None, b"incomplete")


async def behind(listen, **more):
    return await listen(clients=(MAILER,), proxies=BALANCER, **more)


@pytest.mark.parametrize("name", ["v1 tcp4", "v1 tcp6", "v1 mapped", "v2 tcp4", "v2 with more"])
@pytest.mark.parametrize("split", [1, 10**6])
async def test_the_address_in_the_header_is_the_clients(listen, handler, name, split):
    listener = await behind(listen)
    header, address = GOOD[name]
    first = header + b"EHLO client.example\r\n"
    async with connected(listener.port, greet=False) as talk:
        for start in range(0, len(first), split):
            await talk.send(first[start : start + split])
        assert (await talk.answer()).code == 220
        assert (await talk.answer()).code == 250
        assert (await talk.mail(b"Subject: x\r\n\r\nHello\r\n", "a@example.org")).code == 250
    arrival = handler.arrival
    assert (str(arrival.peer), arrival.client.name) == (address, "mailer")


@pytest.mark.parametrize("name", ["v2 local", "v1 unknown"])
async def test_a_check_of_the_balancer_is_greeted_and_relays_nothing(listen, name):
    listener = await behind(listen)
    async with connected(listener.port, greet=False) as talk:
        await talk.send(GOOD[name][0])
        assert (await talk.answer()).code == 220
        assert (await talk.say("EHLO balancer.example")).code == 250
        assert (await talk.say("MAIL FROM:<a@acme.example>")).code in {530, 550}


@pytest.mark.parametrize("name", BAD)
async def test_from_a_balancer_a_header_is_required(listen, name):
    listener = await behind(listen)
    async with connected(listener.port, greet=False) as talk:
        await talk.send(BAD[name] + b"EHLO client.example\r\n")
        assert await talk.rest() == b""
    await until(lambda: not listener.connections)


async def test_who_sends_no_header_in_time_is_dropped(listen, monkeypatch):
    monkeypatch.setattr(proxied, "HEADER_SECONDS", 0.05)
    listener = await behind(listen)
    async with connected(listener.port, greet=False) as talk:
        await talk.send(b"PROXY TCP4 192.")
        assert await talk.rest() == b""
    await until(lambda: not listener.connections)


async def test_others_are_taken_as_they_are_and_never_believed(listen):
    listener = await behind(listen)
    async with connected(listener.port, source="127.0.0.9") as talk:
        header = GOOD["v1 tcp4"][0].decode().strip()
        assert (await talk.say(header)).code == 500
        assert (await talk.say("MAIL FROM:<a@acme.example>")).code in {530, 550}


async def test_loopback_elsewhere_is_not_loopback_here(listen):
    header = b"PROXY TCP4 127.0.0.1 198.51.100.1 4711 25\r\n"
    here = Client(name="here", networks=(ip_network("127.0.0.0/8"),))
    listener = await listen(clients=(here,), proxies=BALANCER)
    async with connected(listener.port, greet=False) as talk:
        await talk.send(header)
        assert (await talk.answer()).code == 220
    door, loop = listener._door, asyncio.get_running_loop()
    elsewhere = (ip_network("192.0.2.0/24"),)
    reception = proxied.Reception(door, loop, elsewhere, lambda: pytest.fail("let in"))
    transport = Far()
    reception.connection_made(transport)
    for octet in header:
        if not transport.gone:
            reception.get_buffer(-1)[0] = octet
            reception.buffer_updated(1)
    assert transport.gone
    reception.connection_lost(None)


class Far(asyncio.Transport):
    """A connection from another machine."""

    gone = False

    def get_extra_info(self, name, default=None):
        return ("192.0.2.1", 4711) if name == "peername" else default

    def abort(self):
        self.gone = True


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.9"])
@pytest.mark.parametrize("together", [True, False])
async def test_the_handshake_comes_behind_the_header(
    listen, server_tls, client_tls, source, together
):
    """Also when both come in one segment, and for those from whom none is due."""
    listener = await behind(listen, tls=Tls.IMPLICIT, context=server_tls)
    header = GOOD["v2 tcp4"][0] if source == "127.0.0.1" else b""
    hello = asyncio.get_running_loop().run_in_executor
    greeting = await hello(None, shake_hands, listener.port, source, header, client_tls, together)
    assert greeting.startswith(b"220 ")


@pytest.mark.parametrize("said", [b"NOOP\r\n", b"NOOP\r\nQUIT\r\n"])
async def test_who_speaks_in_the_segment_that_ends_the_handshake_is_heard(
    listen, server_tls, client_tls, said
):
    listener = await behind(listen, tls=Tls.IMPLICIT, context=server_tls)
    answers = await asyncio.to_thread(
        shake_hands, listener.port, "127.0.0.1", GOOD["v2 tcp4"][0], client_tls, True, said=said
    )
    codes = [line[:3] for line in answers.splitlines()]
    assert codes == [b"220", b"250", b"221"][: 1 + said.count(b"\n")]
    await until(lambda: not listener.connections)


def shake_hands(port, source, header, context, together, *, said=b""):
    """A handshake in plain sight: header and ClientHello as one write, or as two.

    `said` goes out with the end of the handshake; what is answered, a line for each and one more.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", port), 300, source_address=(source, 0)) as line:
        if not together:
            line.sendall(header)
            header = b""

        def do(step, *words):
            nonlocal header
            while True:
                try:
                    return step(*words)
                except ssl.SSLWantReadError:
                    line.sendall(header + outgoing.read())
                    header = b""
                    octets = line.recv(65536)
                    assert octets, "the line was cut"
                    incoming.write(octets)

        do(tls.do_handshake)
        tls.write(said)
        answered = b""
        while answered.count(b"\n") <= said.count(b"\n"):
            answered += do(tls.read, 1000)
        return answered


async def test_those_behind_the_balancer_are_counted_each_by_itself(listen):
    listener = await behind(listen, limits=Limits(connections_per_client=1))
    async with (
        connected(listener.port, greet=False) as one,
        connected(listener.port, greet=False) as another,
        connected(listener.port, greet=False) as again,
    ):
        for talk, address, code in ((one, "198.51.100.7", 220), (another, "203.0.113.7", 220),
                                    (again, "198.51.100.8", 421)):  # fmt: skip
            await talk.send(f"PROXY TCP4 {address} 192.0.2.1 4711 25\r\n".encode())
            assert (await talk.answer()).code == code


async def test_a_stop_does_not_wait_for_headers(listen):
    listener = await behind(listen)
    async with connected(listener.port, greet=False) as talk:
        await until(lambda: listener.connections)
        await listener.stop(300.0)
        assert await talk.rest() == b""
