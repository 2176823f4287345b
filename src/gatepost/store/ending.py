"""When the last recipient of a submission is finished, so is the submission.

In: ids of submissions whose rows were just changed, in this transaction. Out: nothing;
`finished_ms` is set where no row is open, from which the content's retention counts.
"""

from collections.abc import Iterable

from sqlalchemy import bindparam, literal_column, select, update

from gatepost.store import hot
from gatepost.store.engine import Tx
from gatepost.store.tables import mail as tables

_s, _r = tables.submission.c, tables.recipient.c

# One row that is open, looked for with each submission: PostgreSQL makes no join of this, in which
# it would read all that is open, with a plan from the time when that was little.
_OPEN = select(_r.id).where(_r.submission == _s.id, _r.finished_ms.is_(None)).limit(1)
_CLOSE = (
    update(tables.submission)
    .where(
        _s.id.in_(bindparam("ids", expanding=True)),
        _s.finished_ms.is_(None),
        _OPEN.scalar_subquery().is_(None),
    )
    .values(finished_ms=bindparam("at"))
)
# Two gateways may finish the last two rows at once, each seeing the other's as open: whoever
# comes second waits here, and looks again with the first one's row finished. Of a single row
# there is nobody else to finish the last.
_TAKE_TURNS = (
    select(_s.id)
    .where(_s.id.in_(bindparam("ids", expanding=True)), _s.recipients > literal_column("1"))
    .order_by(_s.id)
    .with_for_update(key_share=True)
)


def close_finished(tx: Tx, submissions: Iterable[int]) -> None:
    """Sets `finished_ms` of those whose rows are all finished."""
    touched = sorted(set(submissions))
    if not touched:
        return
    for start in range(0, len(touched), hot.MAX_LIST):
        some = touched[start : start + hot.MAX_LIST]
        if tx.dialect == "postgresql":
            hot.compile_once(_TAKE_TURNS, tx.dialect).later(tx, {"ids": some})
        hot.compile_once(_CLOSE, tx.dialect).later(tx, {"ids": some, "at": tx.now_ms})
