"""What the door asks of whoever stands behind it."""

from collections.abc import Awaitable
from typing import Protocol

from gatepost.mail.envelope import Arrival, Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.mail.verdict import Verdict


class Handler(Protocol):
    """The conductor behind a listener. Whatever it raises is answered `451 4.3.0`."""

    def check_recipient(
        self, arrival: Arrival, mail_from: str, recipient: Recipient
    ) -> Verdict | Awaitable[Verdict | None] | None:
        """The verdict where it is known at RCPT, `None` where it is not yet.

        Only a verdict of `reject` refuses the recipient; every other is answered `250`.
        Not asked for postmaster (R5321-2), nor on a listener for returns.
        """

    async def take(self, arrival: Arrival, envelope: Envelope, content: bytes) -> Reply:
        """Accept or refuse the message; a 2yz reply only once it is stored durably.

        `content` has CRLF line ends and no dot-stuffing. Never cancelled because the client
        went away.
        """

    def abandoned(self, arrival: Arrival, envelope: Envelope) -> None:
        """Called when a transaction with refused recipients ends without a `take`."""
