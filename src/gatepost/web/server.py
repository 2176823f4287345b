"""Serves an application on a socket, inside an event loop that has other work, too.

In: an ASGI application and a bound socket. Out: a `Server` to start and to stop. uvicorn does
the HTTP; it neither handles signals nor logs requests, whose paths hold tokens.

*Fails:* `OSError` from `bind`.
*Known limits:* no TLS; a reverse proxy stands in front (the guides show two).
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn

from gatepost.web.connection import Connection

STOP_WITHIN_SECONDS = 5
_KEEP_ALIVE_SECONDS = 15
_BACKLOG = 2048

Application = Callable[[Any, Any, Any], Awaitable[None]]


def bind(address: str, port: int, *, share: bool = False) -> socket.socket:
    """A socket bound to `address` and `port`, 0 for any free one.

    With `share`, several processes may bind the same port (SO_REUSEPORT). Raises `OSError`.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound


class Server:
    """One application on one socket. The socket is closed with it."""

    def __init__(self, app: Application, bound: socket.socket) -> None:
        self._socket = bound
        self.port: int = bound.getsockname()[1]
        config = uvicorn.Config(
            app,
            loop="none",
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",  # what is no HTTP is no news, and anybody can send it
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_WITHIN_SECONDS,
        )
        self._uvicorn = _Uvicorn(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns once connections are taken."""
        self._task = asyncio.create_task(self._uvicorn.serve(sockets=[self._socket]))
        waiting = asyncio.create_task(self._uvicorn.listening.wait())
        await asyncio.wait({self._task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Finishes what is being answered, for a few seconds, and closes the socket."""
        self._uvicorn.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers: signals belong to the whole program."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tells when the socket listens."""
        await super().startup(sockets)
        self.listening.set()
