"""Strangers: subjects of whom nothing is on record, and whose address goes with their mail.

Mail to a stranger may need a subject for its links; without an event, its only trace is the
address. It is of no use when the rows of that mail are gone, so those rows lead to it: a look
is noted (`looks`) for whoever has no event when rows of theirs are removed.

In: subjects, or submissions that are about to go. Out: who they are; addresses blanked.
*Fails:* whatever the database raises.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, exists, select, update

from gatepost.store import looks
from gatepost.store.hot import compile_once
from gatepost.store.looks import STRANGERS, Look
from gatepost.store.subjects import chunks
from gatepost.store.tables.ledger import event, standing, subject
from gatepost.store.tables.mail import recipient
from gatepost.store.times import to_ms
from gatepost.store.transaction import Tx

_s, _r = subject.c, recipient.c
_UNRECORDED = ~exists().where(event.c.subject == _s.id)
_AMONG = select(_s.id).where(
    _s.id.in_(bindparam("ids", expanding=True)),
    _s.address.is_not(None),
    ~exists().where(standing.c.subject == _s.id),  # first: it is the cheaper question
    _UNRECORDED,
)


def of_mail(tx: Tx, submissions: Sequence[int]) -> list[int]:
    """Recipients of these submissions of whom nothing is on record."""
    found: set[int] = set()
    for chunk in chunks(submissions):
        query = (
            select(_r.subject)
            .where(
                _r.submission.in_(chunk),
                _r.subject.is_not(None),
                ~exists().where(event.c.subject == _r.subject),
            )
            .distinct()
        )
        found.update(tx.connection.execute(query).scalars())
    return sorted(found)


def among(tx: Tx, ids: Sequence[int]) -> list[int]:
    """Those of `ids` of whom nothing is on record but their address."""
    hot = compile_once(_AMONG, tx.dialect)
    return sorted(row[0] for chunk in chunks(ids) for row in hot.rows(tx, {"ids": chunk}))


class Split(NamedTuple):
    """Whose address is of no use, and who is to be looked at again in the next run."""

    idle: Sequence[int]
    later: Sequence[int]


def split(tx: Tx, ids: Sequence[int], before: datetime) -> Split:
    """Who among `ids` is older than that, with no mail that waits, and who is not so yet.

    Looks at all mail that waits, so it is for a reader.
    """
    created: dict[int, int] = {}
    waiting: set[int] = set()
    for chunk in chunks(ids):
        query = select(_s.id, _s.created_ms).where(
            _s.id.in_(chunk), _s.address.is_not(None), _UNRECORDED
        )
        created |= {row.id: row.created_ms for row in tx.connection.execute(query)}
    for chunk in chunks(sorted(created)):
        mail = select(_r.subject).where(_r.finished_ms.is_(None), _r.subject.in_(chunk))
        waiting.update(tx.connection.execute(mail).scalars())
    until = to_ms(before)
    later = [n for n, created_ms in created.items() if n in waiting or created_ms >= until]
    return Split(sorted(created.keys() - set(later)), sorted(later))


def forget(tx: Tx, idle: Sequence[int], looked_at: Iterable[int]) -> int:
    """Blanks the addresses of those who are still unknown; how many. Their links work on."""
    done = 0
    for chunk in chunks(idle):
        blank = update(subject).where(_s.id.in_(chunk), _UNRECORDED).values(address=None)
        done += tx.connection.execute(blank).rowcount
    looks.strike(tx, [Look(STRANGERS, number) for number in looked_at])
    return done
