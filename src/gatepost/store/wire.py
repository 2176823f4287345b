"""What PostgreSQL is told for hot statements, in as few turns as can be.

The driver sends one statement and waits for its answer, and spends more on each than the server
does. Here statements are prepared once per connection and go to libpq as they are; those whose
result nobody has asked for yet wait, and travel together with the next one: BEGIN with the first
look-ups, the last INSERTs with COMMIT. The server does them in the order they were given in.

In: SQL text with `%s`, and values: integers, booleans, texts, bytes, None, and arrays as
`arrays.array` makes them. Out: `Answer`s, with rows as the driver reads them.
*Fails:* as the driver does, but where a statement's answer is waited for: `later` itself never
fails. Whatever stands behind a failed statement is not done, COMMIT included.
*Known limits:* only for the thread whose connection it is, and for a driver that SQLAlchemy
manages: `attach` sees to it that what waits goes before what SQLAlchemy sends.
"""

import re
import select
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Self

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from sqlalchemy import Connection, Engine, event

from gatepost.store.arrays import Writers, binary

_KEPT = "gatepost.wire"  # where SQLAlchemy's connection has its wire
_TEXT, _BINARY = pq.Format.TEXT, pq.Format.BINARY
_PLACE = re.compile(r"%[s%]")
_LOOK_MS = 200  # what lies inside OpenSSL (see `postgresql`) is looked for so often
_TAKES = 3  # a rest, and a record in two parts

Row = tuple[Any, ...]
_Sent = tuple[Any, int]  # octets, or None; and their format


class Answer:
    """What comes of one statement; read as a cursor of the driver is, or by calling it."""

    __slots__ = ("_result", "_wire", "sql", "values")

    def __init__(self, wire: "Wire", sql: str, values: Sequence[Any]) -> None:
        self.sql = sql
        self.values = values
        self._wire = wire
        self._result: Any = None

    def __call__(self) -> list[Row]:
        """All rows."""
        return self.fetchall()

    def fetchall(self) -> list[Row]:
        """All rows."""
        result = self._arrived()
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise psycopg.ProgrammingError("a statement that has no rows, or was not done")
        return self._wire.read(result)

    def fetchone(self) -> Row | None:
        """The first row."""
        rows = self.fetchall()
        return rows[0] if rows else None

    @property
    def rowcount(self) -> int:
        """How many rows it found or changed."""
        return self._arrived().command_tuples or 0

    @property
    def was_refused(self) -> bool:
        """Whether the server itself, and not the client's library, has said that it failed."""
        result = self._result
        return result is not None and result.error_field(pq.DiagnosticField.SQLSTATE) is not None

    @property
    def has_committed(self) -> bool:
        """Whether this was COMMIT, and the server did that: a failed transaction it rolls back."""
        return bool(self._arrived().command_status == b"COMMIT")

    def arrive(self, result: Any) -> None:
        """Takes what the server said: first, where it says several things."""
        if self._result is None:
            self._result = result

    def _arrived(self) -> Any:
        if self._result is None:
            self._wire.send()
        if self._result is None:
            raise psycopg.ProgrammingError("a statement that was given up")
        return self._result


