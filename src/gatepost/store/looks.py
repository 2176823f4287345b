"""When a run of retention must look at whom, so that it need not look at everybody each time.

Somebody's evidence becomes due by something that is recorded about them, by a date that it
names, or because the rules change. So each event leads to one look at its person; a look that
finds them not due yet says when the next one is needed; and other rules begin a round through
everybody, which goes on where it was broken off. Mail that is sent only puts the date off: that
is found at the next look, and costs the mail nothing.

In: times and subjects; the rules by their fingerprint. Out: whom to look at, page by page.
*Fails:* whatever the database raises.
*Known limits:* events of the last hour lead to a look in the next run, too, because on PostgreSQL
an event may be committed after one with a higher id.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import and_, bindparam, delete, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.store.hot import compile_once
from gatepost.store.tables.ledger import event, meta, subject
from gatepost.store.tables.uses import retention_look
from gatepost.store.times import to_ms
from gatepost.store.transaction import Tx

PAGE = 2000  # people who are looked at together
STRANGERS = 0  # the time of looks whether there is nothing on record of somebody

_NAME = "looks"
_SETTLED = timedelta(hours=1)
_l, _e = retention_look.c, event.c
_NOTE = {
    "sqlite": sqlite.insert(retention_look).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(retention_look).on_conflict_do_nothing(),
}
_STRIKE = delete(retention_look).where(
    _l.at_ms == bindparam("which_at"), _l.subject == bindparam("which_subject")
)


class Look(NamedTuple):
    """At whom to look, and when."""

    at_ms: int
    subject: int


FIRST = Look(STRANGERS + 1, 0)


@dataclass(frozen=True, slots=True)
class Round:
    """How far the looking has come, under which rules.

    Events up to `mark` have led to a look. `after` is the last person of the round through
    everybody; `None` when that is complete.
    """

    rules: str
    mark: int = 0
    after: int | None = 0


class News(NamedTuple):
    """A page of events: up to which id, up to which for good, and of whom."""

    last: int
    settled: int | None
    subjects: Sequence[int]


def where(tx: Tx, rules: str) -> Round:
    """How far it has come; a new round where the rules are others, or nothing is known."""
    value = tx.connection.execute(select(meta.c.value).where(meta.c.name == _NAME)).scalar()
    if value is not None:
        known = Round(**json.loads(value))
        if known.rules == rules:
            return known
    last = (
        select(_e.id)
        .where(_e.id > 0, _e.recorded_ms <= to_ms(tx.now - _SETTLED))
        .order_by(_e.id.desc())
        .limit(1)
    )
    return Round(rules, tx.connection.execute(last).scalar() or 0)


def remember(tx: Tx, so_far: Round) -> None:
    """Goes on from here the next time."""
    begin_anew(tx)
    row = {"name": _NAME, "value": json.dumps(asdict(so_far))}
    tx.connection.execute(insert(meta), row)


def begin_anew(tx: Tx) -> None:
    """Has the next run look at everybody: what is derived from events was made anew."""
    tx.connection.execute(delete(meta).where(meta.c.name == _NAME))


def people_after(tx: Tx, after: int) -> list[int]:
    """The next page of everybody."""
    query = select(subject.c.id).where(subject.c.id > after).order_by(subject.c.id).limit(PAGE)
    return list(tx.connection.execute(query).scalars())


def news(tx: Tx, mark: int) -> News | None:
    """Who has new events after `mark`: the next page of them."""
    query = select(_e.id, _e.subject, _e.recorded_ms).where(_e.id > mark).order_by(_e.id)
    rows = tx.connection.execute(query.limit(PAGE)).all()
    if not rows:
        return None
    settled, until = None, to_ms(tx.now - _SETTLED)
    for number, _, recorded_ms in rows:
        if recorded_ms > until:
            break
        settled = number
    return News(rows[-1][0], settled, sorted({row[1] for row in rows if row[1]}))


def due(tx: Tx, after: Look = FIRST) -> list[Look]:
    """The next page of looks whose time has come; strangers have times of their own."""
    later = or_(_l.at_ms > after.at_ms, and_(_l.at_ms == after.at_ms, _l.subject > after.subject))
    query = (
        select(_l.at_ms, _l.subject)
        .where(_l.at_ms >= after.at_ms, _l.at_ms <= tx.now_ms, later)
        .order_by(_l.at_ms, _l.subject)
        .limit(PAGE)
    )
    return [Look(*row) for row in tx.connection.execute(query)]


def strangers(tx: Tx, after: int = 0) -> list[int]:
    """The next page of those who may have nothing on record."""
    query = select(_l.subject).where(_l.at_ms == STRANGERS, _l.subject > after)
    return list(tx.connection.execute(query.order_by(_l.subject).limit(PAGE)).scalars())


def note(tx: Tx, looks: Iterable[Look]) -> None:
    """Has somebody look at these people then."""
    rows = [look._asdict() for look in sorted(looks)]
    compile_once(_NOTE[tx.dialect], tx.dialect).executemany(tx, rows)


def strike(tx: Tx, looks: Iterable[Look]) -> None:
    """Strikes out looks that were taken."""
    rows = [{"which_at": at_ms, "which_subject": who} for at_ms, who in sorted(looks)]
    compile_once(_STRIKE, tx.dialect).executemany(tx, rows)
