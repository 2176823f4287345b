"""Hands due recipients to whoever sends, after deciding about each of them once more.

A claim writes state, attempt, next time and lease before the try (`flow/spool/states.py`
says what a crash leaves). Due are ready rows, deferred rows whose time has come, and rows in
sending whose lease has run out: after a first attempt at once, after later ones at their
next time. Mail that is not bulk goes first, but leaves a quarter of the places to bulk mail.

Every row is decided again on the standing as it is in this transaction; whoever may no longer
be mailed is finished here and is not handed out (promise 3, RQ-5).

In: `ClaimJob`s. Out: per job, its `Claimed` rows. On PostgreSQL rows that another gateway is
claiming are passed over.
*Fails:* whatever the decision raises; then nothing is claimed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, or_, select

from gatepost.consent.standing import Person
from gatepost.mail.address import Address
from gatepost.mail.recipient_state import FINAL, SET_ASIDE, State
from gatepost.store import campaigns, hot, people
from gatepost.store.ending import close_finished
from gatepost.store.engine import BatchOp, Tx
from gatepost.store.plain import plain
from gatepost.store.spool.reading import (
    RECIPIENT_COLUMNS,
    RECIPIENT_NAMES,
    recipient_from,
    setting,
    submissions,
    verdict_from,
)
from gatepost.store.spool.rows import Claimed, ClaimJob, Review, Ruling, Submission
from gatepost.store.tables import mail as tables
from gatepost.store.tables.mail import spelled
from gatepost.store.times import from_ms, to_ms

BULK_SHARE = 4  # one place in so many is for bulk mail, if there is any

_MS = timedelta(milliseconds=1)
_r = tables.recipient.c
_OPEN = _r.finished_ms.is_(None)


def _due(*conditions: ColumnElement[bool], order: Any) -> Select[Any]:
    return (
        select(*RECIPIENT_COLUMNS)
        .where(
            _r.upstream == bindparam("upstream"),
            _r.lane == bindparam("lane"),
            *conditions,
        )
        .order_by(order, _r.id)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True, of=tables.recipient)
    )


_READY = _due(_OPEN, _r.state == spelled(State.READY), order=_r.next_attempt_ms)
_DEFERRED = _due(
    _OPEN,
    _r.state == spelled(State.DEFERRED),
    _r.next_attempt_ms <= bindparam("now"),
    order=_r.next_attempt_ms,
)
_ABANDONED = _due(
    _r.state == spelled(State.SENDING),
    _r.lease_until_ms.is_not(None),
    _r.lease_until_ms <= bindparam("now"),
    or_(_r.attempts <= 1, _r.next_attempt_ms <= bindparam("now")),
    order=_r.lease_until_ms,
)
_TAKE = setting(
    "state", "attempts", "next_attempt_ms", "lease_by", "lease_until_ms", "last_attempt_ms"
)
_RULE = setting(
    "verdict", "reason", "rule", "since_ms", "note", "state", "held_ms", "expires_ms",
    "finished_ms", "lease_by", "lease_until_ms",
)  # fmt: skip
_SUBJECT, _UPSTREAM, _ATTEMPTS, _NEXT_ATTEMPT = (
    RECIPIENT_NAMES.index(name) for name in ("subject", "upstream", "attempts", "next_attempt_ms")
)


def claim(tx: Tx, jobs: Sequence[ClaimJob]) -> list[list[Claimed]]:
    """Does each of `jobs` in turn; later ones see what earlier ones took."""
    return [_claim(tx, job) for job in jobs]


CLAIM: BatchOp[ClaimJob, list[Claimed]] = BatchOp("claim", claim)


def _claim(tx: Tx, job: ClaimJob) -> list[Claimed]:
    due = _due_rows(tx, job)
    if not due:
        return []
    heads = submissions(tx, (row[1] for row in due))
    by_submission: dict[int, list[Claimed]] = {}
    now = from_ms(tx.now_ms)
    for found in due:
        candidate = _candidate(now, job, heads[found[1]], found)
        by_submission.setdefault(found[1], []).append(candidate)
    going: list[Claimed] = []
    rulings: list[tuple[Claimed, Ruling]] = []
    for review in _reviews(tx, job, by_submission.values()):
        for row, ruling in zip(review.rows, job.decide(review), strict=True):
            if ruling is not None:
                rulings.append((row, ruling))
            if ruling is None or ruling.state is State.SENDING:
                going.append(row if ruling is None else replace(row, verdict=ruling.verdict))
    _rule(tx, rulings)
    _take(tx, job, going)
    return going


def _due_rows(tx: Tx, job: ClaimJob) -> list[hot.Row]:
    first = _lane(tx, job, 0, job.limit)
    if job.urgent_only:
        return first
    bulk = _lane(tx, job, 1, max(job.limit - len(first), job.limit // BULK_SHARE))
    return first[: job.limit - len(bulk)] + bulk


def _lane(tx: Tx, job: ClaimJob, lane: int, limit: int) -> list[hot.Row]:
    """The rows of one lane whose turn it is, those that waited longest first."""
    found: list[hot.Row] = []
    waiting = (_ABANDONED, _READY, _DEFERRED) if job.take_up(tx.now) else (_READY, _DEFERRED)
    answers = [
        hot.compile_once(statement, tx.dialect).later(
            tx, {"upstream": upstream, "lane": lane, "now": tx.now_ms, "limit": limit}
        )
        for statement in (waiting if limit else ())
        for upstream in job.upstreams
    ]
    for answer in answers:
        found += answer()
    found.sort(key=itemgetter(_NEXT_ATTEMPT, 0))
    return found[:limit]


def _candidate(now: datetime, job: ClaimJob, submission: Submission, row: hot.Row) -> Claimed:
    attempts = row[_ATTEMPTS] + 1
    return Claimed(
        id=row[0],
        submission=submission,
        recipient=recipient_from(row),
        subject=row[_SUBJECT] or 0,
        verdict=verdict_from(row),
        upstream=row[_UPSTREAM],
        attempts=attempts,
        next_attempt=now + job.retry_after(attempts),
        lease_until=now + job.lease,
    )


def _reviews(tx: Tx, job: ClaimJob, groups: Iterable[list[Claimed]]) -> list[Review]:
    """Per submission what a decision needs; the ledger is asked once per stream."""
    groups = list(groups)
    heads = [rows[0].submission for rows in groups]
    look_up = _look_up(tx, job, groups)
    frozen_senders = campaigns.frozen_senders_later(tx)
    stopped = campaigns.stopped(tx, (head.campaign for head in heads if head.campaign))
    frozen = frozen_senders()
    persons = {group: answer() for group, answer in look_up.items()}
    return [
        Review(
            now=tx.now,
            submission=head,
            rows=rows,
            persons=persons.get((head.stream, head.sender), {}),
            campaign_stopped=head.campaign in stopped,
            sender_frozen=head.sender in frozen,
        )
        for head, rows in zip(heads, groups, strict=True)
    ]


def _look_up(
    tx: Tx, job: ClaimJob, groups: Iterable[list[Claimed]]
) -> dict[tuple[str, str], Callable[[], Mapping[str, Person]]]:
    wanted: dict[tuple[str, str], dict[str, Address]] = {}
    for rows in groups:
        head = rows[0].submission
        if job.needs_standing(head.stream):
            wanted.setdefault((head.stream, head.sender), {}).update(
                (row.recipient.address.key, row.recipient.address) for row in rows
            )
    return {
        group: people.look_up_later(tx, list(addresses.values()), *group)
        for group, addresses in wanted.items()
    }


def _take(tx: Tx, job: ClaimJob, rows: Iterable[Claimed]) -> None:
    until = tx.now_ms + job.lease // _MS
    hot.compile_once(_TAKE, tx.dialect).executemany(
        tx,
        [
            {
                "which": row.id,
                "new_attempts": row.attempts,
                "new_next_attempt_ms": to_ms(row.next_attempt),
                "new_lease_by": job.holder,
                "new_lease_until_ms": until,
                "new_last_attempt_ms": tx.now_ms,
                "new_state": State.SENDING.value,
            }
            for row in rows
        ],
    )


def _rule(tx: Tx, rulings: Sequence[tuple[Claimed, Ruling]]) -> None:
    """Records new verdicts, and finishes or sets aside the rows that go no further."""
    hot.compile_once(_RULE, tx.dialect).executemany(
        tx,
        [
            {
                "which": row.id,
                "new_verdict": ruling.verdict.disposition.value,
                "new_reason": ruling.verdict.reason.value,
                "new_rule": ruling.verdict.rule,
                "new_since_ms": ruling.verdict.since and to_ms(ruling.verdict.since),
                "new_note": plain(ruling.verdict.note),
                "new_state": ruling.state.value,
                "new_held_ms": tx.now_ms if ruling.state in SET_ASIDE else None,
                "new_expires_ms": ruling.expires and to_ms(ruling.expires),
                "new_finished_ms": tx.now_ms if ruling.state in FINAL else None,
                "new_lease_by": None,
                "new_lease_until_ms": None,
            }
            for row, ruling in rulings
        ],
    )
    close_finished(tx, (row.submission.id for row, ruling in rulings if ruling.state in FINAL))
