"""Joining streams: what is recorded when somebody asks for them, and which letter follows.

In: the transaction, who asks and for what. Out: facts, a sign-up that waits for its
confirmation, letters; all in that one transaction. A stream with double opt-in is asked for
(REQUESTED) and counts from the confirmation on (JU-17); any other is joined at once (GRANTED,
or RESUBSCRIBED where the person had left) and gets a welcome (JU-18).

Whoever once complained or was erased, or whose address bounced, must confirm whatever the stream
says: a form shows only that somebody knows the address (E4).

One letter asks for a confirmation, and there is no reminder (JU-19, L-DE-5). Asking again by
one's own act sends another one only after `Confirming.again`; until then the letter that was
sent also confirms what was asked for later, which its page shows. The same request within that
time is recorded once.

*Fails:* whatever the database raises.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.standing import Person
from gatepost.consent.tokens import Claim, Purpose, Ring, stream_tag
from gatepost.mail.address import Address
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream
from gatepost.store import people, signups
from gatepost.store.ids import new_id, to_text
from gatepost.store.signups import SignUp
from gatepost.store.subjects import lock
from gatepost.store.transaction import Tx
from gatepost.web import words
from gatepost.web.choices import must_confirm
from gatepost.web.site import Confirming, Letters
from gatepost.web.visitor import Visitor

BASIS = "newsletter-form"
CONFIRM_PATH = "c/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody asks for, as the evidence will describe it. `notes` are by stream.

    `channels` and `categories` are what the source limits the consent to (`as_origin`).
    """

    sender: Sender
    streams: Sequence[Stream]
    language: str
    visitor: Visitor
    method: str
    text_state: TextState
    source: str = ""
    text_version: str = ""
    url: str = ""
    channels: str = ""
    categories: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    def fact(self, kind: EventKind, at: datetime, stream: Stream, *, basis: str) -> Fact:
        """The fact that the ledger records for one of the streams."""
        return Fact(
            kind=kind,
            at=at,
            sender=self.sender.name,
            stream=stream.name,
            basis=basis,
            source=self.source,
            text_version=self.text_version,
            text_state=self.text_state,
            actor="recipient",
            method=self.method,
            url=self.url,
            channels=self.channels,
            categories=self.categories,
            ip=self.visitor.ip,
            user_agent=self.visitor.user_agent,
            welcome_due=kind is not EventKind.REQUESTED,
            note=self.notes.get(stream.name, ""),
        )


@dataclass(frozen=True, slots=True)
class Known:
    """Whom it is about, and where letters go."""

    subject: int
    address: Address


@dataclass(frozen=True, slots=True)
class Joined:
    """What was recorded: streams asked for, streams joined; letters written for each."""

    subject: int
    asked: Sequence[Stream]
    joined: Sequence[Stream]
    letters: int


