"""Trouble with the store: which errors are whose fault, and what may be tried again.

In: an exception from SQLAlchemy, sqlite3 or psycopg. Out: a `Trouble`.
One place decides, so that callers meet two exceptions only: `StoreUnavailable`, which an
SMTP client hears as `451 4.4.3` (`StoreFull`: `452 4.3.1`), and its subclass `StoreBroken`.
Whatever else an operation raises is the operation's own business and passes through unchanged.
"""

import sqlite3
from enum import Enum

import psycopg
from sqlalchemy.exc import DBAPIError


class StoreUnavailable(Exception):  # noqa: N818  a state of the store, not a mistake
    """The store is out of reach, locked for too long, or its disk is full: try later."""

    lasts = False  # whether somebody has to mend it


class StoreBusy(StoreUnavailable):
    """Another process has held the store for too long."""


class StoreFull(StoreUnavailable):
    """The store's disk is full."""


class StoreBroken(StoreUnavailable):
    """The store is damaged; trying later will not help."""

    lasts = True


class StoreDamaged(StoreBroken):
    """The embedded file itself is damaged, or another one by now: it is not used any more.

    Only a restart ends this, because only somebody else can mend it.
    """


class StoreTooNew(StoreUnavailable):
    """The store was written by a newer version of the program than this one."""


CURE = (
    "stop Gatepost and keep a copy of the files; `gatepost store status --check` says what is "
    "damaged, and the way back is a backup (docs/guides/upgrading.md)"
)


class Trouble(Enum):
    """What an exception means for the transaction it ended."""

    NONE = "none"  # not the store's trouble: the operation raised it
    CONFLICT = "conflict"  # two gateways in each other's way; the same again will do
    LOST = "lost"  # the connection is gone
    AWAY = "away"  # locked, refused: later
    FULL = "full"  # no room on its disk
    BROKEN = "broken"  # damaged


# https://www.sqlite.org/rescode.html, primary codes
_SQLITE_AWAY = frozenset({5, 6, 7, 8, 9, 10, 14, 15})  # BUSY … IOERR, CANTOPEN, PROTOCOL
_SQLITE_BROKEN = frozenset({11, 26})  # CORRUPT, NOTADB
_SQLITE_FULL = 13
# An extended code: the wal-index cannot grow, which takes room on the same disk.
_SQLITE_NO_ROOM = 10 | 19 << 8  # IOERR_SHMSIZE

# PostgreSQL, appendix A; looked up by the whole code first, then by its class
_POSTGRESQL = {
    "40001": Trouble.CONFLICT,
    "40P01": Trouble.CONFLICT,
    "57P01": Trouble.LOST,
    "57P02": Trouble.LOST,
    "57P05": Trouble.LOST,
    "25P03": Trouble.LOST,  # we stood still in a transaction, or were too long in it
    "25P04": Trouble.LOST,
    "25006": Trouble.LOST,  # we talk to a server that has become a standby
    "55P03": Trouble.AWAY,
    "XX001": Trouble.BROKEN,
    "XX002": Trouble.BROKEN,
    "08": Trouble.LOST,
    "53": Trouble.AWAY,  # too many connections, out of memory
    "53100": Trouble.FULL,
    "57": Trouble.AWAY,
    "58": Trouble.AWAY,
    "28": Trouble.AWAY,  # the password was changed under way
    "3D": Trouble.AWAY,
}


def classify(error: BaseException) -> Trouble:
    """What `error` means; total."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    match cause:
        case StoreBroken():
            return Trouble.BROKEN
        case StoreFull():
            return Trouble.FULL
        case StoreUnavailable():
            return Trouble.AWAY
        case sqlite3.Error():
            return _sqlite_trouble(cause)
        case psycopg.Error():
            return _postgresql_trouble(cause)
        case _:
            return Trouble.NONE


def _sqlite_trouble(error: sqlite3.Error) -> Trouble:
    whole: int = getattr(error, "sqlite_errorcode", 0)
    code = whole & 0xFF
    if code == _SQLITE_FULL or whole == _SQLITE_NO_ROOM:
        return Trouble.FULL
    if code in _SQLITE_BROKEN:
        return Trouble.BROKEN
    return Trouble.AWAY if code in _SQLITE_AWAY else Trouble.NONE


def _postgresql_trouble(error: psycopg.Error) -> Trouble:
    state = error.sqlstate or ""
    known = _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])
    if known:
        return known
    # Errors that the client library finds by itself carry no code: the line went dead, perhaps
    # in the middle of an answer.
    own = psycopg.OperationalError | psycopg.InterfaceError | psycopg.InternalError
    return Trouble.LOST if isinstance(error, own) and not state else Trouble.NONE


def exception_for(trouble: Trouble, error: BaseException) -> StoreUnavailable:
    """The exception that callers see for `error`; a new one at each call."""
    if isinstance(error, StoreUnavailable):
        return type(error)(*error.args)
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    text = " ".join(str(cause).split()) or type(cause).__name__
    match trouble:
        case Trouble.FULL:
            return StoreFull(f"the store's disk is full: {text}")
        case Trouble.BROKEN if isinstance(cause, sqlite3.Error):
            return StoreDamaged(f"the store is damaged: {text}; {CURE}")
        case Trouble.BROKEN:
            return StoreBroken(f"the store is damaged: {text}")
        case _:
            return StoreUnavailable(f"the store is out of reach: {text}")
