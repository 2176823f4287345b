"""Sign-ups that wait for their confirmation, and welcome letters on their way.

In: sign-ups and letters as they are made, in the transaction that records their facts. Out:
what a link in a letter stands for; which welcomes upstream has taken. A welcome's delivery is
found from the spool's own record of it, never told along the way, so that a crash forgets none
(JU-18); settling and recording are one transaction, so that each is recorded once.

*Fails:* whatever the database raises.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, func, insert, or_, select, update

from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.recipient_state import FINAL, State
from gatepost.store import people
from gatepost.store.ids import to_text
from gatepost.store.spool import queue
from gatepost.store.tables import mail
from gatepost.store.tables.ledger import standing, suppression
from gatepost.store.tables.signups import signup, welcome
from gatepost.store.times import from_ms, to_ms
from gatepost.store.transaction import Tx

_r = mail.recipient.c


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp:
    """One request for streams of one sender.

    `source` and `text_version` are "" where the person asked on the preferences page.
    `submission` is the letter that asks for the confirmation, `None` where an earlier one
    still does.
    """

    id: int
    subject: int
    sender: str
    streams: tuple[str, ...]
    language: str
    requested_at: datetime
    source: str = ""
    text_version: str = ""
    submission: int | None = None
    confirmed_at: datetime | None = None

    def covers(self, other: "SignUp") -> bool:
        """Whether confirming this one does what confirming `other` would do."""
        same = (self.source, self.text_version) == (other.source, other.text_version)
        return same and set(self.streams) >= set(other.streams)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A welcome that upstream took, and that is recorded now."""

    subject: int
    sender: str
    stream: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Welcomes that have neither arrived nor failed: how many, and since when the oldest."""

    count: int
    since: datetime | None


def add(tx: Tx, one: SignUp) -> None:
    """Keeps a sign-up."""
    tx.connection.execute(
        insert(signup).values(
            id=one.id,
            subject=one.subject,
            sender=one.sender,
            source=one.source,
            text_version=one.text_version,
            streams=",".join(one.streams),
            language=one.language,
            requested_ms=to_ms(one.requested_at),
            submission=one.submission,
            confirmed_ms=None,
        )
    )


def find(tx: Tx, number: int) -> SignUp | None:
    """The sign-up with that id."""
    return next(_sign_ups(tx, signup.c.id == number), None)


def unconfirmed(tx: Tx, subject: int, sender: str, since: datetime) -> list[SignUp]:
    """What the person asked for since then and has not confirmed, the oldest first."""
    return list(
        _sign_ups(
            tx,
            and_(
                signup.c.subject == subject,
                signup.c.sender == sender,
                signup.c.confirmed_ms.is_(None),
                signup.c.requested_ms >= to_ms(since),
            ),
        )
    )


def mark_confirmed(tx: Tx, ids: Iterable[int]) -> set[int]:
    """Notes the confirmation of these; the ids that had not been confirmed before."""
    note = (
        update(signup)
        .where(signup.c.id.in_(sorted(ids)), signup.c.confirmed_ms.is_(None))
        .values(confirmed_ms=tx.now_ms)
        .returning(signup.c.id)
    )
    return set(tx.connection.execute(note).scalars())


def add_welcome(tx: Tx, submission: int, subject: int, sender: str, stream: str) -> None:
    """Keeps the letter `submission` as a welcome to `stream`."""
    tx.connection.execute(
        insert(welcome).values(
            submission=submission,
            subject=subject,
            sender=sender,
            stream=stream,
            written_ms=tx.now_ms,
            settled_ms=None,
        )
    )


def last_welcomed(tx: Tx, subject: int, stream: str) -> datetime | None:
    """When the latest welcome to `stream` was written, whatever became of it."""
    found = tx.connection.execute(
        select(func.max(welcome.c.written_ms)).where(
            welcome.c.subject == subject, welcome.c.stream == stream
        )
    ).scalar()
    return None if found is None else from_ms(found)


def settle_welcomes(tx: Tx, limit: int = 500) -> list[Delivered]:
    """Records the welcomes that upstream took since the last time; at most `limit` of them.

    One that failed, or was never to leave, is settled without a record: its consent goes on
    waiting.
    """
    over = (
        select(welcome.c.submission, _r.state, _r.finished_ms)
        .join(mail.recipient, _r.submission == welcome.c.submission)
        .where(welcome.c.settled_ms.is_(None), _r.state.in_(sorted(FINAL)))
        .order_by(welcome.c.written_ms)
        .limit(limit)
    )
    ends = {row.submission: row for row in tx.connection.execute(over)}
    if not ends:
        return []
    settle = (
        update(welcome)
        .where(welcome.c.submission.in_(sorted(ends)), welcome.c.settled_ms.is_(None))
        .values(settled_ms=tx.now_ms)
        .returning(welcome)
    )
    done = [
        row
        for row in tx.connection.execute(settle)  # another gateway may have been quicker
        if ends[row.submission].state == State.DELIVERED
    ]
    facts = [(row.subject, _welcomed(row, ends[row.submission].finished_ms)) for row in done]
    people.record_for_subjects(tx, facts)
    return [Delivered(row.subject, row.sender, row.stream) for row in done]


def unwanted_welcomes(tx: Tx) -> list[int]:
    """The rows of welcomes that wait for upstream while the person left.

    Looks at every welcome that waits, so it is for a reader.
    """
    same = and_(standing.c.subject == welcome.c.subject, standing.c.stream == welcome.c.stream)
    refused = and_(
        suppression.c.subject == welcome.c.subject,
        suppression.c.sender.in_((welcome.c.sender, "")),
        suppression.c.since_ms >= welcome.c.written_ms,
        suppression.c.lifted_ms.is_(None),
    )
    unwanted = (
        select(_r.id)
        .select_from(
            welcome.join(mail.recipient, _r.submission == welcome.c.submission)
            .outerjoin(standing, same)
            .outerjoin(suppression, refused)
        )
        .where(
            welcome.c.settled_ms.is_(None),
            _r.finished_ms.is_(None),
            or_(
                standing.c.withdrawn_ms >= welcome.c.written_ms, suppression.c.subject.is_not(None)
            ),
        )
    )
    return sorted(set(tx.connection.execute(unwanted).scalars()))


def stop_welcomes(tx: Tx, ids: Sequence[int]) -> list[int]:
    """Stops those of `ids` that still wait."""
    return queue.delete(tx, ids, "the person left before it was sent")


def waiting_welcomes(tx: Tx) -> Waiting:
    """The welcomes that are still to arrive."""
    count, oldest = tx.connection.execute(
        select(func.count(), func.min(welcome.c.written_ms)).where(welcome.c.settled_ms.is_(None))
    ).one()
    return Waiting(count, None if oldest is None else from_ms(oldest))


def forget(tx: Tx, before: datetime) -> int:
    """Removes what is older than that and over; says how much."""
    limit = to_ms(before)
    old = tx.connection.execute(delete(signup).where(signup.c.requested_ms < limit))
    # One whose letter is no longer on record can only be old.
    lost = ~select(_r.id).where(_r.submission == welcome.c.submission).exists()
    done = tx.connection.execute(
        delete(welcome).where(
            welcome.c.written_ms < limit, or_(welcome.c.settled_ms.is_not(None), lost)
        )
    )
    return old.rowcount + done.rowcount


def _welcomed(row: Any, finished_ms: int) -> Fact:
    return Fact(
        kind=EventKind.WELCOMED,
        at=from_ms(finished_ms),
        sender=row.sender,
        stream=row.stream,
        method="mail",
        submission=to_text(row.submission),
    )


def _sign_ups(tx: Tx, which: Any) -> Iterator[SignUp]:
    query = select(signup).where(which).order_by(signup.c.requested_ms, signup.c.id)
    for row in tx.connection.execute(query):
        yield SignUp(
            id=row.id,
            subject=row.subject,
            sender=row.sender,
            source=row.source,
            text_version=row.text_version,
            streams=_names(row.streams),
            language=row.language,
            requested_at=from_ms(row.requested_ms),
            submission=row.submission,
            confirmed_at=None if row.confirmed_ms is None else from_ms(row.confirmed_ms),
        )


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()
