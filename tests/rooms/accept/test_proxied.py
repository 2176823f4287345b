"""The PROXY protocol: who is behind a load balancer, and who only says so."""

import asyncio
import socket
import ssl
import struct
from ipaddress import ip_address, ip_network

import pytest

from gatepost.flow.accept import proxied
from gatepost.flow.accept.door import Limits, Tls
from gatepost.flow.accept.proxied import BadHeader, missing, read
from gatepost.mail.client import Client
from support.smtp_talk import connected, until

BALANCER = (ip_network("127.0.0.1/32"),)
MAILER = Client(name="mailer", networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def binary(command=0x21, family=0x11, body=b"", tail=b""):
    return SIGNATURE + struct.pack("!BBH", command, family, len(body + tail)) + body + tail


def addresses(family, source, target, ports=(4711, 25)):
    return (
        socket.inet_pton(family, source) + socket.inet_pton(family, target)
        + struct.pack("!HH", *ports)
    )  # fmt: skip


V4 = addresses(socket.AF_INET, "192.0.2.7", "198.51.100.1")
V6 = addresses(socket.AF_INET6, "2001:db8::7", "2001:db8::1")
MAPPED = addresses(socket.AF_INET6, "::ffff:192.0.2.7", "::ffff:198.51.100.1")
GOOD = {
    "v1 tcp4": (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n", "192.0.2.7"),
    "v1 tcp6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 25\r\n", "2001:db8::7"),
    "v1 mapped": (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:1.2.3.4 4711 25\r\n", "192.0.2.7"),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1 unknown and more": (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", None),
    "v2 tcp4": (binary(body=V4), "192.0.2.7"),
    "v2 tcp6": (binary(family=0x21, body=V6), "2001:db8::7"),
    "v2 mapped": (binary(family=0x21, body=MAPPED), "192.0.2.7"),
    "v2 with more": (binary(body=V4, tail=b"\x04\0\x03abc"), "192.0.2.7"),
    "v2 local": (binary(0x20, 0x00), None),
    "v2 local with addresses": (binary(0x20, 0x11, V4), None),
}
BAD = {
    "smtp": b"EHLO client.example\r\n",
    "lower case": b"proxy tcp4 192.0.2.7 198.51.100.1 4711 25\r\n",
    "no end": b"PROXY TCP4 " + b"1" * 200,
    "too long": b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    "udp": b"PROXY UDP4 192.0.2.7 198.51.100.1 4711 25\r\n",
    "family mixed": b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 25\r\n",
    "no address": b"PROXY TCP4 somebody 198.51.100.1 4711 25\r\n",
    "leading zero": b"PROXY TCP4 192.0.2.007 198.51.100.1 4711 25\r\n",
    "two blanks": b"PROXY TCP4  192.0.2.7 198.51.100.1 4711 25\r\n",
    "port too large": b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n",
    "port signed": b"PROXY TCP4 192.0.2.7 198.51.100.1 +4711 25\r\n",
    "port missing": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
    "one more": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25 26\r\n",
    "not ascii": "PROXY TCP4 192.0.2.\u0667 198.51.100.1 4711 25\r\n".encode(),
    "other version": binary(0x31, 0x11, V4),
    "other command": binary(0x22, 0x11, V4),
    "datagram": binary(0x21, 0x12, V4),
    "socket of unix": binary(0x21, 0x31, b"\0" * 216),
    "unspecified": binary(0x21, 0x00),
    "addresses cut": binary(0x21, 0x11, V4[:11]),
    "addresses of the other family": binary(0x21, 0x21, V4),
    "unreasonable length": SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 1025),
    "signature broken": SIGNATURE[:-1] + b"\r" + binary(body=V4)[12:],
}


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


def shake_hands(port, source, header, context, together):
    """A handshake in plain sight: header and ClientHello as one write, or as two."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", port), 20, source_address=(source, 0)) as line:
        waiting = header
        if not together:
            line.sendall(waiting)
            waiting = b""
        while True:
            try:
                return tls.read(1000)
            except ssl.SSLWantReadError:
                line.sendall(waiting + outgoing.read())
                waiting = b""
                incoming.write(line.recv(65536))


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
        await listener.stop(20.0)
        assert await talk.rest() == b""
