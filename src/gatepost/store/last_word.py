"""Who leaves now has the last word: an ending is later than whatever it ends.

A standing is made of the times of acts, so that facts may come in any order. The times of what
happens now come from a clock, and clocks are put right: a virtual machine that was woken is hours
behind, one without a battery may have been ahead. A withdrawal that came by such a clock would be
older than the consent it ends, and be lost. So what is recorded as it happens, and speaks against
mailing, is dated behind all that is on record of the person; when it was recorded stands in the
event beside it. What is told of the past keeps its time.

In: entries, while the people concerned are locked. Out: the same, or with a later time.

*Fails:* whatever the database raises.
*Known limits:* who comes back before that time has come stays out until then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import bindparam, select

from gatepost.consent.fold import decode
from gatepost.consent.standing import Standing
from gatepost.store.events import Entry
from gatepost.store.hot import compile_once
from gatepost.store.subjects import chunks
from gatepost.store.tables.ledger import ENDINGS, standing, suppression
from gatepost.store.times import from_ms, to_ms
from gatepost.store.transaction import Tx

_STANDINGS = select(standing.c.subject, standing.c.state).where(
    standing.c.subject.in_(bindparam("subjects", expanding=True))
)
_LIFTED = select(suppression.c.subject, suppression.c.lifted_ms).where(
    suppression.c.subject.in_(bindparam("subjects", expanding=True)),
    suppression.c.lifted_ms.is_not(None),
)


def behind_all(tx: Tx, entries: Sequence[Entry]) -> Sequence[Entry]:
    """`entries`, with no ending that happens now before what is on record; at once, it wins."""
    now = {entry.subject for entry in entries if _ends_now(tx, entry)}
    if not now:
        return entries
    latest = _latest(tx, sorted(now))
    return [
        entry._replace(fact=replace(entry.fact, at=from_ms(latest[entry.subject] + 1)))
        if _ends_now(tx, entry) and latest.get(entry.subject, -1) > to_ms(entry.fact.at)
        else entry
        for entry in entries
    ]


def _ends_now(tx: Tx, entry: Entry) -> bool:
    return entry.fact.kind in ENDINGS and to_ms(entry.fact.at) >= tx.now_ms


def _latest(tx: Tx, subjects: Sequence[int]) -> dict[int, int]:
    """The latest time that speaks for mailing each of them, where there is any."""
    found: dict[int, int] = {}
    for chunk in chunks(subjects):
        asked = {"subjects": chunk}
        standings = compile_once(_STANDINGS, tx.dialect).later(tx, asked)
        lifted = compile_once(_LIFTED, tx.dialect).later(tx, asked)
        for of, state in standings():
            found[of] = max([found.get(of, -1), *_times(decode(state))])
        for of, lifted_ms in lifted():
            found[of] = max(found.get(of, -1), lifted_ms)
    return found


def _times(known: Standing) -> Iterable[int]:
    said = [max(grant.at, grant.effective_at) for grant in known.grants]
    return (to_ms(moment) for moment in (*said, known.welcomed_at) if moment)
