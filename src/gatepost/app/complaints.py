"""The clocks of complaint cases: started, run out, and what follows (WP-14).

When upstream has taken the notice of a case, the sender has `complaints.answer_within` to
answer. Then it is frozen, once per case, if `complaints.freeze_unanswered` says so, and its
contact is told why and what to do, in the same transaction.

In: the configuration. Out: senders frozen, and a submission of our own for each.
*Fails:* `StoreUnavailable`; the next round tries again.
*Known limits:* wall-clock hours, not business hours (C2), to one turn of the chore.
"""

from collections.abc import Callable
from functools import partial

from gatepost import maillog
from gatepost.app.wiring import Wiring
from gatepost.mail.address import AddressError, parse
from gatepost.mail.envelope import Recipient
from gatepost.mail.letters import frozen_unanswered
from gatepost.store import complaint_cases
from gatepost.store.complaint_cases import Expired
from gatepost.store.engine import Store, Tx
from gatepost.store.ids import new_id, to_text
from gatepost.store.spool import reports
from gatepost.store.spool.put import put
from gatepost.store.spool.rows import Heading


class Complaints:
    """Watches the clocks. Safe to run in several gateways at once."""

    def __init__(self, store: Store, wiring: Callable[[], Wiring]) -> None:
        self._store = store
        self._wiring = wiring

    async def watch(self) -> None:
        """Starts the clocks that are to start, and acts on those that have run out."""
        await self._store.write(complaint_cases.note_deliveries)
        wiring = self._wiring()
        for one in await self._store.write(partial(self._expire, wiring=wiring)):
            maillog.complaints_unanswered(one.sender, one.cases, frozen=one.froze)

    def _expire(self, tx: Tx, wiring: Wiring) -> list[Expired]:
        given = wiring.settings.complaints
        expired = complaint_cases.expire(
            tx, given.answer_within.before(tx.now), freezes=given.freeze_unanswered
        )
        for one in expired:
            if one.froze:
                _tell(tx, wiring, one)
        return expired


def _tell(tx: Tx, wiring: Wiring, expired: Expired) -> None:
    """Mails the contact, where there is one."""
    sender = wiring.policy.senders.get(expired.sender)
    if sender is None:
        return
    try:
        to = Recipient(parse(sender.contact))
    except AddressError:
        return
    number, host = new_id(), wiring.hostname
    mail = frozen_unanswered(
        host=host,
        to=sender.contact,
        sender=sender.name,
        cases=complaint_cases.named(expired.cases),
        first=expired.cases[0],
        within=str(wiring.settings.complaints.answer_within),
        date=tx.now,
        message_id=f"<{to_text(number)}@{host}>",
    )
    job = reports.own_mail(
        id=number, at=tx.now, recipient=to, content=mail, upstream=sender.upstream,
        heading=Heading(subject=f"{sender.name} is frozen: {complaint_cases.named(expired.cases)}"),
        hostname=host, smtputf8=not to.address.is_ascii, sender=sender.name,
    )  # fmt: skip
    put(tx, [job])
