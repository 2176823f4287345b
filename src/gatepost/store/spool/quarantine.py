"""The quarantine: recipients set aside until somebody, or a confirmation, releases them.

A released row goes back into the queue under the verdict deliver, with rule `RELEASED` and
the reason that was given as its note; the decision at its claim sees that, and still refuses
what no release may override. What nobody releases expires, and is dropped.

In: ids of recipients. Out: `QuarantineRow`s, in the shape that `quarantine list` prints, and
the ids that a command changed.
*Fails:* `ValueError` for a release without a reason; `LookupError` for an id that is not in
quarantine.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, update

from gatepost.mail.recipient_state import State
from gatepost.mail.verdict import Disposition, Reason
from gatepost.store import content
from gatepost.store.bell import Ring, ring
from gatepost.store.ending import close_finished
from gatepost.store.engine import Tx
from gatepost.store.ids import to_text
from gatepost.store.plain import plain
from gatepost.store.subjects import chunks
from gatepost.store.tables import mail as tables
from gatepost.store.times import from_ms, to_ms

RELEASED = "released"
CONFIRMED = "confirmed-while-held"

# What a confirmation can cure: the person had not (yet) said yes.
CURABLE = (
    Reason.NO_CONSENT, Reason.UNCONFIRMED, Reason.EXPIRED, Reason.DORMANT, Reason.WEAK_BASIS,
    Reason.FORBIDDEN_SOURCE, Reason.UNVERIFIED_SOURCE, Reason.INVALID_TEXT,
    Reason.OUTSIDE_SCOPE, Reason.WELCOME_PENDING,
)  # fmt: skip

_r, _s = tables.recipient.c, tables.submission.c
_IN_QUARANTINE = _r.held_ms.is_not(None) & (_r.state == State.QUARANTINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRow:
    """One recipient in quarantine."""

    id: int
    recipient: str
    stream: str
    reason: str
    held_at: datetime
    expires_at: datetime | None
    submission: str
    sender: str
    client: str
    header_from: str
    message_subject: str


def list_quarantine(
    tx: Tx,
    *,
    stream: str | None = None,
    senders: Sequence[str] | None = None,
    after: int = 0,
    limit: int = 1000,
) -> list[QuarantineRow]:
    """What is in quarantine, in the order of ids, `limit` at a time from the id `after`.

    Of one stream and of some senders, or of all.
    """
    query = _query().where(_r.id > after).order_by(_r.id).limit(limit)
    if stream is not None:
        query = query.where(_s.stream == stream)
    if senders is not None:
        query = query.where(_s.sender.in_(senders))
    return [_row(row) for row in tx.connection.execute(query)]


def show(tx: Tx, recipient: int) -> tuple[QuarantineRow, bytes]:
    """One row and the message as it came. Raises `LookupError`."""
    row = tx.connection.execute(_query().where(_r.id == recipient)).one_or_none()
    if row is None:
        raise LookupError(f"{recipient} is not in quarantine")
    return _row(row), content.load(tx, row.submission)


def senders_of(tx: Tx, ids: Iterable[int]) -> dict[int, str]:
    """Whose mail the rows are, of those among `ids` that are in quarantine."""
    owners: dict[int, str] = {}
    for chunk in chunks(sorted(set(ids))):
        rows = tx.connection.execute(_query().where(_r.id.in_(chunk)))
        owners |= {row.id: row.sender for row in rows}
    return owners


def release(tx: Tx, ids: Iterable[int], reason: str) -> list[int]:
    """Puts rows back into the queue on somebody's responsibility. Raises `ValueError`."""
    if not reason.strip():
        raise ValueError("a release needs a reason")
    changed: list[int] = []
    for chunk in chunks(sorted(set(ids))):
        released = _release(tx, _r.id.in_(chunk), Reason.OVERRIDE, RELEASED, plain(reason))
        changed += released
    return sorted(changed)


def release_by_confirmation(
    tx: Tx, subject: int, stream: str, within: timedelta, note: str = ""
) -> list[int]:
    """Puts back what was held for this person on this stream no longer ago than `within`.

    `note` says in the rows what came. Whether they may leave is decided again at their claim.
    """
    of_stream = select(_s.id).where(_s.id == _r.submission, _s.stream == stream).exists()
    curable = (
        (_r.subject == subject)
        & (_r.held_ms >= to_ms(tx.now - within))
        & _r.reason.in_(CURABLE)
        & of_stream
    )
    return sorted(_release(tx, curable, Reason.CONSENTED, CONFIRMED, plain(note)))


def delete(tx: Tx, ids: Iterable[int], note: str = "") -> list[int]:
    """Drops rows for good; they stay on record."""
    changed: list[int] = []
    for chunk in chunks(sorted(set(ids))):
        changed += _drop(tx, _r.id.in_(chunk), plain(note))
    return sorted(changed)


def expire(tx: Tx, limit: int = 10_000) -> int:
    """Drops rows whose time is over; says how many. At most `limit`: call until it says 0."""
    over = (
        select(_r.id).where(_IN_QUARANTINE, _r.expires_ms <= tx.now_ms).limit(limit)
    ).scalar_subquery()
    return len(_drop(tx, _r.id.in_(over), "expired"))


def count_expired(tx: Tx) -> int:
    """How many rows `expire` would drop now."""
    query = select(func.count()).where(_IN_QUARANTINE, _r.expires_ms <= tx.now_ms)
    return int(tx.connection.execute(query).scalar_one())


def _release(tx: Tx, which: ColumnElement[bool], reason: Reason, rule: str, note: str) -> list[int]:
    put_back = (
        update(tables.recipient)
        .where(_IN_QUARANTINE, which)
        .values(
            state=State.READY,
            verdict=Disposition.DELIVER,
            reason=reason,
            rule=rule,
            since_ms=tx.now_ms,
            note=note,
            next_attempt_ms=tx.now_ms,
            held_ms=None,
            expires_ms=None,
        )
        .returning(_r.id)
    )
    released = list(tx.connection.execute(put_back).scalars())
    if released:
        ring(tx, Ring.MAIL)
    return released


def _drop(tx: Tx, which: ColumnElement[bool], note: str) -> list[int]:
    values: Mapping[str, Any] = {"note": note} if note else {}
    drop = (
        update(tables.recipient)
        .where(_IN_QUARANTINE, which)
        .values(state=State.DROPPED, finished_ms=tx.now_ms, held_ms=None, **values)
        .returning(_r.id, _r.submission)
    )
    dropped = list(tx.connection.execute(drop))
    close_finished(tx, (row.submission for row in dropped))
    return [row.id for row in dropped]


def _query() -> Select[Any]:
    return (
        select(
            _r.id, _r.address, _r.reason, _r.held_ms, _r.expires_ms, _r.submission,
            _s.stream, _s.sender, _s.client, _s.header_from, _s.subject,
        )
        .join_from(tables.recipient, tables.submission, _s.id == _r.submission)
        .where(_IN_QUARANTINE)
    )  # fmt: skip


def _row(row: Any) -> QuarantineRow:
    return QuarantineRow(
        id=row.id,
        recipient=row.address,
        stream=row.stream,
        reason=row.reason,
        held_at=from_ms(row.held_ms),
        expires_at=None if row.expires_ms is None else from_ms(row.expires_ms),
        submission=to_text(row.submission),
        sender=row.sender,
        client=row.client,
        header_from=row.header_from,
        message_subject=row.subject,
    )
