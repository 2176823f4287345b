"""Who is at the other end, and can anybody listen in: AUTH and STARTTLS.

AUTH's mechanisms are the library's, which decode what the client says; the line comes from
our own parser (`challenge_auth`), and the password is checked off the event loop.
Passwords are taken only under TLS or from a loopback peer (RX-6). STARTTLS uses the loop's
`start_tls`, which any event loop has; the library's own builds on private parts of asyncio.
Octets behind STARTTLS in the clear end the connection (RS-5), and nothing said before
the handshake counts after it (RX-7).

*Known limits:* a PLAIN authorization identity is not looked at.
"""

import asyncio
import base64
import binascii
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from aiosmtpd.smtp import MISSING, SMTP, AuthResult, LoginPassword
from aiosmtpd.smtp import Session as State

from gatepost import maillog
from gatepost.flow.accept import replies
from gatepost.flow.accept.clients import ClientTable, Peer, peer_address
from gatepost.flow.accept.door import Door, Role, Tls
from gatepost.flow.accept.passwords import Overloaded
from gatepost.flow.accept.usage import network_of
from gatepost.flow.accept.wire import Malformed, Wire
from gatepost.mail.client import Client

MAX_AUTH_FAILURES = 5
_HANDSHAKE_SECONDS = 60.0

_Mechanism = Callable[[Any, Any, list[str]], Awaitable[AuthResult]]
_MECHANISMS: Final[dict[str, _Mechanism]] = {"PLAIN": SMTP.auth_PLAIN, "LOGIN": SMTP.auth_LOGIN}


