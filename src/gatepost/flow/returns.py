"""Conductor of what comes back: accept → feedback → store, then "250".

In: mail on a returns listener. Out: facts in the ledger, committed before the reply:

- a bounce at the return path of one copy: a hard one suppresses the address for the sender,
  soft ones are counted (`store/returned.py`), policy bounces only raise an alarm (RA-5);
- a feedback report wherever it comes: no bulk mail of that sender any more (RA-3), and a case
  that the sender's contact is told of and has to answer (WP-14);
- an unsubscribe mail with its token: the stream is left, and the mail answered once (RD-6).

Only a token that verifies does anything (RA-4); an address with a token that does not is
refused at RCPT. What no program understands, and whatever comes for postmaster and abuse, is
handed on to the sender's contact, whole, in the same transaction, so that nothing is lost
(RA-6).

*Fails:* a store out of reach is `451 4.4.3`. Mail for a person is refused where its sender has
no contact, or one that would bring it back here; beyond 20 an hour from one network (a private
one is not told apart), or 200 to one contact, it is put off (`450 4.7.0`); a malformed report
then counts without being shown.
*Known limits:* reports are not authenticated beyond their token: whoever holds a copy of a
mail can leave by it as well. One reply answers for all recipients: it is `250` if the mail was
of use for any of them.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from gatepost import houselog, maillog
from gatepost.consent.tokens import Claim, Purpose, Ring, stream_tag
from gatepost.feedback.bounces import Severity, find_bounces, judge_all
from gatepost.feedback.complaints import Complaint, find_complaint, find_reported_copy
from gatepost.feedback.mailboxes import Mailbox, Place, find_mailbox
from gatepost.feedback.marks import Marks, find_original
from gatepost.feedback.unsubscribes import is_automatic, tokens_in_subject
from gatepost.flow.accept import replies
from gatepost.flow.accept.clients import peer_address
from gatepost.flow.accept.guessing import network_of
from gatepost.flow.accept.pace import Pace
from gatepost.flow.decide.policy import Policy
from gatepost.mail.address import Address, AddressError, parse
from gatepost.mail.envelope import Arrival, Envelope, Recipient
from gatepost.mail.fields import parse_mailboxes
from gatepost.mail.letters import confirmation, forwarded
from gatepost.mail.message import Message, scan
from gatepost.mail.peer import is_near
from gatepost.mail.reply import Reply
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream
from gatepost.store import complaint_cases, returned
from gatepost.store.engine import Store, StoreFull, StoreUnavailable, Tx
from gatepost.store.ids import new_id, to_text
from gatepost.store.people import UnknownSubject
from gatepost.store.returned import Copy, Made
from gatepost.store.spool.put import put
from gatepost.store.spool.reading import submissions
from gatepost.store.spool.reports import own_mail
from gatepost.store.spool.rows import Heading
from gatepost.store.streams import KnownStream, stream_of_tag

MAX_HOPS = 100  # Received fields (RFC 5321 §6.3)
MAX_LETTERS = 10  # handed on, each within the next
MAX_FROM = 2000  # characters of a From that are read
TAKEN = Reply(250, "2.0.0", "Taken")
TOO_MUCH = Reply(450, "4.7.0", "Too much mail for people, try later")
FROM_NETWORK = 20, 3600.0  # mails for people from one network, within seconds
TO_CONTACT = 200, 3600.0
NOBODY = Reply(550, "5.2.1", "Nobody reads this mailbox")

Notify = Callable[[Tx, Claim, KnownStream, str, Address], Address | None]
Confirm = Callable[[Stream | None, KnownStream, Sender], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Bounced:
    """A bounce of the copy that `claim` names; `words` is the report's reason."""

    claim: Claim
    severity: Severity
    words: str


@dataclass(frozen=True, slots=True)
class ForPeople:
    """Mail that no program understands."""

    mailbox: Address
    sender: Sender | None


@dataclass(frozen=True, slots=True)
class Complained:
    """A complaint about the copy that `claim` names, and who is to see it.

    They see it if it opens a case, and if it is `malformed`.
    """

    claim: Claim
    kind: str
    for_people: ForPeople
    malformed: bool = False


