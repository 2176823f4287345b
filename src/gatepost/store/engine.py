"""Opens the store and runs operations on it.

In: a URL ("" for the embedded SQLite file in `data_dir`) and operations, functions of `Tx`.
Out: their results, after COMMIT. Writing has one thread per process and is committed in
groups (`writer`); reading has two threads, each operation with a snapshot of its own. What may
read for long has a thread of its own, or two such would keep everybody else from reading: mail, and
those who look for fresh withdrawals.

*Fails:* `StoreUnavailable` (out of reach, locked too long, disk full), `StoreBroken`
(damaged), `StoreTooNew`, `KeysError`. After trouble has passed everything works again
without a restart.
*Known limits:* a store does not survive `fork`; open one per process.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Engine, select, update

from gatepost.store import belonging, schema
from gatepost.store.adoption import adopt
from gatepost.store.belonging import Expectation
from gatepost.store.clock import Clock
from gatepost.store.connection import (
    PATIENCE_SECONDS,
    Link,
    postgresql_engine,
    prove,
    sqlite_engine,
)
from gatepost.store.health import Damage, Health
from gatepost.store.identity import Identity
from gatepost.store.instance import check_alone
from gatepost.store.keys import LINKS, KeysError, StoreKeys
from gatepost.store.keys import load as load_keys
from gatepost.store.lock import FileLock
from gatepost.store.private import make_private_folder, open_own
from gatepost.store.remarks import note_first
from gatepost.store.tables.ledger import meta
from gatepost.store.transaction import BatchOp, Tx
from gatepost.store.trouble import (
    StoreBroken,
    StoreDamaged,
    StoreFull,
    StoreTooNew,
    StoreUnavailable,
    Trouble,
    classify,
    exception_for,
)
from gatepost.store.upkeep import DATABASE, LOCK, check_log, look_over, where_is
from gatepost.store.watchdog import Watchdog
from gatepost.store.writer import Desk, Job, read, write

__all__ = [
    "BatchOp",
    "KeysError",
    "Store",
    "StoreBroken",
    "StoreDamaged",
    "StoreFull",
    "StoreKeys",
    "StoreTooNew",
    "StoreUnavailable",
    "Tx",
]

J = TypeVar("J")
R = TypeVar("R")
T = TypeVar("T")

_READERS = 2
_NEWEST_LINKS = "links.key"  # the fingerprint of the key that links were last made with
_TURNS_TO_EMPTY = 10  # until readers are out of the log


class Store:
    """An open store. Its methods may be called from any thread and any event loop."""

    keys: StoreKeys

    def __init__(
        self,
        keys: StoreKeys,
        engines: Sequence[Engine],
        healths: Sequence[Health],
        lock: FileLock | None = None,
        identity: Identity | None = None,
    ) -> None:
        """`engines` and `healths` are those for writing and for reading."""
        self.keys = keys
        self._clock = Clock()
        self._engine = engines[0]
        self._healths = healths
        self._lock = lock
        writing = Link(
            engines[0], keys=keys, clock=self._clock, health=healths[0], writes=True, guard=lock,
            identity=identity,
        )  # fmt: skip
        reading = [
            Link(engines[1], keys=keys, clock=self._clock, health=healths[1], identity=identity)
            for _ in range(_READERS + 1)
        ]
        self._writer = Desk(write, [writing])
        self._readers, self._surveyor = Desk(read, reading[1:]), Desk(read, reading[:1])
        self._watchdog = None if lock else Watchdog([writing, *reading], engines[1].raw_connection)

    @classmethod
    def open(cls, url: str, data_dir: Path, *, create: bool = True, alone: bool = False) -> Self:
        """Opens the store, and makes what it lacks: folder 0700, keys 0600, schema.

        `url` is "" or `postgresql://…`. Without `create`, a store that is not there yet is
        `StoreUnavailable`. `alone` is for gateways, which hold data_dir: the embedded file is
        looked over first, and upgraded although a gateway is there; and it must be the store that
        was worked with last. Raises `ValueError` for a URL of another kind.
        """
        if url and not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("the store's url is empty or begins with postgresql://")
        url = url.replace("postgres://", "postgresql://", 1)
        try:
            return cls._open(url, data_dir, create=create, alone=alone)
        except StoreUnavailable:
            raise
        except OSError as error:
            raise StoreUnavailable(f"{error.filename or data_dir}: {error.strerror}") from error
        except Exception as error:
            trouble = classify(error)
            if trouble is Trouble.NONE:
                raise
            raise exception_for(trouble, error) from error

    @classmethod
    def _open(cls, url: str, data_dir: Path, *, create: bool, alone: bool) -> Self:
        path = data_dir / DATABASE
        if create:
            make_private_folder(data_dir)
        elif not data_dir.is_dir() or not (url or path.exists()):
            raise StoreUnavailable(f"there is no store in {data_dir}: run gatepost init")
        expected = _look_first(url, data_dir, alone=alone)
        keys = load_keys(data_dir / "keys", create=create)
        healths = [Health(damage := Damage()), Health(damage)]
        lock = None if url else FileLock(data_dir / LOCK, patience=PATIENCE_SECONDS)
        identity = None
        try:
            if url:
                engines = [_postgresql(url, healths[0], True), _postgresql(url, healths[1], False)]
            else:
                os.close(open_own(path, os.O_RDWR))
                engines = [_sqlite(path, healths[0], True), _sqlite(path, healths[1], False)]
                identity = Identity(path)
            before = partial(_before, expected, None if url or alone else data_dir)
            guard: AbstractContextManager[None] = lock or nullcontext()
            with guard:
                schema.migrate(engines[0], partial(adopt, keys=keys), before=before)
        except BaseException:
            if lock:
                lock.close()
            raise
        store = cls(keys, engines, healths, lock, identity)
        try:
            store.write_now(partial(_check_keys, serves=alone))
            # A command knows no mark, and may be the first to see a store that was restored.
            if alone or expected.is_begun:
                expected.settle(store.write_now(partial(belonging.identify, mark=expected.mark)))
        except BaseException:
            store.close()
            raise
        return store

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes it."""
        self.close()

    def close(self) -> None:
        """Finishes what is queued, ends the threads, gives connections back."""
        self._writer.close()
        self._readers.close()
        self._surveyor.close()
        if self._watchdog:
            self._watchdog.close()
        if self._lock:
            self._lock.close()
            self._lock = None

    def empty_log(self) -> bool:
        """Writes SQLite's log back into the file and empties it; false if readers held it.

        Until then the log still holds the bytes of what was erased. Nothing to do on PostgreSQL,
        where VACUUM sees to it. Raises `StoreUnavailable`.
        """
        if self._engine.dialect.name != "sqlite":
            return True
        try:
            with closing(self._engine.raw_connection()) as connection:
                cursor = connection.cursor()
                cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")  # most of it, beside the writers
                cursor.execute("PRAGMA busy_timeout=50")  # who waits here keeps writers waiting
                for _ in range(_TURNS_TO_EMPTY):
                    (busy, _, _) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                    if not busy:
                        break
                    time.sleep(0.05)
        except Exception as error:
            trouble = classify(error)
            if trouble is Trouble.NONE:
                raise
            raise exception_for(trouble, error) from error
        return not busy

    def now(self) -> datetime:
        """The store's time, in UTC: on PostgreSQL the server's."""
        return self._clock.now()

    @property
    def is_embedded(self) -> bool:
        """Whether it is the SQLite file, whose pages this machine reads."""
        return self._engine.dialect.name == "sqlite"

    @property
    def trouble(self) -> StoreUnavailable | None:
        """Why the store does not do what it is asked; `None` while it does."""
        return self._healths[0].trouble or self._healths[1].trouble

    @property
    def failures(self) -> int:
        """How many transactions the store could not do, for whatever reason of its own."""
        return sum(health.failures for health in self._healths)

    async def beat(self) -> None:
        """Finds out whether the store takes writes. Raises `StoreUnavailable`."""
        await self.write(prove)

    async def write(self, op: Callable[[Tx], T]) -> T:
        """Runs `op` in the writer thread and returns after COMMIT.

        `op` may run more than once and may share its transaction with others.
        """
        answer: T = await self._ask(self._writer, Job(op))
        return answer

    async def batch(self, op: BatchOp[J, R], job: J) -> R:
        """Has `op` do `job`, together with the jobs that wait for it, and returns after COMMIT."""
        answer: R = await self._ask(self._writer, Job(op, job))
        return answer

    async def read(self, op: Callable[[Tx], T]) -> T:
        """Runs `op` in a reader thread, on one snapshot; it cannot write."""
        answer: T = await self._ask(self._readers, Job(op))
        return answer

    async def survey(self, op: Callable[[Tx], T]) -> T:
        """As `read`, for what may take longer than a moment: one after the other."""
        answer: T = await self._ask(self._surveyor, Job(op))
        return answer

    def write_now(self, op: Callable[[Tx], T]) -> T:
        """As `write`, blocking: for commands."""
        answer: T = self._ask_now(self._writer, Job(op))
        return answer

    def batch_now(self, op: BatchOp[J, R], job: J) -> R:
        """As `batch`, blocking."""
        answer: R = self._ask_now(self._writer, Job(op, job))
        return answer

    def read_now(self, op: Callable[[Tx], T]) -> T:
        """As `read`, blocking."""
        answer: T = self._ask_now(self._readers, Job(op))
        return answer

    def survey_now(self, op: Callable[[Tx], T]) -> T:
        """As `survey`, blocking."""
        answer: T = self._ask_now(self._surveyor, Job(op))
        return answer

    @staticmethod
    async def _ask(desk: Desk, job: Job) -> Any:
        future = job.for_loop()
        desk.put(job)
        return await future

    @staticmethod
    def _ask_now(desk: Desk, job: Job) -> Any:
        future = job.for_thread()
        desk.put(job)
        return future.result()


