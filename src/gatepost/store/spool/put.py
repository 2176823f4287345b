"""Accepts submissions: look-up, decision and rows of all that wait, in one transaction.

In: `PutJob`s. Out: a `PutResult` for each, once the transaction is committed; only then may
DATA be answered 250 (promise 1). Whatever the number of recipients, the ledger is asked once
per stream. A submission whose recipients all get nothing is recorded without its content.

The line: mail that is not bulk goes first (lane 0). Within the bulk lane a row's place is its
arrival plus `SPACING` for each row of the same submission before it, so that a small mailing
does not wait behind all of a large one.

*Fails:* `ValueError` if a decision leaves a recipient without a verdict (promise 2).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, text

from gatepost.consent.standing import STRANGER, Person
from gatepost.mail.address import Address
from gatepost.mail.recipient_state import FINAL, SET_ASIDE, State
from gatepost.mail.stream import Kind
from gatepost.store import campaigns, hot, people
from gatepost.store.bell import Ring, ring
from gatepost.store.campaigns import Wish
from gatepost.store.content import PIECE, pieces
from gatepost.store.engine import BatchOp, Tx
from gatepost.store.plain import plain
from gatepost.store.spool import sightings
from gatepost.store.spool.reading import SUBMISSION_NAMES, submission_from
from gatepost.store.spool.rows import (
    Claimed,
    PutJob,
    PutResult,
    RowDraft,
    Snapshot,
)
from gatepost.store.subjects import ensure_subjects
from gatepost.store.tables import mail as tables
from gatepost.store.times import from_ms, to_ms

SPACING = timedelta(milliseconds=100)

_MS = timedelta(milliseconds=1)
_SPACING_MS = SPACING // _MS
_INSERT_SUBMISSION = insert(tables.submission).values(
    {
        name: bindparam(name)
        for name in tables.submission.columns.keys()  # noqa: SIM118  a collection of columns, by name
        if name != "gathered_ms"
    }
)
_INSERT_CONTENT = insert(tables.content)
_INSERT_RECIPIENT = insert(tables.recipient).values(
    {
        name: bindparam(name)
        for name in tables.recipient.columns.keys()  # noqa: SIM118  a collection of columns, by name
        if name not in {"relayed_ms", "reported_ms"}
    }
)
_UNSTAGE = delete(tables.content_staged).where(
    tables.content_staged.c.submission == bindparam("accepted")
)
_HIGHEST = select(func.coalesce(func.max(tables.recipient.c.id), 0))
_NUMBERS = text(
    "SELECT nextval((SELECT pg_get_serial_sequence('recipient', 'id'))::regclass)"  # found once
    " FROM generate_series(1, :count)"
)


class _Decided(NamedTuple):
    """A job with all that is known once it is decided."""

    job: PutJob
    persons: Mapping[str, Person]
    campaign: int | None
    drafts: Sequence[RowDraft]


def put(tx: Tx, jobs: Sequence[PutJob]) -> list[PutResult]:
    """Accepts all `jobs`; one result per job, in their order."""
    ids = allocate_ids(tx, sum(_drafts_of(job) for job in jobs))
    decided = _decide(tx, jobs)
    subjects = _make_subjects(tx, decided)
    heads: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    results = []
    for one in decided:
        own = _recipient_rows(tx, one, subjects, ids)
        head = _submission_row(tx, one, own)
        heads.append(head)
        rows += own
        results.append(_result(one, head, own))
    hot.compile_once(_INSERT_SUBMISSION, tx.dialect).executemany(tx, heads)
    _keep_content(
        tx,
        [job for job, head in zip(jobs, heads, strict=True) if head["content_state"] == "kept"],
    )
    hot.compile_once(_INSERT_RECIPIENT, tx.dialect).executemany(tx, rows)
    if tx.dialect == "postgresql" and any(row["state"] == State.READY for row in rows):
        ring(tx, Ring.MAIL)  # for a gateway with more room than this one
    return results


PUT: BatchOp[PutJob, PutResult] = BatchOp("put", put)


def allocate_ids(tx: Tx, count: int) -> Iterator[int]:
    """That many new ids for recipients, ascending."""
    if tx.dialect == "postgresql":
        return _ascending(hot.compile_once(_NUMBERS, tx.dialect).later(tx, {"count": count}))
    highest = hot.compile_once(_HIGHEST, tx.dialect).rows(tx, {})[0][0]
    return iter(range(highest + 1, highest + 1 + count))


def _ascending(numbers: Callable[[], list[hot.Row]]) -> Iterator[int]:
    yield from sorted(row[0] for row in numbers())


def _drafts_of(job: PutJob) -> int:
    return len(job.envelope.recipients) + len(job.envelope.refused)


def _decide(tx: Tx, jobs: Sequence[PutJob]) -> list[_Decided]:
    look_up = _look_up(tx, jobs)
    enter = campaigns.enter_later(tx, [wish for job in jobs if (wish := _wish(job))])
    frozen_senders = campaigns.frozen_senders_later(tx)
    persons = {group: answer() for group, answer in look_up.items()}
    entered, frozen = enter(), frozen_senders()
    sighted = [(job.arrival.client.name, job.sighting) for job in jobs if job.sighting]
    seen = iter(sightings.count(tx, sighted))
    decided = []
    for job in jobs:
        wish = _wish(job)
        campaign = entered[wish] if wish else None
        known = persons[job.stream, job.sender] if job.needs_standing else {}
        snapshot = Snapshot(
            now=tx.now,
            persons=known,
            campaign_stopped=campaign is not None and campaign.stopped,
            sender_frozen=job.sender in frozen,
            seen_in_window=next(seen) if job.sighting else 0,
        )
        drafts = job.decide(snapshot)
        if len(drafts) != _drafts_of(job):
            raise ValueError("a decision has one draft for each recipient, also those refused")
        decided.append(_Decided(job, known, campaign and campaign.id, drafts))
    return decided


def _look_up(
    tx: Tx, jobs: Sequence[PutJob]
) -> dict[tuple[str, str], Callable[[], dict[str, Person]]]:
    """What the ledger knows, asked once for all jobs of one stream."""
    wanted: dict[tuple[str, str], dict[str, Address]] = {}
    for job in jobs:
        if job.needs_standing:
            group = wanted.setdefault((job.stream, job.sender), {})
            for recipient in job.envelope.recipients:
                group[recipient.address.key] = recipient.address
    return {
        group: people.look_up_later(tx, list(addresses.values()), *group)
        for group, addresses in wanted.items()
    }


def _wish(job: PutJob) -> Wish | None:
    draft = job.campaign
    if draft is None:
        return None
    client = job.arrival.client.name
    return Wish(client, job.stream, draft.explicit, draft.key, job.sender, draft.name)


def _make_subjects(tx: Tx, decided: Sequence[_Decided]) -> dict[str, int]:
    """Subjects for recipients that need one and are strangers to the ledger."""
    strangers = {
        draft.recipient.address.key: draft.recipient.address
        for one in decided
        for draft in one.drafts
        if (draft.needs_subject or draft.state is State.QUARANTINED)
        and not one.persons.get(draft.recipient.address.key, STRANGER).subject
    }
    return ensure_subjects(tx, strangers.values()) if strangers else {}


def _recipient_rows(
    tx: Tx, one: _Decided, subjects: Mapping[str, int], ids: Iterator[int]
) -> list[dict[str, Any]]:
    job, persons, key_hash, now = one.job, one.persons, tx.keys.key_hash, tx.now_ms
    lane = 1 if job.kind is Kind.BULK else 0
    claim = _claim_columns(now, job)
    turn = now
    rows = []
    for recipient, verdict, state, upstream, _, claims, expires in one.drafts:
        address = recipient.address
        key = address.key
        person = persons.get(key)
        row = {
            "id": next(ids),
            "submission": job.id,
            "address": address.given,
            "address_hash": key_hash(key),
            "subject": (person and person.subject) or subjects.get(key),
            "notify": recipient.notify,
            "orcpt": recipient.orcpt,
            "verdict": verdict.disposition.value,
            "reason": verdict.reason.value,
            "rule": verdict.rule,
            "since_ms": verdict.since and to_ms(verdict.since),
            "note": plain(verdict.note),
            "state": state.value,
            "upstream": upstream,
            "lane": lane,
            "attempts": 0,
            "next_attempt_ms": turn,
            "lease_by": None,
            "lease_until_ms": None,
            "last_reply": "",
            "last_attempt_ms": None,
            "held_ms": now if state in SET_ASIDE else None,
            "expires_ms": expires and to_ms(expires),
            "finished_ms": now if state in FINAL else None,
        }
        if state is State.READY:
            turn += lane * _SPACING_MS
            if claims:
                row |= claim
        rows.append(row)
    return rows


def _claim_columns(now: int, job: PutJob) -> dict[str, Any]:
    """What the first claim changes in a row; nothing without a lease."""
    lease = job.lease
    if lease is None:
        return {}
    return {
        "state": State.SENDING.value,
        "attempts": 1,
        "next_attempt_ms": now + lease.retry_after // _MS,
        "lease_by": lease.holder,
        "lease_until_ms": now + lease.duration // _MS,
        "last_attempt_ms": now,
    }


def _submission_row(tx: Tx, one: _Decided, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    job = one.job
    arrival, envelope, heading = job.arrival, job.envelope, job.heading
    is_open = any(row["finished_ms"] is None for row in rows)
    return {
        "id": job.id,
        "received_ms": tx.now_ms,
        "client": arrival.client.name,
        "stream": job.stream,
        "kind": job.kind.value,
        "sender": job.sender,
        "campaign_id": one.campaign,
        "mail_from": plain(envelope.mail_from),
        "ret": envelope.ret,
        "envid": envelope.envid,
        "smtputf8": envelope.smtputf8,
        "body8bit": envelope.body == "8BITMIME",
        "message_id": plain(heading.message_id),
        "subject": plain(heading.subject),
        "header_from": plain(heading.header_from),
        "size": len(job.content),
        "recipients": len(rows),
        "peer": arrival.peer,
        "protocol": arrival.protocol,
        "ehlo": plain(arrival.ehlo),
        "cipher": arrival.cipher,
        "replaced": plain(heading.replaced),
        "content_state": "kept" if is_open else "none",
        "finished_ms": None if is_open else tx.now_ms,
        "note": plain(job.note),
    }


def _keep_content(tx: Tx, jobs: Sequence[PutJob]) -> None:
    """Stores the content, or takes over what was staged under the submission's id."""
    insert_content = hot.compile_once(_INSERT_CONTENT, tx.dialect)
    insert_content.executemany(
        tx,
        [
            {"submission": job.id, "n": 0, "data": job.content}
            for job in jobs
            if not job.staged and len(job.content) <= PIECE
        ],
    )
    for job in jobs:
        if job.staged:
            hot.compile_once(_UNSTAGE, tx.dialect).execute(tx, {"accepted": job.id})
        elif len(job.content) > PIECE:
            for n, piece in enumerate(pieces(job.content)):
                insert_content.execute(tx, {"submission": job.id, "n": n, "data": piece})


def _result(one: _Decided, head: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> PutResult:
    counts = Counter((row["verdict"], row["reason"]) for row in rows)
    claimed: list[Claimed] = []
    if any(row["state"] == State.SENDING for row in rows):
        submission = submission_from([head[name] for name in SUBMISSION_NAMES])
        claimed = [
            Claimed(
                id=row["id"],
                submission=submission,
                recipient=draft.recipient,
                subject=row["subject"] or 0,
                verdict=draft.verdict,
                upstream=draft.upstream,
                attempts=row["attempts"],
                next_attempt=from_ms(row["next_attempt_ms"]),
                lease_until=from_ms(row["lease_until_ms"]),
            )
            for row, draft in zip(rows, one.drafts, strict=True)
            if row["state"] == State.SENDING
        ]
    return PutResult(one.job.id, one.campaign, claimed, counts)
