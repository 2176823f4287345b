"""The bytes of messages: written in pieces, read back whole, swept when nobody needs them.

A message up to 256 KB is one piece and is written by the accepting transaction itself. A
larger one is staged: each piece is a write of its own, so that small mail is not held up
behind it, and nothing refers to the pieces until the accepting transaction does. To PostgreSQL,
which may be far away, a few go together, and come back so.

In: the id that the submission will have, and its bytes as the mailer sent them. Out: the
same bytes.
*Fails:* `LookupError` for content that was purged, or never stored.
*Known limits:* what was staged and is not accepted within `STAGED_FOR` is swept.
"""

import io
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import count, islice

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from gatepost.store.engine import Store, Tx
from gatepost.store.hot import compile_once
from gatepost.store.tables import mail as tables
from gatepost.store.tables.mail import is_untold, spelled
from gatepost.store.times import to_ms

PIECE = 256 * 1024
_TOGETHER = 4  # pieces
STAGED_FOR = timedelta(hours=2)

_s, _r, _c, _staged = (
    tables.submission.c,
    tables.recipient.c,
    tables.content.c,
    tables.content_staged.c,
)
_KEEP = insert(tables.content)
_PIECES = (
    select(_c.data)
    .where(_c.submission == bindparam("of"), _c.n >= bindparam("first"), _c.n < bindparam("end"))
    .order_by(_c.n)
)
_FORGET = delete(tables.content).where(_c.submission == bindparam("gone"))
_FORGET_STAGED = delete(tables.content_staged).where(_staged.submission == bindparam("gone"))
_NOTE_PURGED = (
    update(tables.submission).where(_s.id == bindparam("gone")).values(content_state="purged")
)


def pieces(content: bytes) -> Iterator[memoryview]:
    """`content` in slices of at most `PIECE` bytes; one empty slice if it is empty."""
    view = memoryview(content)
    for start in range(0, len(view) or 1, PIECE):
        yield view[start : start + PIECE]


async def stage(store: Store, submission: int, content: bytes) -> None:
    """Writes large `content` ahead of its acceptance, little by little.

    The job that accepts it says `staged=True`.
    """
    cut = enumerate(pieces(content))
    while some := [*islice(cut, 1 if store.is_embedded else _TOGETHER)]:
        await store.write(partial(_stage, submission=submission, some=some))


def load(tx: Tx, submission: int) -> bytes:
    """The whole content, held once. Raises `LookupError` where there is none."""
    whole = io.BytesIO()
    select_pieces = compile_once(_PIECES, tx.dialect)
    for first in count(0, _TOGETHER):
        span = {"of": submission, "first": first, "end": first + _TOGETHER}
        some = [data for (data,) in select_pieces.rows(tx, span)]
        if first == 0 and len(some) == 1:
            return bytes(some[0])
        whole.writelines(some)
        if len(some) < _TOGETHER:
            break
    if not whole.tell():
        raise LookupError("the content of this submission is not kept")
    return whole.getvalue()


def sweep_staged(tx: Tx, older_than: timedelta = STAGED_FOR) -> int:
    """Removes pieces that were staged and never accepted; says of how many submissions."""
    old = select(_staged.submission).where(_staged.started_ms < to_ms(tx.now - older_than))
    orphans = [{"gone": orphan} for orphan in tx.connection.execute(old).scalars()]
    if orphans:
        tx.connection.execute(_FORGET, orphans)
        tx.connection.execute(_FORGET_STAGED, orphans)
    return len(orphans)


def purge(tx: Tx, finished_before: datetime, limit: int = 1000) -> int:
    """Removes the content of submissions finished before that time; says of how many.

    What is still to be reported keeps its own. One call removes at most `limit`, so
    that mail is not held up: call again until it says 0.
    """
    due = select(_s.id).where(_is_over(finished_before)).limit(limit)
    gone = [{"gone": done} for done in tx.connection.execute(due).scalars()]
    if gone:
        tx.connection.execute(_FORGET, gone)
        tx.connection.execute(_NOTE_PURGED, gone)
    return len(gone)


def count_due(tx: Tx, finished_before: datetime) -> int:
    """How many messages `purge` would remove now."""
    query = select(func.count()).where(_is_over(finished_before))
    return int(tx.connection.execute(query).scalar_one())


def _is_over(finished_before: datetime) -> ColumnElement[bool]:
    untold = exists().where(_r.submission == _s.id, is_untold())
    return and_(
        _s.content_state == spelled("kept"), _s.finished_ms < to_ms(finished_before), ~untold
    )


def _stage(tx: Tx, *, submission: int, some: Sequence[tuple[int, memoryview]]) -> None:
    for n, piece in some:
        _stage_piece(tx, submission=submission, n=n, piece=piece)


def _stage_piece(tx: Tx, *, submission: int, n: int, piece: memoryview) -> None:
    if n == 0:
        row = {"submission": submission, "started_ms": tx.now_ms}
        tx.connection.execute(insert(tables.content_staged), row)
    chunk = {"submission": submission, "n": n, "data": piece}
    compile_once(_KEEP, tx.dialect).executemany(tx, [chunk])
