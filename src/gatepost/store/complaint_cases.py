"""Complaint cases: what a sender has to answer, and until when (WP-14).

A complaint opens a case of the sender, or joins the one that this person has open with it. The
clock starts when upstream has first taken the notice to the sender's contact (C2), and at once
where nobody could be told. An answer stops it; so does closing. When it has run out, that is
noted once, and the sender may be frozen: once per case, so that a thaw is not undone by it.

In: copies that verified tokens named; words of staff. Out: `Case`.
*Fails:* `LookupError` for an id that is none, `CaseClosed` and `CaseAnswered`.
*Known limits:* a notice that upstream refuses for good starts the clock as well, because nobody
will hear of the case any other way. Delivery is noted by a chore, before the rows of mail go.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, delete, exists, func, insert, select, update

from gatepost.mail.duration import Duration
from gatepost.store import campaigns
from gatepost.store.ids import to_text
from gatepost.store.plain import plain
from gatepost.store.returned import Copy
from gatepost.store.tables import mail as tables
from gatepost.store.tables.complaints import complaint_case
from gatepost.store.tables.ledger import subject
from gatepost.store.times import from_ms, to_ms
from gatepost.store.transaction import Tx

_k, _r, _s = complaint_case.c, tables.recipient.c, tables.submission.c


class CaseClosed(Exception):  # noqa: N818  an answer
    """The case is closed; nothing is added to it."""


class CaseAnswered(Exception):  # noqa: N818  an answer
    """The case has an answer already."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `address` is "" where it is not on record any more."""

    id: int
    sender: str
    stream: str
    campaign: int | None
    submission: str
    subject: str
    address: str
    kind: str
    complaints: int
    received_at: datetime
    last_at: datetime
    noticed_at: datetime | None
    answered_at: datetime | None
    answer: str
    expired_at: datetime | None
    closed_at: datetime | None
    closing: str

    @property
    def state(self) -> str:
        """Where it stands: `notice-underway`, `waiting`, `expired`, `answered` or `closed`."""
        if self.closed_at:
            return "closed"
        if self.answered_at:
            return "answered"
        if self.expired_at:
            return "expired"
        return "waiting" if self.noticed_at else "notice-underway"

    def due_at(self, within: Duration) -> datetime | None:
        """Until when it wants an answer; `None` while no clock runs."""
        if self.answered_at or self.closed_at or self.noticed_at is None:
            return None
        return within.after(self.noticed_at)


class Expired(NamedTuple):
    """The cases of a sender whose time has run out, and whether this froze the sender."""

    sender: str
    cases: tuple[int, ...]
    froze: bool


def open_or_join(tx: Tx, copy: Copy, stream: str, kind: str) -> int | None:
    """The id of the case that a complaint about `copy` opens; `None` if it joined an open one.

    The person must be locked. Until `tell` is called, the clock runs from now.
    """
    join = (
        update(complaint_case)
        .where(_k.subject == copy.subject, _k.sender == copy.sender, _k.closed_ms.is_(None))
        .values(complaints=_k.complaints + 1, last_ms=tx.now_ms)
    )
    if tx.connection.execute(join).rowcount:
        return None
    query = select(_s.campaign_id).where(_s.id == copy.submission)
    values = {
        "sender": copy.sender,
        "stream": stream,
        "campaign": tx.connection.execute(query).scalar(),
        "submission": copy.submission or None,
        "subject": copy.subject,
        "kind": plain(kind),
        "complaints": 1,
        "received_ms": tx.now_ms,
        "last_ms": tx.now_ms,
        "noticed_ms": tx.now_ms,
        "answer": "",
        "closing": "",
    }
    made = insert(complaint_case).values(values).returning(_k.id)
    return int(tx.connection.execute(made).scalar_one())


def tell(tx: Tx, case: int, notice: int) -> None:
    """Notes the submission that tells the contact: the clock waits for its delivery (C2)."""
    change = update(complaint_case).where(_k.id == case).values(notice=notice, noticed_ms=None)
    tx.connection.execute(change)


def note_deliveries(tx: Tx) -> int:
    """Starts the clocks of cases whose notice has left; says how many."""
    left = select(func.min(_r.finished_ms)).where(_r.submission == _k.notice).scalar_subquery()
    gone = ~exists().where(_s.id == _k.notice)  # removed by hand, or by its term
    waiting = _k.noticed_ms.is_(None) & _k.closed_ms.is_(None)
    start = update(complaint_case).where(waiting, left.is_not(None) | gone)
    return tx.connection.execute(start.values(noticed_ms=func.coalesce(left, tx.now_ms))).rowcount


