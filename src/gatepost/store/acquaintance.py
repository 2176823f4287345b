"""Whether anything is on record of a person for one sender: asked before a link is mailed.

In: a transaction, an address, a sender. Out: the subject id, or `None`. A sender learns and tells
nothing of what others have on record; a suppression for every sender is everyone's.

*Known limits:* mail that was sent without any event is looked for without an index, among the
rows that retention has left.
"""

from sqlalchemy import select

from gatepost.mail.address import Address
from gatepost.store import people
from gatepost.store.tables.mail import recipient, submission
from gatepost.store.transaction import Tx


def known_to(tx: Tx, address: Address, sender: str) -> int | None:
    """The subject behind `address`, if `sender` has anything on record of it."""
    history = people.history(tx, address)
    if history is None:
        return None
    facts = (event.fact for event in history.events)
    if (
        any(fact is not None and fact.sender == sender for fact in facts)
        or any(one.sender in {sender, ""} for one in history.suppressions)
        or _was_mailed(tx, history.subject, sender)
    ):
        return history.subject
    return None


def _was_mailed(tx: Tx, subject: int, sender: str) -> bool:
    found = tx.connection.execute(
        select(recipient.c.id)
        .select_from(recipient.join(submission, submission.c.id == recipient.c.submission))
        .where(recipient.c.subject == subject, submission.c.sender == sender)
        .limit(1)
    )
    return found.first() is not None
