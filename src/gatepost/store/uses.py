"""Uses of consents: which grant carried how many copies to a person, and when last (JU-23).

The mail path writes nothing for this. A finished bulk submission is gathered once: its
delivered copies are added up per person, stream and grant, and in the same transaction the
submission says so (`gathered_ms`). That mark stands on the very rows that are counted, not on
an order of ids or times, so copies that finish out of order, gateways that gather at once,
clocks that differ and a crash in between neither lose a copy nor count one twice: either both
the sums and the marks are committed, or neither. A row counts as it was when its submission
finished, and does not change after that. A partial index leads to what is left to gather; it
costs accepting nothing, and finishing a submission one small entry.

What is still open, or finished a moment ago, is read from the rows themselves (`uses_of`), so
that an answer is never behind. Overrides and observed copies used no consent, and do not
count; nor does mail that needs none.

In: nothing but time passing. Out: `Use`s.
*Fails:* whatever the database raises.
*Known limits:* reading for one person looks at all recipients of bulk mail that is in the
queue at that moment.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    and_,
    func,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.mail.verdict import Disposition, Reason
from gatepost.store.subjects import chunks
from gatepost.store.tables import mail as tables
from gatepost.store.tables.mail import is_ungathered, spelled
from gatepost.store.tables.uses import consent_use
from gatepost.store.times import from_ms, to_ms
from gatepost.store.transaction import Tx

SLICE = 1000  # recipients of one transaction, or one submission that has more

_s, _r, _u = tables.submission.c, tables.recipient.c, consent_use.c
_KEY = (_u.subject, _u.stream, _u.since_ms)
_MEASURES = (
    func.min(_r.finished_ms).label("first_ms"),
    func.max(_r.finished_ms).label("last_ms"),
    func.count().label("copies"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Copies delivered to a person on one grant. `since` is when the grant took effect."""

    subject: int
    stream: str
    since: datetime
    sender: str
    first: datetime
    last: datetime
    copies: int


def touch(tx: Tx, limit: int = SLICE) -> int:
    """Reads, for a reader, the rows that `gather` will change; how many there are already.

    They lie all over a large table, and the writer should not have to wait for the disk.
    """
    waiting = select(_s.id, _s.recipients).where(is_ungathered()).order_by(_s.finished_ms)
    query = (
        select(func.count(_u.copies))
        .select_from(
            tables.submission.join(tables.recipient, _r.submission == _s.id).join(
                consent_use, and_(_u.subject == _r.subject, _u.stream == _s.stream)
            )
        )
        .where(_s.id.in_(_first(tx, waiting.limit(limit), limit)), _r.finished_ms > 0)
    )
    return int(tx.connection.execute(query).scalar_one())


def gather(tx: Tx, limit: int = SLICE) -> int:
    """Adds finished deliveries to the uses; of how many submissions. Call until it says 0."""
    waiting = select(_s.id, _s.recipients).where(is_ungathered()).order_by(_s.finished_ms)
    mine = waiting.limit(limit).with_for_update(key_share=True, skip_locked=True)
    taken = _first(tx, mine, limit)
    gather_submissions(tx, taken)
    return len(taken)


def _first(tx: Tx, waiting: Select[Any], limit: int) -> list[int]:
    """The first submissions that together have so few recipients, or the first alone."""
    taken: list[int] = []
    rows = 0
    for number, recipients in tx.connection.execute(waiting):
        if taken and rows + recipients > limit:
            break
        taken.append(number)
        rows += recipients
    return taken


def gather_submissions(tx: Tx, submissions: Sequence[int]) -> None:
    """Adds the deliveries of these finished submissions, those that were gathered left out.

    For whoever removes their rows.
    """
    for chunk in chunks(sorted(submissions)):
        fresh = and_(_s.id.in_(chunk), _s.gathered_ms.is_(None), _s.finished_ms.is_not(None))
        tx.connection.execute(_ADD[tx.dialect](_used(fresh)))
        tx.connection.execute(update(tables.submission).where(fresh).values(gathered_ms=tx.now_ms))


