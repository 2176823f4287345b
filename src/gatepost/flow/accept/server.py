"""A listener: the socket, its sessions, and their orderly end.

In: where to listen, who may come in, and the `Handler` to give messages to. `stop` lets
transactions on the wire finish, then says 421. `reconfigure` takes effect at once: open
sessions are asked anew who they are at their next MAIL.

*Fails:* `OSError` from `start` when the address cannot be had; `ValueError` for settings that
contradict each other.
*Known limits:* asked for port 0 on a name with several addresses, each gets its own port and
`port` is the first.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable

from gatepost.flow.accept.cellar import Cellar
from gatepost.flow.accept.clients import ClientTable
from gatepost.flow.accept.door import Door, Limits, Role, Tls
from gatepost.flow.accept.guessing import Guesses
from gatepost.flow.accept.handler import Handler
from gatepost.flow.accept.passwords import Passwords
from gatepost.flow.accept.proxied import Network, Reception
from gatepost.flow.accept.session import Session
from gatepost.flow.accept.usage import Usage
from gatepost.mail.address import Address

_BACKLOG = 1024
_FAREWELL_SECONDS = 1.0  # for the last 421s to go out


class Listener:
    """One SMTP listener."""

    def __init__(
        self,
        *,
        hostname: str,
        handler: Handler,
        clients: ClientTable | None = None,
        address: str = "127.0.0.1",
        port: int = 0,
        bound: socket.socket | None = None,
        reuse_port: bool = False,
        name: str = "",
        tls: Tls = Tls.NONE,
        context: ssl.SSLContext | None = None,
        role: Role = Role.SUBMISSION,
        only_clients: Iterable[str] = (),
        accepts: Callable[[Address], bool] | None = None,
        reject_bare_newlines: bool = False,
        limits: Limits | None = None,
        storage_ok: Callable[[int], bool] | None = None,
        stream: str = "",
        usage: Usage | None = None,
        cellar: Cellar | None = None,
        passwords: Passwords | None = None,
        guesses: Guesses | None = None,
        proxies: Iterable[Network] = (),
    ) -> None:
        """`bound` takes the place of `address` and `port`; it belongs to the listener then.

        `usage`, `cellar` and `passwords` are to be shared by the listeners of a process; those
        given are not closed by `stop`. `accepts` is asked per recipient on a listener for
        returns. `storage_ok` is asked per message, with its octets as far as they are known.
        From `proxies` every connection must begin with a header of the PROXY protocol.
        """
        _check_tls(tls, context)
        if role is Role.RETURNS and accepts is None:
            raise ValueError("a listener for returns needs to know which addresses it accepts")
        self._bound, self._address, self._port = bound, address, port
        self._reuse_port = reuse_port
        self._proxies = tuple(proxies)
        self._own_passwords = passwords is None
        self._own_cellar = cellar is None
        self._server: asyncio.Server | None = None
        self._door = Door(
            name=name or f"{address}:{port}",
            hostname=hostname,
            handler=handler,
            clients=clients or ClientTable(),
            only=frozenset(only_clients),
            limits=limits or Limits(),
            usage=usage or Usage(),
            cellar=cellar or Cellar(),
            passwords=passwords or Passwords(),
            guesses=guesses or Guesses(),
            role=role,
            tls=tls,
            context=context,
            accepts=accepts or _accepts_none,
            reject_bare_newlines=reject_bare_newlines,
            storage_ok=storage_ok or _always,
            stream=stream,
        )

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        door = self._door

        def session() -> Session:
            return Session(door, loop)

        def reception() -> Reception:
            return Reception(door, loop, self._proxies, session)

        # With TLS from the first octet, the reception counts who shakes hands.
        arriving: Callable[[], asyncio.BaseProtocol] = (
            reception if self._proxies or door.tls is Tls.IMPLICIT else session
        )
        if self._bound is not None:
            self._server = await loop.create_server(arriving, sock=self._bound, backlog=_BACKLOG)
        else:
            self._server = await loop.create_server(
                arriving,
                self._address or None,
                self._port,
                backlog=_BACKLOG,
                reuse_port=self._reuse_port or None,
            )

    async def stop(self, grace: float = 10.0) -> None:
        """Take no more connections; let transactions finish for `grace` seconds; then 421.

        A message that is still being taken after that gets no reply, so that the client asks
        again: a duplicate is possible, a loss is not.
        """
        if self._server is None:
            return
        self._server.close()
        self._door.stopping = True
        for session in tuple(self._door.sessions):
            session.wind_up()
        await self._door.wait_until_empty(grace)
        for session in tuple(self._door.sessions):
            session.cut()
        tasks = tuple(self._door.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._door.wait_until_empty(_FAREWELL_SECONDS)
        for session in tuple(self._door.sessions):
            session.cut()  # it does not even read its 421
        if self._own_passwords:
            self._door.passwords.close()
        if self._own_cellar:
            self._door.cellar.close()
        self._server = None

    def reconfigure(
        self,
        *,
        clients: ClientTable | None = None,
        limits: Limits | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Take up a reloaded configuration; what is not given stays."""
        if context is not None:
            _check_tls(self._door.tls, context)
            self._door.context = context
        if clients is not None:
            self._door.clients = clients
        if limits is not None:
            self._door.limits = limits

    @property
    def port(self) -> int:
        """The port listened on, once started."""
        if self._server is None or not self._server.sockets:
            raise RuntimeError("the listener is not listening")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many sessions are open."""
        return len(self._door.sessions)


def _check_tls(tls: Tls, context: ssl.SSLContext | None) -> None:
    if (tls is Tls.NONE) != (context is None):
        raise ValueError("a certificate is needed with TLS, and only with TLS")
    if context is not None and context.minimum_version < ssl.TLSVersion.TLSv1_2:
        raise ValueError("TLS older than 1.2 must be switched off (RFC 8314 §4.1)")


def _accepts_none(_address: Address) -> bool:
    return False


def _always(_octets: int) -> bool:
    return True
