"""Whose mail a message claims to be, and whom it shows to others.

In: traits, the stream and its sender. Out: what does not match, in words (WP-9, G-5); and
`Exposure`, which says whether a recipient's copy would show other recipients.

*Fails:* never; a sender's address that cannot be read is nobody's.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from gatepost.flow.classify.traits import Traits
from gatepost.mail.address import Address
from gatepost.mail.fields import Mailbox
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream


def find_mismatch(traits: Traits, stream: Stream, sender: Sender | None) -> str:
    """What about From or Sender is not the sender's, in words; "" if all is well.

    Bulk mail has exactly one From address; other mail is looked at only where its stream has a
    sender.
    """
    if stream.is_bulk and (traits.from_fields > 1 or len(traits.from_) > 1):
        return "From names more than one address"
    if sender is None:
        return ""
    if not traits.from_:
        return "From names no address"
    named = [("From", one) for one in traits.from_] + [("Sender", one) for one in traits.sender]
    found = (_mismatch_of(field, mailbox, sender) for field, mailbox in named)
    return next(filter(None, found), "")


def _mismatch_of(field: str, mailbox: Mailbox, sender: Sender) -> str:
    if mailbox.address is None:
        return f"{field} holds something that is no address"
    if not sender.may_send_as(mailbox.address):
        return f"{field} {mailbox.address.key} is not an address of {sender.name}"
    if not sender.may_call_itself(mailbox.name):
        return f"the name in {field} is not one of {sender.name}"
    return ""


@dataclass(frozen=True, slots=True)
class Exposure:
    """The addresses in To, Cc and their Resent- kin that are not the sender's own, by key.

    `exposed` are those among them that are recipients in the envelope, too.
    """

    shown: frozenset[str]
    exposed: frozenset[str]

    def shows_others_to(self, recipient: Address) -> bool:
        """Whether the copy for `recipient` would show somebody else who gets the mailing.

        That is another recipient of the same envelope or, where the recipient is shown itself,
        anybody beside it: mailers that send one transaction per recipient show lists, too.
        """
        key = recipient.key
        if self.exposed - {key}:
            return True
        return key in self.shown and len(self.shown) > 1


def find_exposure(traits: Traits, recipients: Iterable[Address], sender: Sender | None) -> Exposure:
    """Whom copies of this message would show; `recipients` are those of the envelope."""
    named = (*(mailbox.address for mailbox in traits.shown), *traits.stray)
    shown = frozenset(
        address.key for address in named if address and not (sender and sender.may_send_as(address))
    )
    if not shown:
        return Exposure(shown, shown)
    return Exposure(shown, shown.intersection(recipient.key for recipient in recipients))
