"""One thread's connection to the database: made when needed, dropped after trouble.

In: work, a function of `Tx`. Out: its result, after COMMIT. Between transactions nothing is
held; a connection that broke is replaced at the next transaction, so a database that comes
back is found without a restart.

SQLite: WAL, synchronous=FULL, and for writing `BEGIN IMMEDIATE` under the file lock.
PostgreSQL: READ COMMITTED for writing; a reader sees one snapshot (REPEATABLE READ).

What the store does is told to its `Health`, which says how long to wait for it: in trouble no
longer than a second, and then each transaction begins with a write of its own, because one that
changes nothing succeeds on a full disk, too.

*Fails:* `StoreUnavailable`, `StoreBroken`; whatever the work raises, unchanged.
*Known limits:* when the connection breaks while COMMIT is under way, nobody can know
whether it took place; the answer is `StoreUnavailable`, and what was written may stand: a
submission that its client sends again, a claim that nobody holds until its lease is over.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    Transaction,
    create_engine,
    event,
)

from gatepost.store.clock import Clock, elapsed
from gatepost.store.health import IMPATIENT_SECONDS, PATIENCE_SECONDS, Damage, Health
from gatepost.store.identity import Identity
from gatepost.store.keys import StoreKeys
from gatepost.store.lock import FileLock
from gatepost.store.postgresql import CONNECT_SECONDS, HURRIED_CONNECT_SECONDS, connect
from gatepost.store.times import to_ms
from gatepost.store.transaction import Tx
from gatepost.store.trouble import (
    StoreBusy,
    StoreDamaged,
    StoreUnavailable,
    Trouble,
    classify,
    exception_for,
)
from gatepost.store.wire import attach, cursor_of

__all__ = ["PATIENCE_SECONDS", "Link", "postgresql_engine", "prove", "sqlite_engine"]

T = TypeVar("T")

_ATTEMPTS = 5
_STEP_ASIDE_SECONDS = 0.02
# Who stands still for so long in the middle of writing, frozen or on a machine that lost power, is
# given up by PostgreSQL: else what it has locked would be nobody's for hours.
STANDSTILL_SECONDS = 30.0
_FROM_OURSELVES = (StoreBusy, StoreDamaged)  # raised here, not by an operation
_PROOF = "UPDATE meta SET value = value WHERE name = 'suppression.key'"  # a write that is none
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA mmap_size=33554432",  # of each connection; what is mapped counts as memory of ours
    "PRAGMA cache_size=-16384",
    "PRAGMA wal_autocheckpoint=2000",
    "PRAGMA secure_delete=ON",  # Debian's default; what is erased must not linger in free pages
)


Patience = Callable[[], float]


def _as_usual() -> float:
    return PATIENCE_SECONDS


def sqlite_engine(path: Path, *, writes: bool, patience: Patience = _as_usual) -> Engine:
    """The embedded database; `writes` says whether transactions take the write lock at once."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        hide_parameters=True,  # addresses do not belong into error messages
        connect_args={
            "check_same_thread": False,
            "cached_statements": 512,
        },
    )

    @event.listens_for(engine, "do_connect")
    def be_patient(_dialect: object, _record: object, _given: object, named: Any) -> None:
        named["timeout"] = patience()

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        if not writes:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:  # past SQLAlchemy: it would cost more than BEGIN
        connection.connection.cursor().execute("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def postgresql_engine(url: str, *, writes: bool, patience: Patience = _as_usual) -> Engine:
    """A PostgreSQL server; `url` as libpq knows it (`postgresql://…`)."""
    settings = {
        "lock_timeout": int(PATIENCE_SECONDS * 1000),
        "synchronous_commit": "on",
        "random_page_cost": 1.1,  # look-ups by hash: never a scan of everybody
        "jit": "off",
    }
    if writes:  # a reader locks nothing, and may have to wait for whoever reads its output
        settings["idle_in_transaction_session_timeout"] = int(STANDSTILL_SECONDS * 1000)
    engine = create_engine(
        "postgresql+psycopg://",
        poolclass=NullPool,
        hide_parameters=True,  # addresses do not belong into error messages
        use_native_hstore=False,
        isolation_level="READ COMMITTED" if writes else "REPEATABLE READ",
    )

    @event.listens_for(engine, "do_connect")
    def be_patient(_dialect: object, _record: object, _given: object, named: Any) -> Any:
        hurry = patience() < PATIENCE_SECONDS
        return connect(
            url,
            settings,
            seconds=HURRIED_CONNECT_SECONDS if hurry else CONNECT_SECONDS,
            prepare_threshold=None,  # and so nothing deallocated: the wire prepares
            **named,
        )

    attach(engine)
    return engine if writes else engine.execution_options(postgresql_readonly=True)


def prove(tx: Tx) -> None:
    """Finds out whether the database would take a write, at little cost while it would.

    On SQLite the transaction alone says so, but for a full disk.
    """
    if tx.dialect == "postgresql":
        (read_only,) = tx.cursor.execute(
            "SELECT current_setting('transaction_read_only')::bool"
        ).fetchone()
        if read_only:
            tx.cursor.execute(_PROOF)


class Link:
    """The connection of one thread. Not safe to share between threads.

    `guard` is held around each transaction; `identity` is checked after each COMMIT, before
    each connection, and after whatever failed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        keys: StoreKeys,
        clock: Clock,
        health: Health | None = None,
        writes: bool = False,
        guard: FileLock | None = None,
        identity: Identity | None = None,
    ) -> None:
        self._engine = engine
        self._keys = keys
        self._clock = clock
        self._health = health or Health(Damage())
        self._writes = writes
        self._guard = guard
        self._identity = identity
        self._connection: Connection | None = None
        self._in_doubt = False  # whether what was lost may have been committed
        self._busy_timeout = 0.0
        self.waiting: tuple[float, Any] | None = None  # for the watchdog

    @property
    def in_trouble(self) -> bool:
        """Whether the store does not do what it is asked."""
        return self._health.trouble is not None

    def run(self, work: Callable[[Tx], T]) -> T:
        """`work` in a transaction of its own, committed.

        A conflict between gateways, and a connection found dead, are tried again: `work`
        may run several times.
        """
        self._health.check()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                result = self._run_once(work)
            except BaseException as error:
                trouble = classify(error)
                self._recover(trouble)
                if trouble is Trouble.NONE:
                    raise
                again = trouble is Trouble.CONFLICT and attempt < _ATTEMPTS
                again = again or (trouble is Trouble.LOST and attempt == 1 and not self._in_doubt)
                if not again:
                    raise self._failure(trouble, error) from error
                if trouble is Trouble.CONFLICT:  # who is at once here again is in the way again
                    time.sleep(attempt * _STEP_ASIDE_SECONDS)
            else:
                self._health.worked()
                return result
        raise AssertionError("the last attempt returns or raises")

    def keep_clock(self) -> None:
        """Measures the server's time again when the last measurement is old."""
        if self._engine.dialect.name == "postgresql" and self._clock.is_stale():
            self.run(lambda _tx: None)

    def close(self) -> None:
        """Gives the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # a dead connection has nothing to say at its end
                if _is_dead(connection):
                    connection.invalidate()
                connection.close()

    def _run_once(self, work: Callable[[Tx], T]) -> T:
        self._in_doubt = False
        patience = self._health.patience
        if self._guard is None:
            return self._transact(work, patience)
        began = time.monotonic()
        self._guard.acquire(patience)
        waited = time.monotonic() - began
        if waited > 0.1:  # one patience for both waits
            patience = max(IMPATIENT_SECONDS, patience - waited)
        try:
            return self._transact(work, patience)
        finally:
            self._guard.release()

    def _transact(self, work: Callable[[Tx], T], patience: float) -> T:
        connection = self._connect(patience)
        self.waiting = (time.monotonic(), connection.connection.driver_connection)
        try:
            transaction = connection.begin()
            try:
                tx = self._open_tx(connection)
                if self._writes and self.in_trouble:
                    tx.cursor.execute(_PROOF)
                result = work(tx)
                self._commit(transaction, tx)
            except BaseException:
                with suppress(Exception):  # the first error is the one that counts
                    transaction.rollback()
                if self._identity is not None:  # unless it is about another file
                    self._identity.check_file()
                raise
        finally:
            self.waiting = None
        if self._identity is not None and self._writes:
            self._identity.check()
        return result

    def _commit(self, transaction: Transaction, tx: Tx) -> None:
        if tx.dialect == "sqlite":
            transaction.commit()
            return
        try:
            transaction.commit()
        finally:
            self._in_doubt = tx.cursor.in_doubt

    def _connect(self, patience: float) -> Connection:
        if self._connection is None:
            if self._identity is not None:
                self._identity.check_file()
            self._connection = self._engine.connect()
            self._busy_timeout = 0.0
            if self._identity is not None and self._writes:
                self._identity.forget_log()
        if self._engine.dialect.name == "sqlite" and self._busy_timeout != patience:
            cursor = self._connection.connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={int(patience * 1000)}")
            self._busy_timeout = patience
        return self._connection

    def _open_tx(self, connection: Connection) -> Tx:
        dialect = connection.dialect.name
        if self._identity is not None and self._writes:
            self._identity.note_log()
        cursor = cursor_of(connection)
        if dialect == "postgresql" and self._clock.is_stale():
            asked_at = elapsed()
            (measured,) = cursor.execute("SELECT clock_timestamp()").fetchone()
            self._clock.set(measured, asked_at)
        now = self._clock.now()
        return Tx(connection, cursor, now, to_ms(now), self._keys, dialect)

    def _failure(self, trouble: Trouble, error: BaseException) -> StoreUnavailable:
        """What callers see; the store's own trouble is told to its `Health`, too."""
        failure = exception_for(trouble, error)
        ours = not isinstance(error, StoreUnavailable) or isinstance(error, _FROM_OURSELVES)
        if ours and trouble is not Trouble.CONFLICT:
            self._health.failed(failure)
        return failure

    def _recover(self, trouble: Trouble) -> None:
        connection = self._connection
        unfinished = connection is not None and connection.in_transaction()
        if connection is not None and trouble is Trouble.LOST:
            with suppress(Exception):  # whatever the driver thinks of it
                connection.invalidate()
        if unfinished or trouble not in (Trouble.NONE, Trouble.CONFLICT):
            self.close()


def _is_dead(connection: Connection) -> bool:
    """Whether the driver has given it up; the pool would try to roll back, and complain."""
    if connection.invalidated or connection.dialect.name == "sqlite":
        return False
    driver: Any = connection.connection.driver_connection
    return bool(driver.closed)
