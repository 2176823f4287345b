"""Every address that copies ever named for leaving by mail, so that old mails can still be left by.

People leave by mails of years ago (HR-5), whose `mailto:` is plain, with the token in its subject;
an address that has left the configuration since would be refused at RCPT.

In: the addresses of the configuration, at start and reload. Out: all there ever were, each with
its sender's name.
*Fails:* whatever the database raises.
"""

from collections.abc import Mapping

from sqlalchemy import select

from gatepost.store.remarks import note_change
from gatepost.store.tables.ledger import meta
from gatepost.store.transaction import Tx

_NAMED = "unsubscribe address: "


def remember_mailboxes(tx: Tx, mailboxes: Mapping[str, str]) -> dict[str, str]:
    """Remembers `mailboxes`, senders' names by keys of addresses; all that are remembered."""
    for key, sender in mailboxes.items():
        note_change(tx, _NAMED + key, sender)
    query = select(meta.c.name, meta.c.value).where(meta.c.name.startswith(_NAMED))
    return {row.name.removeprefix(_NAMED): row.value for row in tx.connection.execute(query)}
