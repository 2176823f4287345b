"""Cuts the connection to a PostgreSQL that has fallen silent.

A server that is frozen, or a proxy that keeps a line open and passes nothing on, answers never,
and the network sees nothing wrong with it. Whoever waits for longer than usual has the server
asked over a fresh connection: if that gets no answer, or the server is not at work for us, the
line is cut, and whoever waits learns that it is lost. Work that takes long is left alone.

In: lines, each with what it waits for. Out: lines cut.
*Known limits:* behind a pooler that gives out sessions of its own (PgBouncer) only a server that
does not answer at all is noticed.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Any, Protocol

LONG_SECONDS = 4.0  # what may take longer is asked about
ANSWER_SECONDS = 3.0
_LOOK_SECONDS = 1.0
# A transaction in which nothing happened for half a minute has lost its thread.
_QUESTION = (
    "SELECT pg_backend_pid(), (SELECT state = 'active'"
    " OR state <> 'idle' AND now() - state_change < interval '30 seconds'"
    " FROM pg_stat_activity WHERE pid = %s)"
)


class Line(Protocol):
    """A connection as the watchdog sees it."""

    @property
    def waiting(self) -> tuple[float, Any] | None:
        """Since when (`time.monotonic`) somebody waits for it, and the driver's connection."""


class Watchdog:
    """One thread that watches the lines of one store."""

    def __init__(self, lines: Sequence[Line], connect: Callable[[], Any]) -> None:
        self._lines = lines
        self._connect = connect
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="store-watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the watch; a question under way is not waited for."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            for line in self._lines:
                waiting = line.waiting
                if waiting and time.monotonic() - waiting[0] > LONG_SECONDS:
                    self._look_after(line, *waiting)

    def _look_after(self, line: Line, since: float, connection: Any) -> None:
        answers: list[bool] = []
        asking = threading.Thread(
            target=self._ask, args=(connection.info.backend_pid, answers), daemon=True
        )
        asking.start()
        asking.join(ANSWER_SECONDS)
        now = line.waiting
        if (not answers or not answers[0]) and now is not None and now[0] == since:
            _cut(connection)

    def _ask(self, pid: int, answers: list[bool]) -> None:
        """Whether the server works for the backend `pid`; nothing where it does not answer."""
        with suppress(Exception), closing(self._connect()) as borrowed:
            fresh = borrowed.driver_connection
            own, works = fresh.execute(_QUESTION, (pid,)).fetchone()
            pooled = own != fresh.info.backend_pid
            answers.append(bool(works) or pooled)


def _cut(connection: Any) -> None:
    with suppress(Exception):
        line = socket.socket(fileno=os.dup(connection.fileno()))
        with line:
            line.shutdown(socket.SHUT_RDWR)
