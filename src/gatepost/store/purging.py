"""Removes the rows of mail when their terms are over, and keeps what must outlive them.

Who was mailed and why goes with its submission, a slice at a time. In the same transaction
its deliveries are added to the uses of consents, if that has not been done (`uses`), and its
recipients to the counts of its campaign; a crash in between leaves both or neither. A
campaign goes when its own term is over and no submission of it is left.

In: moments before which things must have finished. Out: how much went; call until it says 0.
*Fails:* whatever the database raises.
*Known limits:* one submission is removed whole, however many recipients it has.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, delete, exists, func, select
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.store import uses
from gatepost.store.subjects import chunks
from gatepost.store.tables import mail as tables
from gatepost.store.tables.mail import is_untold
from gatepost.store.tables.uses import campaign_count
from gatepost.store.times import to_ms
from gatepost.store.transaction import Tx

PAGE = 1000  # recipients that are looked at together
SLICE = 5000  # recipients of one transaction, or one submission that has more

_s, _r, _c = tables.submission.c, tables.recipient.c, tables.campaign.c


class Old(NamedTuple):
    """A submission to be removed, and how many recipients it has."""

    id: int
    recipients: int


def old_submissions(
    tx: Tx, finished_before: datetime, after: int, limit: int = PAGE
) -> tuple[list[Old], int | None]:
    """Submissions to be removed, and after which recipient's id to go on; `None` at the end.

    No index leads to them (it would cost every submission), but recipients have ids in the order
    of their arrival: once a submission came after that time, all later ones end after it, too.
    One with many recipients may be found in two pages.
    """
    page = select(_r.id, _r.submission).where(_r.id > after).order_by(_r.id).limit(limit)
    rows = tx.connection.execute(page).all()
    heads: dict[int, Any] = {}
    for chunk in chunks(sorted({row.submission for row in rows})):
        query = select(
            _s.id, _s.recipients, _s.received_ms, _is_over(finished_before).label("is_over")
        )
        heads |= {row.id: row for row in tx.connection.execute(query.where(_s.id.in_(chunk)))}
    found: dict[int, Old] = {}
    for row in rows:
        head = heads[row.submission]
        if head.received_ms >= to_ms(finished_before):
            return list(found.values()), None
        if head.is_over:
            found[head.id] = Old(head.id, head.recipients)
    return list(found.values()), rows[-1].id if rows else None


def purge(tx: Tx, submissions: Sequence[int], finished_before: datetime) -> int:
    """Removes those of these submissions whose term is over, with all that hangs on them."""
    lock = select(_s.id).where(_s.id.in_(submissions), _is_over(finished_before))
    ids = list(tx.connection.execute(lock.order_by(_s.id).with_for_update()).scalars())
    if ids:
        uses.gather_submissions(tx, ids)
        tx.connection.execute(_COUNT[tx.dialect](_counted(ids)))
        for table, column in (
            (tables.recipient, _r.submission),
            (tables.content, tables.content.c.submission),
            (tables.submission, _s.id),
        ):
            tx.connection.execute(delete(table).where(column.in_(ids)))
    return len(ids)


def purge_campaigns(tx: Tx, silent_before: datetime, limit: int = 500) -> int:
    """Removes campaigns without submissions whose term is over, with their counts."""
    ids = list(tx.connection.execute(_old_campaigns(silent_before).limit(limit)).scalars())
    if ids:
        counts = campaign_count.c
        tx.connection.execute(delete(campaign_count).where(counts.campaign.in_(ids)))
        tx.connection.execute(delete(tables.campaign).where(_c.id.in_(ids)))
    return len(ids)


def count_submissions(tx: Tx, finished_before: datetime) -> tuple[int, int]:
    """How many submissions and recipients would go now."""
    query = select(func.count(), func.coalesce(func.sum(_s.recipients), 0)).where(
        _is_over(finished_before)
    )
    submissions, recipients = tx.connection.execute(query).one()
    return submissions, int(recipients)


def count_campaigns(tx: Tx, silent_before: datetime, finished_before: datetime) -> int:
    """How many campaigns would go now, with the submissions that go before them."""
    staying = exists().where(
        _s.campaign_id == _c.id, _s.campaign_id.is_not(None), ~_is_over(finished_before)
    )
    query = select(func.count()).where(_c.last_submission_ms < to_ms(silent_before), ~staying)
    return int(tx.connection.execute(query).scalar_one())


def _is_over(finished_before: datetime) -> ColumnElement[bool]:
    """Finished long ago, and nobody is still to be told anything about it."""
    untold = exists().where(_r.submission == _s.id, is_untold())
    return _s.finished_ms.is_not(None) & (_s.finished_ms < to_ms(finished_before)) & ~untold


def _old_campaigns(silent_before: datetime) -> Select[Any]:
    kept = exists().where(_s.campaign_id == _c.id, _s.campaign_id.is_not(None))
    return select(_c.id).where(_c.last_submission_ms < to_ms(silent_before), ~kept)


def _counted(submissions: Sequence[int]) -> Select[Any]:
    """Recipients of campaigns, as `campaign_report` counts them; the columns of the table."""
    return (
        select(_s.campaign_id, _r.verdict, _r.reason, _r.state, func.count().label("recipients"))
        .join_from(tables.submission, tables.recipient, _r.submission == _s.id)
        .where(_s.id.in_(submissions), _s.campaign_id.is_not(None))
        .group_by(_s.campaign_id, _r.verdict, _r.reason, _r.state)
        .order_by(_s.campaign_id, _r.verdict, _r.reason, _r.state)
    )


def _adding(insert: Any) -> Any:
    def of(counted: Select[Any]) -> Any:
        names = ["campaign", "verdict", "reason", "state", "recipients"]
        statement = insert(campaign_count).from_select(names, counted)
        total = campaign_count.c.recipients + statement.excluded.recipients
        return statement.on_conflict_do_update(
            index_elements=names[:-1], set_={"recipients": total}
        )

    return of


_COUNT = {"sqlite": _adding(sqlite.insert), "postgresql": _adding(postgresql.insert)}
