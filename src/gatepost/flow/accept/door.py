"""What all sessions of one listener share: who may come in, how much, and to whom it goes."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from gatepost.flow.accept.cellar import Cellar
from gatepost.flow.accept.clients import ClientTable
from gatepost.flow.accept.guessing import Guesses
from gatepost.flow.accept.handler import Handler
from gatepost.flow.accept.passwords import Passwords
from gatepost.flow.accept.usage import Usage
from gatepost.mail.address import Address
from gatepost.mail.client import Client


class Guest(Protocol):
    """An open session, as its listener sees it."""

    def wind_up(self) -> None:
        """Close with 421 as soon as nothing is on the wire."""

    def cut(self) -> None:
        """End the connection now; the second time, without a word."""


Task = asyncio.Task[None]


class Role(StrEnum):
    """What a listener is for."""

    SUBMISSION = "submission"
    RETURNS = "returns"  # bounces, complaints, unsubscribe mail: no clients, no AUTH


class Tls(StrEnum):
    """How a listener speaks TLS."""

    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a listener; sizes in octets, times in seconds."""

    message_size: int = 50_000_000
    recipients_per_message: int = 10_000
    connections_per_client: int = 50  # for strangers, per network
    connections: int = 2000  # of all listeners of a process
    idle_seconds: float = 300  # R5321-10: no less than five minutes outside of tests
    data_seconds: float = 1800  # for the whole of one message's content
    least_rate: float = 1000.0  # octets of content per second, after the first `idle_seconds`
    barren_seconds: float = 3600  # for a session that brings no message to its end


@dataclass(slots=True, kw_only=True)
class Door:
    """One listener's settings and its open sessions. Changed only by `Listener`."""

    name: str
    hostname: str
    handler: Handler
    clients: ClientTable
    only: frozenset[str]
    limits: Limits
    usage: Usage
    cellar: Cellar
    passwords: Passwords
    guesses: Guesses
    role: Role
    tls: Tls
    context: ssl.SSLContext | None
    accepts: Callable[[Address], bool]
    reject_bare_newlines: bool
    storage_ok: Callable[[int], bool]
    stream: str
    stopping: bool = False
    unseated: int = 0  # TLS handshakes of connections that are too many
    sessions: set[Guest] = field(default_factory=set)
    tasks: set[Task] = field(default_factory=set)
    _empty: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def postmaster(self) -> Address:
        """Who the bare `<Postmaster>` is (R5321-2)."""
        return Address(f"postmaster@{self.hostname}", f"postmaster@{self.hostname.lower()}")

    def allows(self, client: Client) -> bool:
        """Whether this client may use this listener."""
        return not self.only or client.name in self.only

    @property
    def has_users(self) -> bool:
        """Whether anybody could authenticate here."""
        return self.role is Role.SUBMISSION and any(map(self.allows, self.clients.with_username))

    def run(self, work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> Task:
        """A task that `stop` knows of."""
        task = loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def left(self, session: Guest) -> None:
        """A session is gone."""
        self.sessions.discard(session)
        self._look_around()

    async def wait_until_empty(self, seconds: float) -> None:
        """Wait until no session and no task is left, at most so long."""
        self._empty.clear()
        self._look_around()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()

    def _done(self, task: Task) -> None:
        self.tasks.discard(task)
        self._look_around()

    def _look_around(self) -> None:
        if not self.sessions and not self.tasks:
            self._empty.set()
