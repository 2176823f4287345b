"""The head of the ledger, mailed to whoever sends bulk mail, once a week or month.

A head that lies in somebody else's mailbox is what shows later that the end of the ledger was
not cut off (DESIGN promise 5). The mail and the note that it was made are one transaction, so
that each contact gets it once per period, whatever the number of gateways and restarts.

In: the configuration. Out: submissions of our own, put into the spool.

*Fails:* `StoreUnavailable`; the next round tries again.
*Known limits:* periods are weeks from Monday and months, in UTC. While there is no block yet
there is nothing to keep, and nothing is mailed.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import assert_never

from gatepost.app.wiring import Wiring
from gatepost.config.gateway import LedgerSettings
from gatepost.mail.address import AddressError, parse
from gatepost.mail.envelope import Recipient
from gatepost.mail.letters import ledger_head
from gatepost.mail.sender import Sender
from gatepost.store import ledger, remarks
from gatepost.store.engine import Store, Tx
from gatepost.store.ids import new_id, to_text
from gatepost.store.spool import reports
from gatepost.store.spool.put import put
from gatepost.store.spool.rows import Heading


class HeadMail:
    """Mails the head where that is due. Safe to run in several gateways at once."""

    def __init__(self, store: Store, wiring: Callable[[], Wiring]) -> None:
        self._store = store
        self._wiring = wiring

    async def send(self) -> int:
        """Sends the mails that are due; says how many."""
        period = _period(self._wiring().settings.ledger, self._store.now())
        if not period:
            return 0
        made = 0
        for sender in _receivers(self._wiring()):
            made += await self._store.write(partial(self._mail, sender=sender, period=period))
        return made

    def _mail(self, tx: Tx, sender: Sender, period: str) -> int:
        height, digest = ledger.head(tx)
        if not height or not remarks.note_change(tx, f"head mailed {sender.name}", period):
            return 0
        try:
            to = Recipient(parse(sender.contact))
        except AddressError:
            return 0
        number, host = new_id(), self._wiring().hostname
        mail = ledger_head(
            host=host,
            to=sender.contact,
            head=f"{height}:{digest}",
            height=height,
            date=tx.now,
            message_id=f"<{to_text(number)}@{host}>",
        )
        job = reports.own_mail(
            id=number, at=tx.now, recipient=to, content=mail, upstream=sender.upstream,
            heading=Heading(subject="The head of the ledger"), hostname=host,
            smtputf8=not to.address.is_ascii, sender=sender.name,
        )  # fmt: skip
        put(tx, [job])
        return 1


def _receivers(wiring: Wiring) -> Iterator[Sender]:
    """The senders of bulk mail, those with the same contact once."""
    bulk = {stream.sender for stream in wiring.policy.streams.values() if stream.is_bulk}
    told: set[str] = set()
    for name, sender in sorted(wiring.policy.senders.items()):
        if name in bulk and sender.contact and sender.contact.casefold() not in told:
            told.add(sender.contact.casefold())
            yield sender


def _period(given: LedgerSettings, now: datetime) -> str:
    """The week or month of `now`; "" where no head is to be mailed."""
    match given.mail_head:
        case "weekly":
            year, week, _ = now.isocalendar()
            return f"{year}-W{week:02}"
        case "monthly":
            return f"{now:%Y-%m}"
        case "never":
            return ""
        case _:
            assert_never(given.mail_head)
