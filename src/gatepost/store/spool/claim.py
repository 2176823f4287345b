"""Hands due recipients to whoever sends, after deciding about each of them once more.

A claim writes state, attempt, next time and lease before the try (`flow/spool/states.py`
says what a crash leaves). Due are ready rows, deferred rows whose time has come, and rows in
sending whose lease has run out: after a first attempt at once, after later ones at their
next time. A job is for one lane, bulk mail or other.

Those that waited longest go first, but not they alone: what a dead gateway left, what was deferred
and what came last have a quarter of the places each, as far as there are any. So a small mailing
does not wait for the end of a large one, and what is tried again does not wait for either.

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

from sqlalchemy import ColumnElement, Select, bindparam, func, or_, select

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

SHARE = 4  # one place in so many is for each kind of row that is not the oldest
RECENT = 20_000  # rows, among which what came last is looked for

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
_HIGHEST = select(func.coalesce(func.max(_r.id), 0))
# Said so that no index helps: these few are found by their number, or all that wait were sorted.
_NEWEST = (
    select(*RECIPIENT_COLUMNS)
    .where(
        _r.id > bindparam("highest") - RECENT,
        _r.id <= bindparam("highest"),
        func.coalesce(_r.finished_ms, 0) == 0,
        func.coalesce(_r.upstream, "") == bindparam("upstream"),
        func.coalesce(_r.lane, 0) == bindparam("lane"),
        func.coalesce(_r.state, "") == State.READY.value,
    )
    .order_by(_r.id.desc())
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True, of=tables.recipient)
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
    """The rows whose turn it is."""
    kinds = (_READY, _DEFERRED, _ABANDONED) if job.take_up(tx.now) else (_READY, _DEFERRED)
    asked = []
    for upstream, room in job.rooms.items():
        place = {
            "upstream": upstream, "lane": 0 if job.urgent else 1, "now": tx.now_ms, "limit": room,
        }  # fmt: skip
        answers = [hot.compile_once(kind, tx.dialect).later(tx, place) for kind in kinds if room]
        asked.append((place, answers))
    found: list[hot.Row] = []
    for place, answers in asked:
        found += _divide(tx, place, [answer() for answer in answers])
    return found


def _divide(tx: Tx, place: Mapping[str, Any], waiting: Sequence[list[hot.Row]]) -> list[hot.Row]:
    """As many of these rows as there is room for; those that are ready come before the others."""
    room = place["limit"]
    first: dict[int, hot.Row] = {}
    if sum(map(len, waiting)) >= room >= SHARE:
        part = room // SHARE
        for kind in (*waiting[1:], _newest(tx, place, part)):
            first.update((row[0], row) for row in kind[:part])
    others = [row for kind in waiting for row in kind if row[0] not in first]
    others.sort(key=itemgetter(_NEXT_ATTEMPT, 0))
    return [*first.values(), *others][:room]


def _newest(tx: Tx, place: Mapping[str, Any], limit: int) -> list[hot.Row]:
    ((highest,),) = hot.compile_once(_HIGHEST, tx.dialect).rows(tx, {})
    query = hot.compile_once(_NEWEST, tx.dialect)
    rows = query.rows(tx, {**place, "limit": limit, "highest": highest})
    if place["lane"] == 0 and len(rows) == limit:  # the recipients of a mail stay together
        rows = [row for row in rows if row[1] != rows[-1][1]]
    return rows


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
