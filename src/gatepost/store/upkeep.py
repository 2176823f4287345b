"""What an administrator does to a store as a whole: look at it, check its file, take it back.

In: a URL ("" for the embedded SQLite file in `data_dir`). Out: what was found. Nothing here
upgrades the schema, so that a store of an older or a newer program can be looked at, too.

*Fails:* `StoreUnavailable`, `StoreBroken`, `StoreTooNew`, `CannotRollBack`.
*Known limits:* the check reads the whole file; PostgreSQL looks after its own
(`data_checksums`, `amcheck`), and is only asked whether it answers.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from gatepost.store import schema
from gatepost.store.address import without_secrets
from gatepost.store.connection import PATIENCE_SECONDS, postgresql_engine, sqlite_engine
from gatepost.store.lock import FileLock
from gatepost.store.trouble import (
    CURE,
    StoreDamaged,
    StoreUnavailable,
    Trouble,
    classify,
    exception_for,
)

DATABASE = "gatepost.db"
LOCK = "gatepost.lock"
_MAX_FINDINGS = 20
GLANCE_SECONDS = 2.0
_LOOK_SECONDS = 0.05
_INTERRUPTED = "interrupted"
_FORMAT, _WITHOUT_LOG = slice(18, 20), b"\x01\x01"  # in the header: how the file is written

Where = tuple[str, Path]  # URL and data_dir


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a store is: `schema` is its revision, `program` the newest one known here."""

    engine: str
    schema: str
    program: str
    reachable: str
    octets: int
    gateways: int


def where_is(url: str, data_dir: Path) -> str:
    """Where a store is, for eyes and logs."""
    return without_secrets(url) or str((data_dir / DATABASE).resolve())


@contextmanager
def _opened(url: str, data_dir: Path, *, writes: bool) -> Iterator[Engine]:
    """An engine on a store that exists; what goes wrong with it is put into our words."""
    path = data_dir / DATABASE
    if not url and not path.exists():
        raise StoreUnavailable(f"there is no store in {data_dir}: run gatepost init")
    if url:
        engine = postgresql_engine(url, writes=writes)
    else:
        check_log(path)
        engine = sqlite_engine(path, writes=True) if writes else _read_only(path)
    try:
        yield engine
    except Exception as error:
        trouble = classify(error)
        if trouble is Trouble.NONE:
            raise
        raise exception_for(trouble, error) from error
    finally:
        engine.dispose()


def _read_only(path: Path) -> Engine:
    """The embedded file for looking at: it does not even write its log back at the end."""
    where = f"file:{quote(str(path.resolve()))}?mode=ro"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(where, uri=True, timeout=PATIENCE_SECONDS, check_same_thread=False)

    return create_engine("sqlite://", creator=connect, poolclass=NullPool)


def look(url: str, data_dir: Path) -> Condition:
    """What is there. Changes nothing."""
    with _opened(url, data_dir, writes=False) as engine:
        found = schema.revision(engine)
        with engine.connect() as connection:
            if url:
                octets = connection.execute(
                    text("SELECT pg_database_size(current_database())")
                ).scalar_one()
            else:
                octets = (data_dir / DATABASE).stat().st_size
        return Condition(
            engine=engine.dialect.name,
            schema=found,
            program=schema.revisions()[-1],
            reachable=schema.oldest_reachable(),
            octets=int(octets),
            gateways=_others(engine),
        )


def revision_of(url: str, data_dir: Path) -> str:
    """The schema that is there; "" where there is none yet. Changes nothing."""
    if not url and not _is_there(data_dir):
        return ""
    with _opened(url, data_dir, writes=False) as engine:
        return schema.revision(engine)


def check_file(url: str, data_dir: Path) -> list[str]:
    """What is wrong with the embedded file, at most 20 lines; [] for nothing, and on PostgreSQL."""
    if url:
        return []
    with _opened(url, data_dir, writes=False) as engine, engine.connect() as connection:
        rows = connection.execute(text(f"PRAGMA integrity_check({_MAX_FINDINGS})")).scalars()
        return [row for row in rows if row != "ok"]


def check_log(path: Path) -> None:
    """Raises `StoreDamaged` where beside the embedded file `path` lies the log of another.

    A backup made by VACUUM INTO was put in place, and not its log taken away: SQLite would write
    that one's pages into it.
    """
    log = path.with_name(path.name + "-wal")
    if not log.exists() or not log.stat().st_size or not path.exists():
        return
    with path.open("rb") as file:
        head = file.read(_FORMAT.stop)
    if head[_FORMAT] == _WITHOUT_LOG:
        raise StoreDamaged(
            f"{log} is the log of another database than {path}, which has been put in its place: "
            f"remove {log} and {path.name}-shm, and start again"
        )


def look_over(url: str, data_dir: Path, seconds: float = GLANCE_SECONDS) -> bool:
    """Looks an embedded file over, for so long at most; whether all of it was seen.

    True where there is nothing to look at. Raises `StoreDamaged`.
    """
    if url or not _is_there(data_dir):
        return True
    with _opened(url, data_dir, writes=False) as engine:
        return _glance(engine, seconds)


def _is_there(data_dir: Path) -> bool:
    path = data_dir / DATABASE
    return path.exists() and path.stat().st_size > 0


def _glance(engine: Engine, seconds: float) -> bool:
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        enough = threading.Timer(seconds, driver.interrupt)
        enough.start()
        try:
            rows = connection.execute(text("PRAGMA quick_check(1)")).scalars().all()
        except DBAPIError as error:
            if getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
                return False
            raise
        finally:
            enough.cancel()
    found = [row for row in rows if row != "ok"]
    if any(_INTERRUPTED in row for row in found):
        return False
    if found:
        raise StoreDamaged(f"the store is damaged: {' '.join(found[0].split())}; {CURE}")
    return True


def roll_back(url: str, data_dir: Path, to: str, *, dry_run: bool = False) -> Mapping[str, int]:
    """Takes the schema back; how many rows went, by table. No gateway may run meanwhile."""
    with _opened(url, data_dir, writes=True) as engine:
        if others := _others_that_stay(engine):
            raise StoreUnavailable(
                f"{others} connections of Gatepost are open on this database: stop every gateway"
            )
        lock = None if url else FileLock(data_dir / LOCK, patience=PATIENCE_SECONDS)
        try:
            with lock or nullcontext():
                return schema.roll_back(engine, to, dry_run=dry_run)
        finally:
            if lock:
                lock.close()


def _others_that_stay(engine: Engine) -> int:
    """The same after a while: a server is told that a line has ended, and needs a moment."""
    deadline = time.monotonic() + GLANCE_SECONDS
    while (others := _others(engine)) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return others


def _others(engine: Engine) -> int:
    """How many other connections of Gatepost a PostgreSQL has; 0 on SQLite."""
    if engine.dialect.name != "postgresql":
        return 0
    with engine.connect() as connection:
        found: int = connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'gatepost' AND pid <> pg_backend_pid()"
            )
        ).scalar_one()
        return found
