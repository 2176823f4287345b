"""What stands before a session: the PROXY protocol, versions 1 and 2, and TLS from the first octet.

A load balancer says in a header in front of everything else, before a TLS handshake too, whose
connection it passes on. In: a new connection. Out: a session that knows its peer.

Who begins with TLS has a seat from the first moment, like everybody else: a handshake that is never
finished would otherwise cost a connection that nobody counts.

From the networks named the header is required: who does not send one, a whole and correct one
and in time, is dropped without a word. From any other address it is never looked for, and is
only a bad command. So nobody can claim to be somebody else.

The header is read so that not one octet behind it is taken from the socket: those belong to the
session, or to its TLS handshake.

Of its own checks a balancer says LOCAL (version 2) or UNKNOWN (version 1); such a session is the
balancer's own. Datagrams, sockets of Unix and unspecified families under PROXY are no mail
clients and are dropped. So is a peer that is said to be loopback by another machine: what is
trusted for being on this one must be on this one.

https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt
*Known limits:* what the header says about TLS at the balancer (TLVs) is not looked at; a
checksum in it is not verified, for TCP has its own.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Protocol, cast

from gatepost import maillog
from gatepost.flow.accept.clients import Peer, peer_address
from gatepost.flow.accept.door import Door, Tls

HEADER_SECONDS = 10.0
_HANDSHAKE_SECONDS = 60.0
_MOST_UNSEATED = 20  # handshakes only to say that there are too many connections
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_START = len(_SIGNATURE)  # no header is shorter
_LONGEST_V1 = 107
_LONGEST_V2 = 1024  # behind its 16 octets; addresses take 36, the rest are TLVs
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESS_OCTETS = {0x11: 4, 0x21: 16}  # TCP over IPv4 and IPv6

Network = IPv4Network | IPv6Network


class BadHeader(Exception):  # noqa: N818  what the balancer sent, not an error of ours
    """What came is no header, or none that may be believed."""


class Expected(Protocol):
    """The session that follows; it is told who is there before it is told of the connection."""

    peer: IPv4Address | IPv6Address

    def told(self, peer: Peer) -> None:
        """Who the client is, other than the connection says."""

    def take_seat(self) -> bool:
        """Counts the connection; whether there was room."""

    def leave_seat(self) -> None:
        """The connection came to nothing."""


def missing(header: bytes) -> int:
    """How many octets more of the header there are, at least; 0 when it is complete.

    Raises `BadHeader` as soon as it cannot become one.
    """
    if len(header) < _START:
        return _START - len(header)
    if header.startswith(b"PROXY "):
        if header.endswith(b"\r\n"):
            return 0
        if len(header) >= _LONGEST_V1:
            raise BadHeader("a PROXY line without an end")
        return 1
    if not header.startswith(_SIGNATURE):
        raise BadHeader("no PROXY header")
    if len(header) < _START + 4:
        return _START + 4 - len(header)
    length = int.from_bytes(header[14:16], "big")
    if length > _LONGEST_V2:
        raise BadHeader("a PROXY header of unreasonable length")
    return _START + 4 + length - len(header)


def read(header: bytes) -> Peer | None:
    """The client that a complete header names; `None` where the balancer speaks for itself.

    Raises `BadHeader`.
    """
    return _read_line(header) if header.startswith(b"PROXY ") else _read_binary(header)


def _read_line(header: bytes) -> Peer | None:
    words = header[:-2].split(b" ")
    if words[1] == b"UNKNOWN":
        return None
    if len(words) != 6 or words[1] not in {b"TCP4", b"TCP6"} or b"%" in header:  # no scopes
        raise BadHeader("a PROXY line that cannot be understood")
    kind = IPv4Address if words[1] == b"TCP4" else IPv6Address
    try:
        source, _ = (kind(word.decode("ascii")) for word in words[2:4])
        port, _ = (_port(word) for word in words[4:])
    except ValueError as error:
        raise BadHeader("a PROXY line with a wrong address") from error
    return peer_address(str(source)), port


def _port(word: bytes) -> int:
    number = int(word) if word.isdigit() and (word == b"0" or word[:1] != b"0") else -1
    if not 0 <= number <= 0xFFFF:
        raise ValueError(word)
    return number


def _read_binary(header: bytes) -> Peer | None:
    command, family = header[12], header[13]
    if command == _LOCAL:
        return None
    octets = _ADDRESS_OCTETS.get(family)
    if command != _PROXY or octets is None:
        raise BadHeader("a PROXY header of an unknown kind")
    source, ports = header[16 : 16 + octets], header[16 + 2 * octets : 20 + 2 * octets]
    if len(ports) < 4:
        raise BadHeader("a PROXY header without an address")
    address = IPv4Address(source) if octets == 4 else IPv6Address(source)
    return peer_address(str(address)), int.from_bytes(ports[:2], "big")


class Reception(asyncio.BufferedProtocol):
    """Stands where the session will stand, until it is known whose connection it is."""

    def __init__(
        self,
        door: Door,
        loop: asyncio.AbstractEventLoop,
        networks: Sequence[Network],
        session: Callable[[], asyncio.Protocol],
    ) -> None:
        self._door = door
        self._loop = loop
        self._networks = networks
        self._session = session
        self._peer: IPv4Address | IPv6Address = IPv4Address(0)
        self._port = 0
        self._header = b""
        self._space = bytearray(_START)
        self._timer: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Task[None] | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Waits for the header, where one must come."""
        # uvloop's transports are asyncio.Transport in all but name.
        self._transport = cast("asyncio.Transport", transport)
        self._door.sessions.add(self)
        peername = transport.get_extra_info("peername")
        if not peername:  # gone already
            self._transport.abort()
            return
        self._peer, self._port = peer_address(peername[0]), int(peername[1])
        if any(self._peer in network for network in self._networks):
            self._timer = self._loop.call_later(HEADER_SECONDS, self._drop, "no PROXY header came")
        else:
            self._hand_over(None)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """Room for the rest of the header, and for no octet more."""
        return memoryview(self._space)

    def buffer_updated(self, nbytes: int) -> None:
        """So many octets more of the header."""
        self._header += self._space[:nbytes]
        try:
            more = missing(self._header)
            if more:
                self._space = bytearray(more)
                return
            peer = read(self._header)
        except BadHeader as bad:
            self._drop(str(bad))
            return
        if peer is not None and peer[0].is_loopback and not self._peer.is_loopback:
            self._drop("a PROXY header that speaks of loopback elsewhere")
        else:
            self._hand_over(peer)

    def eof_received(self) -> bool:
        """Whoever only looks whether the port is open."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Gone before it was known whose it was, or taken over for the handshake."""
        if self._handshake is None:
            self._leave()

    # What the listener calls

    def wind_up(self) -> None:
        """Nothing has begun."""
        if self._handshake is None:
            self._transport.abort()
        else:
            self._handshake.cancel()

    def cut(self) -> None:
        """The same."""
        self.wind_up()

    # The works

    def _leave(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._door.left(self)

    def _drop(self, why: str) -> None:
        maillog.connection_refused(self._door.name, str(self._peer), why)
        self._transport.abort()

    def _hand_over(self, peer: Peer | None) -> None:
        session = self._session()
        expected = cast("Expected", session)
        if self._door.tls is Tls.IMPLICIT:
            expected.told(peer or (self._peer, self._port))
            self._begin_tls(session, seated=expected.take_seat())
            return
        if peer is not None:
            expected.told(peer)
        self._leave()
        self._transport.set_protocol(session)
        session.connection_made(self._transport)

    def _begin_tls(self, session: asyncio.Protocol, *, seated: bool) -> None:
        """Who found no seat is told so under TLS, unless very many are to be told."""
        if not seated and self._door.unseated >= _MOST_UNSEATED:
            self._drop("too many connections")
            return
        if self._timer:
            self._timer.cancel()
        try:
            # A second descriptor: what this transport has not read by now, it never reads. To
            # pause it would not do: uvloop reads on behind `connection_made` all the same.
            descriptor = os.dup(self._transport.get_extra_info("socket").fileno())
        except OSError as error:
            cast("Expected", session).leave_seat()
            self._drop(f"TLS: {error}")
            return
        socket_ = socket.socket(fileno=descriptor)
        socket_.setblocking(False)
        self._door.unseated += not seated
        self._handshake = self._door.run(
            self._shake_hands(socket_, session, seated=seated), self._loop
        )
        self._transport.abort()

    async def _shake_hands(
        self, socket_: socket.socket, session: asyncio.Protocol, *, seated: bool
    ) -> None:
        assert self._door.context is not None  # noqa: S101  the listener has looked
        expected = cast("Expected", session)
        try:
            await self._loop.connect_accepted_socket(
                lambda: session,
                socket_,
                ssl=self._door.context,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
            )
        except (OSError, asyncio.CancelledError) as error:
            maillog.connection_refused(self._door.name, str(expected.peer), f"TLS: {error}")
            socket_.close()
            expected.leave_seat()
        finally:
            self._door.unseated -= not seated
            self._leave()
