"""Records what came of copies, in batches.

A row is only touched while it is in `sending` under the holder's lease: whoever was too slow
finds that another gateway has taken the row up, and is told so.

In: `MarkJob`s. Out: per job the ids that were no longer the holder's, left alone.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import String, bindparam, func, select

from gatepost.mail.recipient_state import FINAL, SET_ASIDE, State
from gatepost.store import hot
from gatepost.store.ending import close_finished
from gatepost.store.engine import BatchOp, Tx
from gatepost.store.plain import plain
from gatepost.store.spool.reading import setting
from gatepost.store.spool.rows import Marked, MarkJob
from gatepost.store.subjects import chunks
from gatepost.store.tables import mail as tables
from gatepost.store.tables.mail import spelled
from gatepost.store.times import to_ms

_r = tables.recipient.c
_OWN = (
    select(_r.id, _r.submission, _r.attempts)
    .where(
        _r.id.in_(bindparam("ids", expanding=True)),
        _r.state == spelled(State.SENDING),
        _r.lease_by == bindparam("holder"),
    )
    .order_by(_r.id)
    .with_for_update()
)
_MARK = setting(
    "state", "attempts", "next_attempt_ms", "lease_by", "lease_until_ms", "held_ms",
    "finished_ms", "relayed_ms", "reported_ms",
).values(
    last_reply=func.coalesce(bindparam("new_last_reply", type_=String), _r.last_reply)
)  # fmt: skip


def mark(tx: Tx, jobs: Sequence[MarkJob]) -> list[list[int]]:
    """Records all outcomes; per job the ids whose lease was lost."""
    lost: list[list[int]] = []
    rows: list[dict[str, Any]] = []
    finished: set[int] = set()
    for job in jobs:
        own = _own(tx, job)
        lost.append([marked.id for marked in job.rows if marked.id not in own])
        for marked in job.rows:
            if marked.id in own:
                submission, attempts = own[marked.id]
                rows.append(_columns(tx, marked, attempts))
                if marked.state in FINAL:
                    finished.add(submission)
    hot.compile_once(_MARK, tx.dialect).executemany(tx, rows)
    close_finished(tx, finished)
    return lost


MARK: BatchOp[MarkJob, list[int]] = BatchOp("mark", mark)


def _own(tx: Tx, job: MarkJob) -> dict[int, tuple[int, int]]:
    """Submission and attempts of the rows that still are the holder's, by id."""
    query = hot.compile_once(_OWN, tx.dialect)
    ids = [marked.id for marked in job.rows]
    own: dict[int, tuple[int, int]] = {}
    for chunk in chunks(ids):
        for number, submission, attempts in query.rows(tx, {"ids": chunk, "holder": job.holder}):
            own[number] = submission, attempts
    return own


def _columns(tx: Tx, marked: Marked, attempts: int) -> dict[str, Any]:
    state, now = marked.state, tx.now_ms
    settled = state is State.FAILED and not marked.report
    return {
        "which": marked.id,
        "new_state": state.value,
        "new_attempts": attempts if marked.counted else attempts - 1,
        "new_next_attempt_ms": to_ms(marked.next_attempt) if marked.next_attempt else now,
        "new_last_reply": plain(marked.reply) or None,
        "new_lease_by": None,
        "new_lease_until_ms": None,
        "new_held_ms": now if state in SET_ASIDE else None,
        "new_finished_ms": now if state in FINAL else None,
        "new_relayed_ms": now if state is State.DELIVERED and marked.report else None,
        "new_reported_ms": now if settled else None,
    }