def expire(tx: Tx, noticed_before: datetime, *, freezes: bool) -> list[Expired]:
    """Notes the cases that nobody answered in time and, if so wished, freezes their senders.

    Each case is noted once. A sender that is frozen already stays so, with the note it has.
    """
    over = (
        update(complaint_case)
        .where(
            _k.closed_ms.is_(None),
            _k.answered_ms.is_(None),
            _k.expired_ms.is_(None),
            _k.noticed_ms <= to_ms(noticed_before),
        )
        .values(expired_ms=tx.now_ms)
        .returning(_k.id, _k.sender)
    )
    cases: dict[str, list[int]] = {}
    for number, sender in tx.connection.execute(over).all():
        cases.setdefault(sender, []).append(number)
    frozen = campaigns.frozen_senders(tx) if cases else frozenset()
    expired = []
    for sender, numbers in sorted(cases.items()):
        numbers.sort()
        froze = freezes and sender not in frozen
        if froze:
            campaigns.freeze(tx, sender, f"not answered in time: {named(numbers)}")
        expired.append(Expired(sender, tuple(numbers), froze))
    return expired


def named(cases: Iterable[int]) -> str:
    """The cases in words: the first ones, and how many more."""
    numbers = list(cases)
    words = ", ".join(str(number) for number in numbers[:5])
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f"complaint case{'s' if len(numbers) > 1 else ''} {words}{more}"


def list_cases(tx: Tx, *, only_open: bool = False, sender: str = "") -> list[Case]:
    """The cases, the newest first."""
    query = _cases().order_by(_k.id.desc())
    if only_open:
        query = query.where(_k.closed_ms.is_(None))
    if sender:
        query = query.where(_k.sender == sender)
    return [_case(row) for row in tx.connection.execute(query)]


def find(tx: Tx, case: int) -> Case:
    """One case. Raises `LookupError`."""
    row = tx.connection.execute(_cases().where(_k.id == case)).one_or_none()
    if row is None:
        raise LookupError(f"there is no complaint case {case}")
    return _case(row)


def answer(tx: Tx, case: int, words: str) -> None:
    """Records what was done about it, and stops the clock. Raises as the module says."""
    change = (
        update(complaint_case)
        .where(_k.id == case, _k.closed_ms.is_(None), _k.answered_ms.is_(None))
        .values(answered_ms=tx.now_ms, answer=plain(words))
    )
    if tx.connection.execute(change).rowcount:
        return
    if find(tx, case).closed_at:
        raise CaseClosed(f"complaint case {case} is closed")
    raise CaseAnswered(f"complaint case {case} has an answer; close it with what is to be added")


def close(tx: Tx, case: int, words: str) -> None:
    """Ends the case; the next complaint of this person opens another. Raises as the module says."""
    change = (
        update(complaint_case)
        .where(_k.id == case, _k.closed_ms.is_(None))
        .values(closed_ms=tx.now_ms, closing=plain(words))
    )
    if not tx.connection.execute(change).rowcount:
        find(tx, case)
        raise CaseClosed(f"complaint case {case} is closed already")


def count_old(tx: Tx, closed_before: datetime) -> int:
    """How many cases `purge` would remove."""
    query = select(func.count()).where(_k.closed_ms < to_ms(closed_before))
    return int(tx.connection.execute(query).scalar_one())


def purge(tx: Tx, closed_before: datetime, limit: int = 500) -> int:
    """Removes cases that were closed before that; says how many. What is open stays."""
    old = select(_k.id).where(_k.closed_ms < to_ms(closed_before)).limit(limit)
    return tx.connection.execute(delete(complaint_case).where(_k.id.in_(old))).rowcount


def _cases() -> Select[Any]:
    return select(complaint_case, subject.c.address).select_from(
        complaint_case.outerjoin(subject, subject.c.id == _k.subject)
    )


def _case(row: Any) -> Case:
    return Case(
        id=row.id,
        sender=row.sender,
        stream=row.stream,
        campaign=row.campaign,
        submission=to_text(row.submission) if row.submission else "",
        subject=to_text(row.subject),
        address=row.address or "",
        kind=row.kind,
        complaints=row.complaints,
        received_at=from_ms(row.received_ms),
        last_at=from_ms(row.last_ms),
        noticed_at=_moment(row.noticed_ms),
        answered_at=_moment(row.answered_ms),
        answer=row.answer,
        expired_at=_moment(row.expired_ms),
        closed_at=_moment(row.closed_ms),
        closing=row.closing,
    )


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else from_ms(milliseconds)
