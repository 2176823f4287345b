"""Suppressions: addresses that a sender must not mail. Derived from events, never set aside.

A row stays when it is lifted, with the time of lifting, so that an older fact that arrives
late does not bring it back. In force is what has no `lifted_ms`. What staff, an import or a
mailer say of a lifting does not lift a complaint, a hard bounce or a withdrawal (E4).

In: facts. Out: rows for lists and decisions.
*Known limits:* to add or lift one, record a fact (`people.record`); this module has no
way past the ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import String, bindparam, case, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.fold import BY_OTHERS
from gatepost.mail.address import Address
from gatepost.store.hot import compile_once
from gatepost.store.tables.ledger import subject, suppression
from gatepost.store.times import from_ms, to_ms
from gatepost.store.transaction import Tx

UNSUBSCRIBED = "unsubscribed"
COMPLAINT = "complaint"
# What nobody lifts but the person: others may only say that it was lifted (E4).
PERSONAL = frozenset({UNSUBSCRIBED, COMPLAINT, "hard-bounce", "erased"})

_COLUMNS = ("subject", "sender", "scope", "reason")


def _upsert(insert: Any) -> Any:
    new = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=_COLUMNS,
        set_={
            "since_ms": case(
                (new.since_ms > suppression.c.since_ms, new.since_ms),
                else_=suppression.c.since_ms,
            ),
            "lifted_ms": case(
                (suppression.c.lifted_ms <= new.since_ms, None),
                else_=suppression.c.lifted_ms,
            ),
        },
    )


_ADD = {
    "sqlite": _upsert(sqlite.insert(suppression)),
    "postgresql": _upsert(postgresql.insert(suppression)),
}
_LIFT = (
    update(suppression)
    .where(
        suppression.c.subject == bindparam("of_subject"),
        suppression.c.sender == bindparam("of_sender"),
        or_(
            bindparam("of_scope", type_=String) == "", suppression.c.scope == bindparam("of_scope")
        ),
        or_(
            bindparam("of_reason", type_=String) == "",
            suppression.c.reason == bindparam("of_reason"),
        ),
        suppression.c.since_ms <= bindparam("at_ms"),
        or_(
            suppression.c.lifted_ms.is_(None),
            suppression.c.lifted_ms < bindparam("at_ms"),
        ),
    )
    .values(lifted_ms=bindparam("at_ms"))
)
_LIFT_BY_OTHERS = _LIFT.where(*(suppression.c.reason != reason for reason in sorted(PERSONAL)))
_FORGET = delete(suppression).where(suppression.c.subject == bindparam("of_subject"))
_LIST = (
    select(suppression, subject.c.address)
    .join(subject, subject.c.id == suppression.c.subject)
    .where(suppression.c.lifted_ms.is_(None))
    .order_by(*(suppression.c[name] for name in _COLUMNS))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """One suppression in force. `address` is "" where the person has been erased."""

    subject: int
    address: str
    sender: str
    scope: str
    reason: str
    since: datetime


def suppression_of(fact: Fact) -> tuple[str, str] | None:
    """(scope, reason) of the suppression that `fact` brings about, if any."""
    match fact.kind:
        case EventKind.WITHDRAWN if not fact.stream:
            return "bulk", UNSUBSCRIBED
        case EventKind.COMPLAINED:
            return "bulk", COMPLAINT
        case EventKind.SUPPRESSED | EventKind.BOUNCED if fact.suppression:
            return fact.scope or "all", fact.suppression
        case _:
            return None


def apply(tx: Tx, facts: Sequence[tuple[int, Fact]]) -> None:
    """Adds and lifts what `facts`, in their order, say about suppressions of subjects."""
    adding: list[dict[str, Any]] = []
    for of_subject, fact in facts:
        if fact.kind is EventKind.SUPPRESSION_LIFTED:
            _add(tx, adding)
            adding = []
            lifting = _LIFT_BY_OTHERS if fact.actor in BY_OTHERS else _LIFT
            compile_once(lifting, tx.dialect).execute(
                tx,
                {
                    "of_subject": of_subject,
                    "of_sender": fact.sender,
                    "of_scope": fact.scope,
                    "of_reason": fact.suppression,
                    "at_ms": to_ms(fact.at),
                },
            )
            continue
        found = suppression_of(fact)
        if found:
            row = dict(zip(_COLUMNS, (of_subject, fact.sender, *found), strict=True))
            adding.append({**row, "since_ms": to_ms(fact.at), "lifted_ms": None})
    _add(tx, adding)


def forget(tx: Tx, of_subject: int) -> None:
    """Removes all rows of a subject, for whoever records them anew (erasure)."""
    compile_once(_FORGET, tx.dialect).execute(tx, {"of_subject": of_subject})


def list_suppressed(
    tx: Tx,
    *,
    sender: str | None = None,
    address: Address | None = None,
    after: tuple[int, str, str, str] | None = None,
    limit: int = 1000,
) -> list[Suppressed]:
    """Suppressions in force, of one sender or all, in an order that pages can follow.

    `after` is the `place` of the last row of the page before.
    """
    statement = _LIST.limit(limit)
    if sender is not None:
        statement = statement.where(suppression.c.sender == sender)
    if address is not None:
        statement = statement.where(subject.c.address_hash == tx.keys.address_hash(address))
    if after is not None:
        columns = tuple(suppression.c[name] for name in _COLUMNS)
        statement = statement.where(_row_after(columns, after))
    return [_suppressed(row) for row in tx.connection.execute(statement).mappings()]


def of_subject(tx: Tx, number: int) -> list[Suppressed]:
    """The suppressions in force of one subject."""
    statement = _LIST.where(suppression.c.subject == number)
    return [_suppressed(row) for row in tx.connection.execute(statement).mappings()]


def place(row: Suppressed) -> tuple[int, str, str, str]:
    """Where a row stands in the order of `list_suppressed`."""
    return row.subject, row.sender, row.scope, row.reason


def _row_after(columns: tuple[Any, ...], values: tuple[Any, ...]) -> Any:
    first, value = columns[0], values[0]
    if len(columns) == 1:
        return first > value
    return or_(first > value, (first == value) & _row_after(columns[1:], values[1:]))


def _add(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    compile_once(_ADD[tx.dialect], tx.dialect).executemany(tx, rows)


def _suppressed(row: Mapping[Any, Any]) -> Suppressed:
    return Suppressed(
        subject=row["subject"],
        address=row["address"] or "",
        sender=row["sender"],
        scope=row["scope"],
        reason=row["reason"],
        since=from_ms(row["since_ms"]),
    )