@dataclass(frozen=True, slots=True)
class Left:
    """Somebody leaves by mail; `mailbox` took it and is where a person would look for it."""

    claim: Claim
    mailbox: Address
    sender: Sender | None


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Nothing to do, and why."""

    kind: str
    why: str


Errand = Bounced | Complained | Left | ForPeople | PassedOver


@dataclass(frozen=True, slots=True, eq=False)
class _Post:
    """One mail that came back."""

    envelope: Envelope
    content: bytes
    message: Message


@dataclass(slots=True)
class _Settled:
    """What a transaction did: whose mail ends, what to log, and whether the mail was of use."""

    endings: list[tuple[int, str, str]] = field(default_factory=list)
    events: list[tuple[str, str, str, str]] = field(default_factory=list)
    taken: bool = False

    def note(self, kind: str, outcome: str, stream: str = "", words: str = "") -> None:
        self.events.append((kind, outcome, stream, words))
        self.taken = True


def _nobody(
    _tx: Tx, _claim: Claim, _known: KnownStream, _language: str, _asked_by: Address
) -> Address | None:
    return None


class Returns:
    """What stands behind the returns listeners (`accept.handler.Handler`).

    `on_ended(subject, sender, stream)` is called after the commit and before the reply, with
    stream "" for all mail of the sender. `confirm` writes subject and text of the answer to an
    unsubscribe mail; `notify` may write a notice to the person themselves, and says to whom.
    `mailboxes` names the addresses that mails of before name for leaving, and their senders.
    """

    def __init__(
        self,
        *,
        store: Store,
        ring: Callable[[], Ring],
        policy: Callable[[], Policy],
        hostname: Callable[[], str],
        soft_limit: Callable[[], int],
        confirm: Confirm,
        on_ended: Callable[[int, str, str], None],
        notify: Notify = _nobody,
        mailboxes: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._store = store
        self._ring = ring
        self._policy = policy
        self._hostname = hostname
        self._soft_limit = soft_limit
        self._confirm = confirm
        self._on_ended = on_ended
        self._notify = notify
        self._mailboxes = mailboxes
        self._from_network, self._to_contact = Pace(*FROM_NETWORK), Pace(*TO_CONTACT)

    def accepts(self, address: Address) -> bool:
        """Whether mail to `address` is for us: asked at RCPT. A token must verify (RA-4)."""
        mailbox = self._mailbox(address)
        if mailbox is None:
            return False
        if not mailbox.token:
            return True
        purpose = Purpose.BOUNCE if mailbox.place is Place.BOUNCES else Purpose.MAILTO
        return self._ring().open_from_address(purpose, mailbox.token) is not None

    def check_recipient(self, _arrival: Arrival, _mail_from: str, _recipient: Recipient) -> None:
        """Never asked on a listener for returns."""

    def abandoned(self, arrival: Arrival, envelope: Envelope) -> None:
        """Nothing to keep."""

    async def take(self, arrival: Arrival, envelope: Envelope, content: bytes) -> Reply:
        """The reply to the end of data."""
        post = _Post(envelope, content, await asyncio.to_thread(scan, content))
        if len(post.message.values("received")) >= MAX_HOPS:
            return replies.LOOP
        errands = await asyncio.to_thread(self._read, post)
        if not self._keeps_pace(arrival, [one for one in errands if isinstance(one, ForPeople)]):
            maillog.returned("mail", "put off: too much for people")
            return TOO_MUCH
        errands = [self._within_pace(arrival, one) for one in errands]

        def settle(tx: Tx) -> _Settled:
            done = _Settled()
            for errand in errands:
                self._settle(tx, post, errand, done)
            return done

        try:
            done = await self._store.write(settle)
        except StoreUnavailable as error:
            houselog.store_unavailable("returns", error)
            return replies.NO_STORAGE if isinstance(error, StoreFull) else replies.STORE_AWAY
        for ending in done.endings:
            self._on_ended(*ending)
        for kind, outcome, stream, words in done.events:
            maillog.returned(kind, outcome, stream=stream, words=words)
        return TAKEN if done.taken else NOBODY

    def _keeps_pace(self, arrival: Arrival, errands: Iterable[ForPeople]) -> bool:
        """Nobody fills a contact's mailbox through ours; what programs understand has no limit."""
        contacts = {errand.sender.contact for errand in errands if errand.sender}
        if not contacts:
            return True
        peer = peer_address(arrival.peer)
        if not is_near(peer) and not self._from_network.allows(network_of(peer)):
            return False
        return all(map(self._to_contact.allows, contacts))

    def _within_pace(self, arrival: Arrival, errand: Errand) -> Errand:
        """A malformed report is the same as any; that people see it as well has a limit."""
        match errand:
            case Complained(malformed=True):
                shown = self._keeps_pace(arrival, [errand.for_people])
                return replace(errand, malformed=shown)
            case _:
                return errand

    # Reading: what is to be done for each recipient

    def _read(self, post: _Post) -> list[Errand]:
        complaint = find_complaint(post.message)
        errands: list[Errand] = []
        for recipient in post.envelope.recipients:
            address = recipient.address
            mailbox = self._mailbox(address)
            if mailbox is None:
                errands.append(ForPeople(address, None))
            elif mailbox.place is Place.BOUNCES:
                errands += self._at_return_path(post, address, mailbox, complaint)
            elif complaint is not None:
                errands += self._report(address, mailbox, complaint)
            elif mailbox.place is Place.LEAVING:
                errands.append(self._leaving(post, address, mailbox))
            else:
                errands.append(self._in_person(post, address, mailbox))
        return errands

    def _at_return_path(
        self, post: _Post, address: Address, mailbox: Mailbox, complaint: Complaint | None
    ) -> Iterable[Errand]:
        claim = self._ring().open_from_address(Purpose.BOUNCE, mailbox.token)
        if claim is None:
            yield PassedOver("bounce", "forged")
        elif complaint is not None:
            yield from self._report(address, mailbox, complaint, claim)
        elif bounces := find_bounces(post.message):
            yield Bounced(claim, *judge_all(bounces))
        elif is_automatic(post.message, post.envelope.mail_from):
            yield PassedOver("bounce", "not recognised")  # absences, mostly
        else:
            yield ForPeople(address, self._sender_of(claim))

    def _report(
        self,
        address: Address,
        mailbox: Mailbox,
        complaint: Complaint,
        claim: Claim | None = None,
    ) -> Iterable[Errand]:
        claim = claim or self._claim_of(complaint.marks)
        for_people = ForPeople(address, self._sender_of(claim) or mailbox.sender)
        if claim and complaint.is_praise:
            yield PassedOver("complaint", complaint.type)
        elif claim and complaint.is_against:
            yield Complained(claim, complaint.type, for_people, complaint.malformed)
        else:
            yield for_people

    def _leaving(self, post: _Post, address: Address, mailbox: Mailbox) -> Errand:
        tokens = [mailbox.token, *tokens_in_subject(post.message)]
        claim = self._open(Purpose.MAILTO, tokens)
        if claim is not None:
            return Left(claim, address, mailbox.sender)
        if is_automatic(post.message, post.envelope.mail_from):
            return PassedOver("unsubscribe", "automatic, without a token")
        return ForPeople(address, mailbox.sender)

    def _in_person(self, post: _Post, address: Address, mailbox: Mailbox) -> Errand:
        if mailbox.place is Place.COMPLAINTS:
            claim = self._claim_of(find_reported_copy(post.message))
            if claim is not None:
                sender = self._sender_of(claim) or mailbox.sender
                return Complained(claim, "abuse", ForPeople(address, sender))
        return ForPeople(address, mailbox.sender)

    def _claim_of(self, marks: Marks) -> Claim | None:
        ring = self._ring()
        found = (ring.open(Purpose.UNSUBSCRIBE, token) for token in marks.links)
        return (
            next((claim for claim in found if claim), None)
            or self._open(Purpose.MAILTO, marks.addresses)
            or self._open(Purpose.BOUNCE, marks.addresses)
        )

    def _open(self, purpose: Purpose, tokens: Iterable[str]) -> Claim | None:
        ring = self._ring()
        found = (ring.open_from_address(purpose, token) for token in tokens)
        return next((claim for claim in found if claim), None)

    def _mailbox(self, address: Address) -> Mailbox | None:
        return self._configured(address) or self._of_before(address)

    def _configured(self, address: Address) -> Mailbox | None:
        policy = self._policy()
        return find_mailbox(address, policy.senders, policy.streams, self._hostname())

    def _of_before(self, address: Address) -> Mailbox | None:
        sender = self._mailboxes().get(address.key)
        if sender is None:
            return None
        return Mailbox(Place.LEAVING, self._policy().senders.get(sender))

    # Settling: inside the transaction, which may be run again

    def _settle(self, tx: Tx, post: _Post, errand: Errand, done: _Settled) -> None:
        try:
            match errand:
                case PassedOver(kind, why):
                    done.note(kind, why)
                case ForPeople():
                    self._hand_on(tx, post, errand, done)
                case Bounced():
                    self._settle_bounce(tx, errand, done)
                case Complained():
                    self._settle_complaint(tx, post, errand, done)
                case Left():
                    self._settle_leaving(tx, post, errand, done)
                case _:
                    assert_never(errand)
        except UnknownSubject:  # the token is ours, but of a store that this one is not
            if isinstance(errand, Left):  # who wants to leave is never turned away
                self._hand_on(tx, post, ForPeople(errand.mailbox, errand.sender), done)
                return
            done.note("report", "of a copy that is not on record")
            if isinstance(errand, Complained) and errand.malformed:
                self._hand_on(tx, post, errand.for_people, done)

    def _settle_bounce(self, tx: Tx, bounced: Bounced, done: _Settled) -> None:
        known, copy = _origin(tx, bounced.claim)
        severity, words = bounced.severity, bounced.words
        made = returned.record_bounce(tx, copy, severity, words, self._soft_limit())
        if made is Made.SUPPRESSED:
            done.endings.append((copy.subject, known.sender, ""))
        done.note(f"{severity} bounce", made, known.name, words)

    def _settle_complaint(
        self, tx: Tx, post: _Post, complained: Complained, done: _Settled
    ) -> None:
        """Opens a case, of which the sender's contact is told (WP-14), or joins one."""
        known, copy = _origin(tx, complained.claim)
        then = submissions(tx, [copy.submission]).get(copy.submission)
        if then is not None and then.sender in self._policy().senders.keys() - {known.sender}:
            # The stream has changed hands: whoever has it now is left, whoever wrote is told.
            returned.record_leaving(tx, copy, known.name, returned.METHOD)
            done.endings.append((copy.subject, known.sender, known.name))
            copy = replace(copy, sender=then.sender)
        made = returned.record_complaint(tx, copy, complained.kind)
        done.endings.append((copy.subject, copy.sender, ""))
        done.note("complaint", made, known.name, complained.kind)
        case = None
        if made is not Made.KNOWN:
            case = complaint_cases.open_or_join(tx, copy, known.name, complained.kind)
        if case is not None or complained.malformed:
            told = complained.for_people
            told = replace(told, sender=self._policy().senders.get(copy.sender, told.sender))
            notice = self._hand_on(tx, post, told, done, case)
            if case is not None and notice is not None:
                complaint_cases.tell(tx, case, notice)

    def _settle_leaving(self, tx: Tx, post: _Post, left: Left, done: _Settled) -> None:
        known, copy = _origin(tx, left.claim)
        made = returned.record_leaving(tx, copy, known.name)
        done.endings.append((copy.subject, known.sender, known.name))
        done.note("unsubscribe", made, known.name)
        if made is Made.WITHDRAWN:
            self._answer(tx, post, left, known)

    def _answer(self, tx: Tx, post: _Post, left: Left, known: KnownStream) -> None:
        """Answers once, a person only, and only the envelope sender (RD-5, RD-6).

        A program that writes is a mail client's one click, and tells nobody.
        """
        policy, mail_from = self._policy(), post.envelope.mail_from
        sender, stream = policy.senders.get(known.sender), policy.streams.get(known.name)
        to = _address(mail_from)
        if sender is None or to is None or is_automatic(post.message, mail_from):
            return
        if not returned.is_worth_telling(tx, left.claim.subject):
            return
        noticed = self._notify(tx, left.claim, known, stream.language if stream else "", to)
        if noticed is not None and noticed.key == to.key:
            return  # who asked is told already, with a way to undo it
        subject, text = self._confirm(stream, known, sender)
        number, hostname = new_id(), self._hostname()
        mail = confirmation(
            name=sender.legal_name,
            address=sender.unsubscribe_mailto or left.mailbox.given,
            to=mail_from,
            subject=subject,
            text=text,
            in_reply_to=post.message.value("message-id"),
            date=tx.now,
            message_id=f"<{to_text(number)}@{hostname}>",
        )
        job = own_mail(
            id=number, at=tx.now, recipient=Recipient(to), content=mail,
            upstream=policy.upstream_of(stream) if stream else sender.upstream,
            heading=Heading(subject=subject), hostname=hostname, smtputf8=not to.is_ascii,
            sender=sender.name,
        )  # fmt: skip
        put(tx, [job])

    def _hand_on(
        self,
        tx: Tx,
        post: _Post,
        errand: ForPeople,
        done: _Settled,
        case: int | None = None,
    ) -> int | None:
        """Mails it to the contact, as which submission; where there is none, it is not taken."""
        mailbox, sender = errand.mailbox, errand.sender
        hostname = self._hostname()
        to = _address(sender.contact) if sender else None
        if sender is None or to is None or self._configured(to):
            return None
        if case is None and _comes_round(post, hostname, to):
            return None  # a case is told of in any event, and each once
        number = new_id()
        mail = forwarded(
            host=hostname,
            to=to.given,
            mailbox=mailbox.given,
            mail_from=post.envelope.mail_from,
            original=post.content,
            date=tx.now,
            message_id=f"<{to_text(number)}@{hostname}>",
            case=case or 0,
        )
        job = own_mail(
            id=number, at=tx.now, recipient=Recipient(to), content=mail, upstream=sender.upstream,
            heading=Heading(subject=f"Mail to {mailbox.given}"), hostname=hostname,
            smtputf8=not to.is_ascii, body="7BIT" if mail.isascii() else "8BITMIME",
            sender=sender.name,
        )  # fmt: skip
        put(tx, [job])
        done.note("mail", "handed on")
        return number

    def _sender_of(self, claim: Claim | None) -> Sender | None:
        """Whose mail the copy was, as far as it is configured."""
        policy = self._policy()
        for name, stream in policy.streams.items():
            if claim is not None and stream_tag(name) == claim.stream:
                return policy.sender_of(stream)
        return None


def _origin(tx: Tx, claim: Claim) -> tuple[KnownStream, Copy]:
    """The stream and the copy that `claim` names. Raises `UnknownSubject`."""
    known = stream_of_tag(tx, claim.stream)
    if known is None:
        raise UnknownSubject("no stream has this tag")
    return known, Copy(claim.subject, known.sender, claim.submission)


def _comes_round(post: _Post, hostname: str, to: Address) -> bool:
    """Whether a program at `to` wrote this, or it is a letter of our own, perhaps in another's.

    So a contact that answers everything, or another gateway whose contact we are, makes no loop.
    """
    message: Message | None = post.message
    if is_automatic(post.message, post.envelope.mail_from) and to.key in _authors(post.message):
        return True
    for _ in range(MAX_LETTERS):
        if message is None or message.value("auto-submitted").lower() in {"", "no"}:
            return False
        if f"postmaster@{hostname}".lower() in _authors(message):
            return True
        message = find_original(message)
    return True


def _authors(message: Message) -> set[str]:
    """The keys of the addresses in From."""
    found = parse_mailboxes(message.value("from")[:MAX_FROM])
    return {one.address.key for one in found if one.address}


def _address(text: str) -> Address | None:
    try:
        return parse(text)
    except AddressError:
        return None