def _look_first(url: str, data_dir: Path, *, alone: bool) -> Expectation:
    """Looks at what is there before anything is made or opened for writing."""
    path = data_dir / DATABASE
    expected = Expectation(data_dir / "keys", where_is(url, data_dir), known=alone)
    if not url:
        check_log(path)
        if not path.exists():
            expected.refuse_empty()
    if alone:
        look_over(url, data_dir)
    return expected


def _before(expected: Expectation, data_dir: Path | None, schema: str) -> None:
    """Whether an empty database may become a store, and an older store be upgraded."""
    if not schema:
        expected.refuse_empty()
    elif data_dir:
        check_alone(data_dir, schema)


def _sqlite(path: Path, health: Health, writes: bool) -> Engine:
    return sqlite_engine(path, writes=writes, patience=lambda: health.patience)


def _postgresql(url: str, health: Health, writes: bool) -> Engine:
    return postgresql_engine(url, writes=writes, patience=lambda: health.patience)


def _check_keys(tx: Tx, *, serves: bool) -> None:
    """Makes sure that the keys are those the store was made with.

    With a foreign suppression key nobody would be recognised, and all who left would be
    strangers. With a ring that lacks a key nobody could leave by the links it made; that is asked
    of who `serves`, for commands may run where a new key has not been copied to yet.
    """
    ours = tx.keys.fingerprints()
    links = tx.keys.link_fingerprints()
    note_first(tx, {**ours, _NEWEST_LINKS: links[0]})
    found = dict(tx.connection.execute(select(meta.c.name, meta.c.value)).all())
    cure = "restore it from the backup, or copy it from another gateway on the same store"
    for name, fingerprint in ours.items():
        if found[name] != fingerprint:
            raise KeysError(f"{name} is not the key this store was made with: {cure}")
    if found[_NEWEST_LINKS] not in links:
        if not serves:
            return
        raise KeysError(f"{LINKS} lacks the key that the newest links were made with: {cure}")
    if found[_NEWEST_LINKS] != links[0]:
        newest = update(meta).where(meta.c.name == _NEWEST_LINKS)
        tx.connection.execute(newest.values(value=links[0]))