class Joiner:
    """Joins people, by the settings and keys in force."""

    def __init__(
        self, letters: Letters, ring: Callable[[], Ring], confirming: Callable[[], Confirming]
    ) -> None:
        self._letters = letters
        self._ring = ring
        self._confirming = confirming

    def join(self, tx: Tx, address: Address, wanted: Wanted) -> Joined:
        """Records the wish of whoever says to be `address`, and writes what follows from it."""
        subject = people.ensure_subjects(tx, [address])[address.key]
        lock(tx, [subject])  # two gateways write one letter between them
        persons = {one.name: _person(tx, subject, one) for one in wanted.streams}
        asked = [one for one in wanted.streams if must_confirm(one, persons[one.name])]
        direct = [
            one
            for one in wanted.streams
            if one not in asked and not self._was_joined(tx, one, persons[one.name])
        ]
        if asked and self._was_asked(tx, wanted, asked, persons):
            asked = []
        facts = [wanted.fact(EventKind.REQUESTED, tx.now, one, basis="") for one in asked]
        facts += [
            wanted.fact(_kind_of_joining(persons[one.name]), tx.now, one, basis=BASIS)
            for one in direct
        ]
        people.record(tx, address, facts)
        to = Known(subject, address)
        letters = self._ask(tx, to, wanted, asked) if asked else 0
        for stream in direct:
            letters += self._welcome(tx, to, wanted, stream, persons[stream.name])
        return Joined(subject, asked, direct, letters)

    def _was_asked(
        self, tx: Tx, wanted: Wanted, asked: Sequence[Stream], persons: Mapping[str, Person]
    ) -> bool:
        """Whether the same request already waits for its confirmation."""
        subject = persons[asked[0].name].subject
        again = SignUp(
            id=0, subject=subject, sender=wanted.sender.name, source=wanted.source,
            text_version=wanted.text_version, streams=tuple(one.name for one in asked),
            language=wanted.language, requested_at=tx.now,
        )  # fmt: skip
        left = [persons[one.name].standing.withdrawn_at for one in asked]
        floor = max((moment for moment in left if moment), default=None)
        waiting = self._waiting(tx, subject, wanted.sender)
        return any(
            one.covers(again) and (floor is None or one.requested_at > floor) for one in waiting
        )

    def _waiting(self, tx: Tx, subject: int, sender: Sender) -> list[SignUp]:
        """What an earlier letter asks to confirm, while no other one is sent."""
        confirming = self._confirming()
        since = max(confirming.again.before(tx.now), confirming.within.before(tx.now))
        return signups.unconfirmed(tx, subject, sender.name, since)

    def _ask(self, tx: Tx, to: Known, wanted: Wanted, asked: Sequence[Stream]) -> int:
        """Keeps the sign-up; one letter, unless one is on its way or was there just now."""
        subject = to.subject
        waiting = self._waiting(tx, subject, wanted.sender)
        number, confirming = new_id(), self._confirming()
        letter = None
        if not any(one.submission for one in waiting):
            claim = Claim(subject, stream_tag(asked[0].name), number)
            token = self._ring().seal(Purpose.CONFIRM, claim)
            letter = self._letters(
                tx,
                to=to.address,
                sender=wanted.sender,
                template="confirm",
                language=wanted.language,
                note=f"asks to confirm the sign-up {to_text(number)}",
                stream=asked[0],
                values={
                    "titles": [words.title(one, wanted.language) for one in asked],
                    "asked_on": tx.now,
                    "until": confirming.within.after(tx.now),
                    "confirm_url": f"{wanted.sender.public_url}/{CONFIRM_PATH}{token}"
                    f"?lang={wanted.language}",
                },
                confirms=True,
            )
        signups.add(
            tx,
            SignUp(
                id=number,
                subject=subject,
                sender=wanted.sender.name,
                source=wanted.source,
                text_version=wanted.text_version,
                streams=tuple(one.name for one in asked),
                language=wanted.language,
                requested_at=tx.now,
                submission=letter,
            ),
        )
        return int(letter is not None)

    def _was_joined(self, tx: Tx, stream: Stream, person: Person) -> bool:
        """Whether the person joined just now, and has not left since."""
        written = signups.last_welcomed(tx, person.subject, stream.name)
        if written is None or written < self._confirming().again.before(tx.now):
            return False
        return written > max(
            [moment for moment in (person.standing.withdrawn_at, person.erased_at) if moment]
            + [one.since for one in person.suppressions],
            default=datetime.min.replace(tzinfo=written.tzinfo),
        )

    def _welcome(self, tx: Tx, to: Known, wanted: Wanted, stream: Stream, person: Person) -> int:
        if person.standing.is_welcomed and not person.suppressions and not person.erased_at:
            return 0  # has had one, and has not left since
        number = new_id()
        self._letters(
            tx,
            to=to.address,
            sender=wanted.sender,
            template="welcome",
            language=wanted.language,
            note=f"welcome to {stream.name}",
            stream=stream,
            values={
                "asked_on": tx.now,
                "description": words.description(stream, wanted.language),
            },
            one_click=Claim(to.subject, stream_tag(stream.name), number),
            submission=number,
        )
        signups.add_welcome(tx, number, to.subject, wanted.sender.name, stream.name)
        return 1


def _kind_of_joining(person: Person) -> EventKind:
    """Only coming back lifts what was said against it; for whoever never left it is a grant."""
    left = person.standing.withdrawn_at or person.erased_at or person.suppressions
    return EventKind.RESUBSCRIBED if left else EventKind.GRANTED


def _person(tx: Tx, subject: int, stream: Stream) -> Person:
    return people.look_up_subjects(tx, [subject], stream.name, stream.sender)[subject]