class Wire:
    """One connection's way to the server."""

    def __init__(self, driver: psycopg.Connection[Any]) -> None:
        self._libpq = driver.pgconn
        level = driver.isolation_level
        self._begin = "BEGIN" + (
            f" ISOLATION LEVEL {level.name.replace('_', ' ')}" if level else ""
        )
        self._begin += " READ ONLY" if driver.read_only else ""
        self._reader = Transformer(driver)
        self._names: dict[str, bytes] = {}
        self._numbers = count(1)
        self._waiting: list[Answer] = []
        self.in_doubt = False  # whether COMMIT was sent, and nobody can say what came of it
        self._poll = select.poll()
        self._poll.register(self._libpq.socket, select.POLLIN)

    def later(self, sql: str, values: Sequence[Any] = ()) -> Answer:
        """Has a statement done before the next whose answer is waited for, or before COMMIT."""
        answer = Answer(self, sql, values)
        self._waiting.append(answer)
        return answer

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Answer:
        """Does a statement, and before it what waits."""
        answer = self.later(sql, values)
        self.send()
        return answer

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> Self:
        """Has a statement without result done for each of `rows`, as `later` does."""
        for values in rows:
            self.later(sql, values)
        return self

    def send(self) -> None:
        """Does all that waits."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._exchange([*self._beginning(), *waiting])

    def commit(self) -> None:
        """Does what waits, and commits; after a failure the transaction is over, too.

        Then it was rolled back, unless it is `in_doubt`.
        """
        self.in_doubt = False
        waiting: Sequence[Answer] = ()
        try:
            if self._is_idle():  # a connection that turns out to be dead is then not in doubt
                self.send()
            if self._is_idle():
                return
            waiting, self._waiting = self._waiting, []
            self.in_doubt = True
            end = Answer(self, "COMMIT", ())
            self._exchange([*waiting, end])
            self.in_doubt = False
        except BaseException:
            self.in_doubt = self.in_doubt and not any(answer.was_refused for answer in waiting)
            with suppress(psycopg.Error):
                self._libpq.exec_(b"ROLLBACK")
            raise
        if not end.has_committed:  # somebody went on after a failure, and all is undone
            raise psycopg.errors.InFailedSqlTransaction("COMMIT was answered with ROLLBACK")

    def forget(self) -> None:
        """Does nothing of what waits."""
        self._waiting.clear()

    def read(self, result: Any) -> list[Row]:
        """The rows of a result."""
        self._reader.set_pgresult(result, format=_BINARY)
        return self._reader.load_rows(0, result.ntuples, tuple)

    def _is_idle(self) -> bool:
        return self._libpq.transaction_status == pq.TransactionStatus.IDLE

    def _beginning(self) -> Iterator[Answer]:
        """BEGIN, where the server has not heard it yet."""
        if self._is_idle():
            yield Answer(self, self._begin, ())

    def _exchange(self, answers: Sequence[Answer]) -> None:
        """Sends all, and takes in what comes of each. Raises what the first one fails with."""
        values = [[_WRITE[type(value)](value) for value in answer.values] for answer in answers]
        failed: list[Any] = []
        try:
            self._libpq.enter_pipeline_mode()
            self._take_in(answers, self._submit(answers, values), failed)
            self._libpq.exit_pipeline_mode()
        except psycopg.OperationalError:  # the line is dead; perhaps the server has said why
            if not failed:
                raise
        except BaseException:
            self._libpq.finish()  # in the middle of something nobody else could go on with
            raise
        if failed:
            raise psycopg.errors.error_from_result(failed[0])

    def _submit(
        self, answers: Sequence[Answer], values: Sequence[Sequence[_Sent]]
    ) -> list[bytes | None]:
        """Sends all; the names under which those are being prepared that were not before."""
        libpq, known, new = self._libpq, dict(self._names), []
        for answer, sent in zip(answers, values, strict=True):
            name, fresh = known.get(answer.sql), None
            if name is None:
                name = fresh = known[answer.sql] = b"gatepost_%d" % next(self._numbers)
                libpq.send_prepare(name, _numbered(answer.sql))
            data, forms = map(list, zip(*sent, strict=True)) if sent else ([], [])
            libpq.send_query_prepared(name, data, forms, _BINARY)
            new.append(fresh)
        libpq.pipeline_sync()
        self._flush()
        return new

    def _take_in(
        self, answers: Sequence[Answer], new: Sequence[bytes | None], failed: list[Any]
    ) -> None:
        """Gives each answer its result; `failed` are the results that are errors."""
        for answer, name in zip(answers, new, strict=True):
            for made in (name, None) if name else (None,):
                result = self._next_result()
                if result.status == pq.ExecStatus.FATAL_ERROR:
                    failed.append(result)
                if made is None or result.status != pq.ExecStatus.COMMAND_OK:
                    answer.arrive(result)
                else:
                    self._names[answer.sql] = made
        self._next_result()  # where the server has come to the end

    def _flush(self) -> None:
        """Hands everything to the socket, and reads meanwhile, so that neither side waits."""
        libpq, line = self._libpq, self._libpq.socket
        while libpq.flush():
            self._poll.modify(line, select.POLLIN | select.POLLOUT)
            ((_, ready),) = self._poll.poll()
            self._poll.modify(line, select.POLLIN)
            if ready & ~select.POLLOUT:
                libpq.consume_input()

    def _next_result(self) -> Any:
        """The next result. Waits where libpq does not: there it would hold the interpreter."""
        libpq = self._libpq
        while True:
            while libpq.is_busy():
                self._poll.poll(_LOOK_MS)
                for _ in range(_TAKES):
                    libpq.consume_input()
                    if not libpq.is_busy():  # taking more might meet the end before the reason
                        break
            result = libpq.get_result()
            if result is not None:
                return result
            if libpq.status == pq.ConnStatus.BAD:
                raise psycopg.OperationalError("the connection is lost")


def attach(engine: Engine) -> Engine:
    """Has the engine's connections do what waits on their wires before all else, and COMMIT."""

    @event.listens_for(engine, "before_cursor_execute")
    def send(connection: Connection, *_: object) -> None:
        if wire := connection.info.get(_KEPT):
            wire.send()

    @event.listens_for(engine, "commit")
    def commit(connection: Connection) -> None:
        if wire := connection.info.get(_KEPT):
            wire.commit()

    @event.listens_for(engine, "rollback")
    def forget(connection: Connection) -> None:
        if wire := connection.info.get(_KEPT):
            wire.forget()

    return engine


def cursor_of(connection: Connection) -> Any:
    """What runs hot statements: the wire on PostgreSQL, and on SQLite a cursor of the driver."""
    if connection.dialect.name != "postgresql":
        return connection.connection.cursor()
    wire = connection.info.get(_KEPT)
    if wire is None:
        driver: Any = connection.connection.driver_connection
        wire = connection.info[_KEPT] = Wire(driver)
    return wire


def _numbered(sql: str) -> bytes:
    """The text with its places numbered, as the server wants them."""
    numbers = count(1)
    return _PLACE.sub(lambda at: "%" if at[0] == "%%" else f"${next(numbers)}", sql).encode()


def _text(value: str) -> _Sent:
    data = value.encode()
    if 0 in data:  # libpq would send what comes before
        raise psycopg.DataError("PostgreSQL takes no text with a NUL in it")
    return data, _TEXT


def _octets(value: Any) -> _Sent:
    return value, _BINARY


def _array(value: Any) -> _Sent:
    return binary(value), _BINARY


_WRITE: Writers[_Sent] = Writers({
    type(None): lambda _value: (None, _TEXT),
    bool: lambda value: (b"t" if value else b"f", _TEXT),
    int: lambda value: (int.__repr__(value).encode(), _TEXT),
    str: _text,
    bytes: _octets,
    bytearray: _octets,
    memoryview: _octets,
    list: _array,
})  # fmt: skip
