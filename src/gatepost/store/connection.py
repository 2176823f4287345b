"""One thread's connection to the database: made when needed, dropped after trouble.

In: work, a function of `Tx`. Out: its result, after COMMIT. Between transactions nothing is
held; a connection that broke is replaced at the next transaction, so a database that comes
back is found without a restart.

SQLite: WAL, synchronous=FULL, and for writing `BEGIN IMMEDIATE` under the file lock.
PostgreSQL: READ COMMITTED for writing; a reader sees one snapshot (REPEATABLE READ).

*Fails:* `StoreUnavailable`, `StoreBroken`; whatever the work raises, unchanged.
*Known limits:* when the connection breaks while COMMIT is under way, nobody can know
whether it took place; the answer is `StoreUnavailable`, and what was written may stand.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url

from gatepost.store.clock import Clock, elapsed
from gatepost.store.keys import StoreKeys
from gatepost.store.times import to_ms
from gatepost.store.transaction import Tx
from gatepost.store.trouble import Trouble, classify, exception_for

T = TypeVar("T")

PATIENCE_SECONDS = 10.0
_ATTEMPTS = 5
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA mmap_size=268435456",
    "PRAGMA cache_size=-16384",
    "PRAGMA wal_autocheckpoint=2000",
    "PRAGMA secure_delete=ON",  # Debian's default; what is erased must not linger in free pages
)


def sqlite_engine(path: Path, *, writes: bool) -> Engine:
    """The embedded database; `writes` says whether transactions take the write lock at once."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        hide_parameters=True,  # addresses do not belong into error messages
        connect_args={
            "timeout": PATIENCE_SECONDS,
            "check_same_thread": False,
            "cached_statements": 512,
        },
    )

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


def postgresql_engine(url: str, *, writes: bool) -> Engine:
    """A PostgreSQL server; `url` as libpq knows it (`postgresql://…`)."""
    milliseconds = int(PATIENCE_SECONDS * 1000)
    settings = {
        "lock_timeout": milliseconds,
        "synchronous_commit": "on",
        "random_page_cost": 1.1,  # look-ups by hash: never a scan of everybody
        "jit": "off",
    }
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        hide_parameters=True,  # addresses do not belong into error messages
        use_native_hstore=False,
        isolation_level="READ COMMITTED" if writes else "REPEATABLE READ",
        connect_args={
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": milliseconds,
            "application_name": "gatepost",
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
    )
    return engine if writes else engine.execution_options(postgresql_readonly=True)


class Link:
    """The connection of one thread. Not safe to share between threads."""

    def __init__(
        self,
        engine: Engine,
        *,
        keys: StoreKeys,
        clock: Clock,
        guard: AbstractContextManager[None] | None = None,
    ) -> None:
        self._engine = engine
        self._keys = keys
        self._clock = clock
        self._guard = guard or nullcontext()
        self._connection: Connection | None = None
        self._committing = False

    def run(self, work: Callable[[Tx], T]) -> T:
        """`work` in a transaction of its own, committed.

        A conflict between gateways, and a connection found dead, are tried again: `work`
        may run several times.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._run_once(work)
            except BaseException as error:
                trouble = classify(error)
                self._recover(trouble)
                if trouble is Trouble.NONE:
                    raise
                again = trouble is Trouble.CONFLICT and attempt < _ATTEMPTS
                again = again or (trouble is Trouble.LOST and attempt == 1 and not self._committing)
                if not again:
                    raise exception_for(trouble, error) from error
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
                connection.close()

    def _run_once(self, work: Callable[[Tx], T]) -> T:
        self._committing = False
        with self._guard:
            connection = self._connect()
            transaction = connection.begin()
            try:
                result = work(self._open_tx(connection))
                self._committing = True
                transaction.commit()
            except BaseException:
                with suppress(Exception):  # the first error is the one that counts
                    transaction.rollback()
                raise
            return result

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _open_tx(self, connection: Connection) -> Tx:
        dialect = connection.dialect.name
        # Binary results spare PostgreSQL and us the way through hexadecimal text.
        form = {"binary": True} if dialect == "postgresql" else {}
        cursor: Any = connection.connection.cursor(**form)
        if dialect == "postgresql" and self._clock.is_stale():
            asked_at = elapsed()
            cursor.execute("SELECT clock_timestamp()")
            self._clock.set(cursor.fetchone()[0], asked_at)
        now = self._clock.now()
        return Tx(connection, cursor, now, to_ms(now), self._keys, dialect)

    def _recover(self, trouble: Trouble) -> None:
        connection = self._connection
        unfinished = connection is not None and connection.in_transaction()
        if unfinished or trouble not in (Trouble.NONE, Trouble.CONFLICT):
            self.close()
