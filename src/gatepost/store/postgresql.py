"""Connections to PostgreSQL: for the store's threads, the bell, the watchdog.

In: the URL of `[store]`, which libpq reads: several hosts, TLS with all its parameters, a service.
Out: the driver's connections.

A server may send more in one TLS record than libpq takes at once. The rest then lies decrypted
inside OpenSSL, where poll does not see it, and whoever waits for the socket waits for ever; only
the newest libpq looks there by itself. So nobody here waits for the socket alone: each wait ends
now and then, and looks (`wire` does the same).

*Fails:* as the driver does, with a cure (`refused`); `ValueError` for a URL that cannot be read;
`StoreUnavailable` for a server or a library that is too old.
*Known limits:* a driver before psycopg 3.3 does not say that a wait has ended without news.
"""

import math
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.waiting import Ready

from gatepost.store.address import parameters
from gatepost.store.health import PATIENCE_SECONDS
from gatepost.store.refused import with_cure
from gatepost.store.trouble import StoreUnavailable

OLDEST_SERVER = 13
OLDEST_LIBRARY = 14  # the first that sends statements together
CONNECT_SECONDS, HURRIED_CONNECT_SECONDS = 4, 2  # 2 is the least that libpq knows

_LINE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": int(PATIENCE_SECONDS * 1000),
    "application_name": "gatepost",
}

T = TypeVar("T")


class Attentive(psycopg.Connection[Any]):
    """The driver's connection, which looks for what has come when the socket says nothing."""

    deadline = math.inf  # of `time.monotonic`, for whatever it waits for

    def wait(self, gen: Generator[Any, Any, T], *given: Any, **named: Any) -> T:
        """As the driver does; what ends without news from the socket counts as news."""
        return super().wait(self._looking(gen), *given, **named)

    def _looking(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > self.deadline:
                    raise psycopg.errors.ConnectionTimeout("the server has fallen silent")
                wanted = gen.send(ready or Ready.R)
        except StopIteration as end:
            answer: T = end.value
            return answer


def connect(
    url: str, settings: Mapping[str, object], *, seconds: int = CONNECT_SECONDS, **more: Any
) -> psycopg.Connection[Any]:
    """A new connection to a server that will do; within so many seconds for each host.

    `settings` are made by a statement: a pooler may refuse them at the start, or lose them.
    """
    given: dict[str, Any] = parameters(url) | _LINE | {"connect_timeout": seconds} | more
    check_library(pq.version())
    try:
        connection = Attentive.connect("", **given | {"autocommit": True})
    except psycopg.OperationalError as error:
        raise type(error)(with_cure(str(error))) from error
    try:
        check_server(connection.info.server_version, connection.info.parameter_status)
        connection.deadline = time.monotonic() + seconds
        if settings:
            sets = "; ".join(f"SET {name} = '{value}'" for name, value in settings.items())
            connection.execute(sets.encode())
        connection.deadline = math.inf
        connection.autocommit = bool(more.get("autocommit"))
    except BaseException:
        connection.close()
        raise
    return connection


def check_library(version: int) -> None:
    """Raises `StoreUnavailable` for a libpq that is too old; `version` as libpq says it."""
    if version // 10_000 < OLDEST_LIBRARY:
        raise StoreUnavailable(
            f"libpq {version // 10_000} is too old, Gatepost needs {OLDEST_LIBRARY} or newer: "
            "install psycopg[binary], which brings its own"
        )


def check_server(version: int, says: Callable[[str], str | None]) -> None:
    """Raises `StoreUnavailable` for a server that will not do. `says` tells its parameters."""
    if version // 10_000 < OLDEST_SERVER:
        raise StoreUnavailable(
            f"PostgreSQL {says('server_version')} is too old: Gatepost needs "
            f"{OLDEST_SERVER} or newer"
        )
    if (encoding := says("server_encoding") or "UTF8") != "UTF8":
        raise StoreUnavailable(
            f"the database has the encoding {encoding}, and addresses need UTF8: make it anew, "
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
