"""The bell: PostgreSQL tells other gateways at COMMIT that there is something to look at.

Whoever records that mail waits, or that somebody must not be mailed any more, rings in the
same transaction (NOTIFY); a `Bell` has a connection of its own and listens. It only wakes who
would look anyway a moment later, so a ring that is lost delays and loses nothing, and nobody
waits for the bell. After a connection was lost, it rings once: who knows what was missed.

In: a `Tx`, and what there is to look at. Out: calls from a thread. On SQLite all is silent:
its processes look at the file.
*Known limits:* a process rings at most four times a second for each thing, because PostgreSQL
takes one lock for all COMMITs that ring.
"""

import math
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from sqlalchemy import Engine

from gatepost.store.postgresql import connect
from gatepost.store.transaction import Tx
from gatepost.store.trouble import StoreUnavailable

PAUSE_SECONDS = 0.25
_CHANNEL = "gatepost"
_PATIENCE_SECONDS = 0.5  # until a closed bell notices
_AGAIN_SECONDS = (1.0, 2.0, 5.0, 15.0)  # between tries to connect

_rung: WeakKeyDictionary[Engine, dict["Ring", float]] = WeakKeyDictionary()


class Ring(StrEnum):
    """What there is to look at."""

    MAIL = "mail"  # something is ready to be sent
    ENDINGS = "endings"  # somebody withdrew; a campaign was stopped or a sender frozen


def ring(tx: Tx, what: Ring) -> None:
    """Rings when this transaction is committed; on PostgreSQL, and not too often."""
    if tx.dialect != "postgresql":
        return
    last = _rung.setdefault(tx.connection.engine, {})
    if time.monotonic() - last.get(what, -math.inf) >= PAUSE_SECONDS:
        last[what] = time.monotonic()
        tx.cursor.later("SELECT pg_notify(%s, %s)", (_CHANNEL, what.value))


class Bell:
    """Listens in a thread of its own; `heard` is called there for each ring."""

    def __init__(self, url: str, heard: Callable[[Ring], None]) -> None:
        self._url = url
        self._heard = heard
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="bell", daemon=True)

    def start(self) -> None:
        """Begins; a server that is away is tried again and again."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread; one that a server keeps waiting is left to the end of the process."""
        self._closed.set()
        self._thread.join(2 * _PATIENCE_SECONDS)

    def _listen(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                with self._connected() as connection:
                    failures = 0
                    self._pass_on(connection)
            except (psycopg.Error, StoreUnavailable):
                pause = _AGAIN_SECONDS[min(failures, len(_AGAIN_SECONDS) - 1)]
                failures += 1
                self._closed.wait(pause)

    def _connected(self) -> psycopg.Connection[Any]:
        return connect(self._url, {}, autocommit=True)

    def _pass_on(self, connection: psycopg.Connection) -> None:
        connection.execute(f"LISTEN {_CHANNEL}")
        for what in Ring:
            self._heard(what)
        while not self._closed.is_set():
            for notice in connection.notifies(timeout=_PATIENCE_SECONDS):
                if notice.payload in set(Ring):
                    self._heard(Ring(notice.payload))
                if self._closed.is_set():
                    break
