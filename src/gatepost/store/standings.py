"""Standings, read through from beginning to end, a portion at a time.

In: a stream, where the last portion ended. Out: the people on record for it, as decisions see
them, in the order of their ids; who is erased has no address and is left out.

*Known limits:* who comes or goes while somebody reads through may be seen or not.
"""

from sqlalchemy import select

from gatepost.consent.standing import Person
from gatepost.mail.address import Address
from gatepost.store import people
from gatepost.store.tables.ledger import standing, subject
from gatepost.store.transaction import Tx

PORTION = 2000


def portion(
    tx: Tx, stream: str, sender: str, *, after: int = 0, limit: int = PORTION
) -> tuple[list[tuple[Address, Person]], int | None]:
    """The next people of `stream`, and where to go on; `None` where there are no more."""
    rows = tx.connection.execute(
        select(standing.c.subject, subject.c.address)
        .select_from(standing.join(subject, subject.c.id == standing.c.subject))
        .where(standing.c.stream == stream, standing.c.subject > after)
        .order_by(standing.c.subject)
        .limit(limit)
    ).all()
    found = people.look_up_subjects(tx, [row.subject for row in rows], stream, sender)
    given = ((people.as_address(row.address), row.subject) for row in rows if row.address)
    known = [(address, found[number]) for address, number in given if address is not None]
    return known, rows[-1].subject if len(rows) == limit else None