def uses_of(tx: Tx, subject: int) -> list[Use]:
    """All uses of a person's consents, also those that are not gathered yet, oldest first."""
    return uses_of_many(tx, [subject]).get(subject, [])


def uses_of_many(tx: Tx, subjects: Iterable[int]) -> dict[int, list[Use]]:
    """The same for many people, by subject; who has none is not in the answer."""
    wanted = sorted(set(subjects))
    found: dict[tuple[int, str, int], Use] = {}
    for chunk in chunks(wanted):
        gathered = select(consent_use).where(_u.subject.in_(chunk))
        waiting = _used(_r.submission.in_(_waiting()), _r.subject.in_(chunk))
        for statement in (gathered, waiting):
            for row in tx.connection.execute(statement):
                _add(found, row)
    by_subject: dict[int, list[Use]] = {}
    for use in sorted(found.values(), key=lambda one: (one.first, one.stream, one.since)):
        by_subject.setdefault(use.subject, []).append(use)
    return by_subject


def last_used(tx: Tx, subject: int, stream: str, since: datetime) -> datetime | None:
    """When the last copy was delivered on that grant; `None` if none was."""
    times = [
        use.last
        for use in uses_of(tx, subject)
        if use.stream == stream and to_ms(use.since) == to_ms(since)
    ]
    return max(times, default=None)


def _waiting() -> CompoundSelect[Any]:
    """Submissions that may hold deliveries and are not gathered; two indexes lead to them."""
    is_open = and_(
        _s.content_state == spelled("kept"), _s.finished_ms.is_(None), _s.gathered_ms.is_(None)
    )
    return union_all(select(_s.id).where(is_open), select(_s.id).where(is_ungathered()))


def _used(*which: ColumnElement[bool]) -> Select[Any]:
    """Deliveries on consents, summed up; the columns are those of `consent_use`, in order."""
    return (
        select(_r.subject, _s.stream, _r.since_ms, func.max(_s.sender).label("sender"), *_MEASURES)
        .join_from(tables.submission, tables.recipient, _r.submission == _s.id)
        .where(
            *which,
            _s.kind == spelled(Kind.BULK),
            _r.state == State.DELIVERED,
            _r.verdict == Disposition.DELIVER,
            _r.reason == Reason.CONSENTED,
            _r.finished_ms > 0,  # by its index: of open mailings most is not finished
            _r.subject.is_not(None),
            _r.since_ms.is_not(None),
        )
        .group_by(_r.subject, _s.stream, _r.since_ms)
        .order_by(_r.subject, _s.stream, _r.since_ms)
    )


def _adding(insert: Any) -> Any:
    """INSERT … SELECT that adds to what is there; in one order, so that none wait in a circle."""

    def of(used: Select[Any]) -> Any:
        statement = insert(consent_use).from_select(
            ["subject", "stream", "since_ms", "sender", "first_ms", "last_ms", "copies"], used
        )
        new = statement.excluded
        least, most = (
            (func.min, func.max) if insert is sqlite.insert else (func.least, func.greatest)
        )
        return statement.on_conflict_do_update(
            index_elements=_KEY,
            set_={
                "sender": new.sender,
                "first_ms": least(_u.first_ms, new.first_ms),
                "last_ms": most(_u.last_ms, new.last_ms),
                "copies": _u.copies + new.copies,
            },
        )

    return of


_ADD = {"sqlite": _adding(sqlite.insert), "postgresql": _adding(postgresql.insert)}


def _add(found: dict[tuple[int, str, int], Use], row: Any) -> None:
    key = (row.subject, row.stream, row.since_ms)
    known = found.get(key)
    first, last = from_ms(row.first_ms), from_ms(row.last_ms)
    found[key] = Use(
        subject=row.subject,
        stream=row.stream,
        since=from_ms(row.since_ms),
        sender=row.sender,
        first=min(first, known.first) if known else first,
        last=max(last, known.last) if known else last,
        copies=row.copies + (known.copies if known else 0),
    )
