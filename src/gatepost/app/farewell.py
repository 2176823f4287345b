"""The notice to who has left: one line, and a link to undo it.

In: the transaction that recorded the withdrawal, so that there is one notice for it or none, and
what the link said. Out: a letter to the person's own address, whoever it was that used the link,
for senders with `unsubscribe_notice`. Never asked for after one click in a mail client, whose user
knows what they did, nor for whoever leaves and comes back all day.

*Fails:* what `Correspondence` raises.
"""

from collections.abc import Callable, Mapping

from gatepost.consent.tokens import Claim, Purpose, Ring
from gatepost.flow.decide.policy import Policy
from gatepost.mail.address import Address
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream
from gatepost.store import people
from gatepost.store.returned import is_worth_telling
from gatepost.store.streams import KnownStream
from gatepost.store.transaction import Tx
from gatepost.web.site import Letters

TEMPLATE = "unsubscribe-notice"


class Farewell:
    """Writes the notice, by the configuration in force."""

    def __init__(
        self, letters: Letters, policy: Callable[[], Policy], ring: Callable[[], Ring]
    ) -> None:
        self._letters = letters
        self._policy = policy
        self._ring = ring

    def write(
        self,
        tx: Tx,
        claim: Claim,
        known: KnownStream,
        language: str,
        asked_by: Address | None = None,
    ) -> Address | None:
        """Whom it was written to; `None` if there is none to write.

        To the person who left by a mail, `asked_by`, it is the reply to that (RD-5).
        """
        streams: Mapping[str, Stream] = self._policy().streams
        senders: Mapping[str, Sender] = self._policy().senders
        stream, sender = streams.get(known.name), senders.get(known.sender)
        if stream is None or sender is None or not sender.unsubscribe_notice:
            return None
        to = people.address_of(tx, claim.subject)
        if to is None or not is_worth_telling(tx, claim.subject):
            return None
        token = self._ring().seal(Purpose.UNSUBSCRIBE, claim)
        self._letters(
            tx,
            to=to,
            sender=sender,
            template=TEMPLATE,
            language=language,
            note="notice of a withdrawal",
            stream=stream,
            auto="auto-replied"
            if asked_by is not None and asked_by.key == to.key
            else "auto-generated",
            values={"link": f"{sender.public_url.rstrip('/')}/u/{token}?lang={language}"},
        )
        return to
