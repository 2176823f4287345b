"""What the administrator decided, as one value: streams, senders and bases.

In: the names and facts that a conductor has. Out: the verdict for a recipient. A reload
replaces the whole value, so that nobody ever sees half of a new configuration.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from gatepost.consent.bases import Bases
from gatepost.consent.standing import Person
from gatepost.flow.decide.case import Case
from gatepost.flow.decide.rules import decide
from gatepost.mail.address import Address
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Kind, Stream
from gatepost.mail.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is the same for every recipient of a message. See `Case` for each."""

    mismatch: str = ""
    override: str = ""
    unmodifiable: bool = False
    undeclared_bulk: bool = False
    categories: frozenset[str] = frozenset()


NOTHING_SPECIAL = Facts()


class NotConfiguredError(LookupError):
    """Stream or sender of a mail have left the configuration, or each other, since it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Streams and senders by name, and what each basis is worth."""

    streams: Mapping[str, Stream]
    senders: Mapping[str, Sender]
    bases: Bases

    def sender_of(self, stream: Stream) -> Sender | None:
        """The sender of `stream`, `None` for personal mail without one."""
        return self.senders.get(stream.sender)

    def upstream_of(self, stream: Stream) -> str:
        """The name of the upstream for `stream`: its own, its sender's, or "" (the default)."""
        sender = self.sender_of(stream)
        return stream.upstream or (sender.upstream if sender else "")

    def route_of(self, stream: str, sender: str) -> str:
        """The same by names, of which the configuration may not know any more."""
        known, whose = self.streams.get(stream), self.senders.get(sender)
        if known is not None:
            return self.upstream_of(known)
        return whose.upstream if whose else ""

    def knows(self, stream: str, sender: str, kind: Kind) -> bool:
        """Whether mail that was taken for these names can go as what it was taken for.

        What we write ourselves has no stream, and needs none. Bulk mail needs the stream's and
        the sender's words: nobody can leave a mailing without. And they must belong together: who
        leaves a stream leaves it with the sender it has now. Other mail does not become bulk on
        its way: nobody was found for its links to stand for.
        """
        if not stream:
            return True
        known, is_bulk = self.streams.get(stream), kind is Kind.BULK
        if known is None or known.is_bulk is not is_bulk:
            return False
        return not is_bulk or (known.sender == sender and sender in self.senders)

    def needs_standing(self, stream: str) -> bool:
        """Whether a decision on `stream` looks at the ledger: it is about a sender's mail."""
        known = self.streams.get(stream)
        return known is not None and bool(known.sender)

    def judge(
        self,
        stream: Stream,
        address: Address,
        person: Person,
        now: datetime,
        facts: Facts = NOTHING_SPECIAL,
        *,
        campaign_stopped: bool = False,
        sender_frozen: bool = False,
        open_recipients: bool = False,
    ) -> Verdict:
        """The verdict on one recipient, at `now`."""
        return decide(
            Case(
                stream=stream,
                sender=self.senders.get(stream.sender),
                address=address,
                person=person,
                now=now,
                bases=self.bases,
                campaign_stopped=campaign_stopped,
                sender_frozen=sender_frozen,
                mismatch=facts.mismatch,
                override=facts.override,
                open_recipients=open_recipients,
                unmodifiable=facts.unmodifiable,
                undeclared_bulk=facts.undeclared_bulk,
                categories=facts.categories,
            )
        )