class Secured(Wire):
    """A connection that knows its client. `session` is the library's record of its state."""

    session: State
    AuthLoginUsernameChallenge = "Username:"
    AuthLoginPasswordChallenge = "Password:"

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(door, loop)
        self.session = State(loop)
        self.peer: IPv4Address | IPv6Address = IPv4Address(0)
        self.peer_port = 0
        self._told: Peer | None = None
        self._client: Client | None = None
        self._table: ClientTable | None = None  # the one `_client` was found in
        self._seat = ""  # what this connection is counted as
        self._stranger = False
        self._failures = 0

    # Who

    def told(self, peer: Peer) -> None:
        """Who the client is, where the connection is a load balancer's, or is not there yet."""
        self._told = peer

    def take_seat(self) -> bool:
        """Learn who the peer is, and count the connection, once; whether there was room."""
        if self._told is None:
            peername = self.transport.get_extra_info("peername")
            if not peername:  # gone already
                return False
            self._told = peer_address(peername[0]), int(peername[1])
        self.peer, self.peer_port = self._told
        client = self.client
        return self._sit(f"client {client.name}" if client else network_of(self.peer), not client)

    def leave_seat(self) -> None:
        """The connection is gone."""
        if self._seat:
            self.door.usage.leave(self._seat, stranger=self._stranger)
            self._seat = ""

    @property
    def client(self) -> Client | None:
        """Who this is by AUTH, else by network; asked anew after a reload."""
        table = self.door.clients
        if self._table is not table:
            self._table, before = table, self._client
            if self.session.authenticated and before:
                now = table.by_username(before.username, self.peer)
                same = now and now.password_hash == before.password_hash and self.door.allows(now)
                self._client = now if same else None
                self.session.authenticated = True if same else None
            if not self.session.authenticated:
                self._client = self._by_network(table)
        return self._client

    @property
    def under_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.transport.get_extra_info("sslcontext") is not None

    @property
    def may_authenticate(self) -> bool:
        """Whether AUTH is offered on this connection as it now is."""
        return self.door.has_users and (self.under_tls or self.peer.is_loopback)

    @property
    def could_authenticate(self) -> bool:
        """Whether AUTH is offered, or will be once the client has issued STARTTLS."""
        return self.may_authenticate or (self.door.has_users and self.door.tls is Tls.STARTTLS)

    def _by_network(self, table: ClientTable) -> Client | None:
        if self.door.role is Role.RETURNS:
            return None
        found = table.by_network(self.peer)
        return found if found and self.door.allows(found) else None

    def _sit(self, seat: str, stranger: bool = False) -> bool:
        if seat == self._seat:
            return True
        limits = self.door.limits
        if not self.door.usage.enter(
            seat, limits.connections_per_client, total=limits.connections, stranger=stranger
        ):
            return False
        self.leave_seat()
        self._seat, self._stranger = seat, stranger
        return True

    # AUTH

    def authenticate(self, argument: str) -> bytes | None:
        """The AUTH command; the reply, or `None` when it takes a conversation."""
        words = argument.split()
        if self.session.authenticated:
            return replies.ALREADY_AUTHENTICATED
        if not self.door.has_users or not self.session.extended_smtp:
            return replies.NOT_IMPLEMENTED
        if not self.may_authenticate:
            return replies.TLS_FIRST if self.could_authenticate else replies.TLS_NOT_HERE
        if not 1 <= len(words) <= 2:
            return replies.BAD_PARAMETER if words else replies.NEEDS_ARGUMENT
        if words[0].upper() not in _MECHANISMS:
            return replies.UNKNOWN_MECHANISM
        self.wait_for(self._authenticate_with(words[0].upper(), words))
        return None

    async def push(self, status: str | bytes) -> None:
        """What the library's mechanisms say with; they end no line themselves."""
        self.send((status.encode() if isinstance(status, str) else status) + b"\r\n")

    async def challenge_auth(
        self,
        challenge: str | bytes,
        encode_to_b64: bool = True,
        log_client_response: bool = False,
    ) -> Any:
        """Ask the client; its answer decoded, or `MISSING` when there is none (said already)."""
        del encode_to_b64, log_client_response
        octets = challenge.encode() if isinstance(challenge, str) else challenge
        self.send(b"334 " + base64.b64encode(octets) + b"\r\n")
        try:
            answer = (await self.next_line()).strip()
            if answer == b"*":
                self.send(replies.AUTH_CANCELLED)
                return MISSING
            return base64.b64decode(answer, validate=True)
        except Malformed as malformed:
            self.send(malformed.reply)
        except binascii.Error:
            self.send(replies.AUTH_BAD_BASE64)
        return MISSING

    def _authenticate(self, mechanism: str, auth_data: Any) -> AuthResult:
        """Called by the mechanisms with what they decoded, which is checked later."""
        del mechanism
        return AuthResult(success=True, auth_data=auth_data)

    async def _authenticate_with(self, mechanism: str, words: list[str]) -> None:
        decoded = await _MECHANISMS[mechanism](self, self, words)
        credentials = decoded.auth_data
        if not isinstance(credentials, LoginPassword):
            return  # the client has been told
        if self.door.guesses.locked(credentials.login, self.peer):
            self._refuse(replies.AUTH_PUT_OFF)
            return
        username = credentials.login.decode("utf-8", "replace")
        table = self.door.clients
        client = table.by_username(username, self.peer)
        if client and not self.door.allows(client):
            client = None
        self._task_must_finish = True  # or who hangs up before the answer would guess uncounted
        try:
            right = await self.door.passwords.check(
                credentials.login, credentials.password, client.password_hash if client else ""
            )
        except Overloaded:
            self.send(replies.AUTH_UNAVAILABLE)
            return
        finally:
            self._task_must_finish = False
        if client and right:
            self.door.guesses.succeeded(credentials.login, self.peer)
            if not self.lost:
                self._welcome(client, table)
        else:
            await self._turn_away(client, credentials.login)

    def _welcome(self, client: Client, table: ClientTable) -> None:
        if not self._sit(f"client {client.name}"):
            maillog.connection_refused(self.door.name, str(self.peer), "too many connections")
            self.say_goodbye(replies.TOO_MANY_CONNECTIONS)
            return
        self._client, self._table = client, table
        self.session.authenticated = True
        self.send(replies.AUTHENTICATED)

    async def _turn_away(self, client: Client | None, username: bytes) -> None:
        """Say no, the later the more often it was said."""
        door, peer = self.door, str(self.peer)
        name = client.name if client else ""
        maillog.auth_failed(door.name, peer, name)
        failure = door.guesses.failed(username, self.peer)
        for kind, seconds in failure.locks:
            maillog.auth_locked(door.name, peer, name, kind=kind, seconds=seconds)
        if not self.lost:
            await asyncio.sleep(failure.delay)
            self._refuse(replies.AUTH_FAILED)

    def _refuse(self, reply: bytes) -> None:
        self._failures += 1
        if self._failures >= MAX_AUTH_FAILURES:
            self.say_goodbye(replies.TOO_MANY_FAILURES)
        else:
            self.send(reply)

    # STARTTLS

    def start_tls(self, argument: str) -> bytes | None:
        """The STARTTLS command; the reply, or `None` when the handshake follows."""
        if self.door.tls is Tls.NONE or self.door.context is None:
            return replies.NOT_IMPLEMENTED
        if argument:
            return replies.NO_ARGUMENT
        if self.under_tls:
            return replies.TLS_ACTIVE
        if self.more_follows:
            maillog.connection_refused(self.door.name, str(self.peer), "octets after STARTTLS")
            self.say_goodbye(replies.INJECTION, linger=True)
            return None
        self.transport.pause_reading()  # what comes now is for the handshake
        self.wait_for(self._shake_hands())
        return replies.READY_FOR_TLS

    async def _shake_hands(self) -> None:
        assert self.door.context is not None  # noqa: S101  `start_tls` has looked
        self.forget_clear_text()
        try:
            transport = await self.loop.start_tls(
                self.transport,
                self,
                self.door.context,
                server_side=True,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
            )
        except (OSError, asyncio.CancelledError) as error:
            maillog.connection_refused(self.door.name, str(self.peer), f"TLS: {error}")
            self.transport.abort()
            self.connection_lost(None)
            return
        if transport is None or self.lost:
            self.connection_lost(None)
            return
        self.transport = transport
        self.session = State(self.loop)
        self._client = self._table = None
        self.on_secured()

    @abstractmethod
    def on_secured(self) -> None:
        """The handshake is done; forget what the client said before."""
