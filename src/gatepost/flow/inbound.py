"""Conductor of the way in: accept → classify → decide → spool, then "250".

In: an envelope and a content, from the door. Out: the reply; a 2yz only after message,
recipients and verdicts are committed together (promise 1). Looking up, deciding and inserting
happen in one transaction of the store's writer, so that no withdrawal can slip in between.

*Fails:* a store out of reach is `451 4.4.3`, never "250" and never fail-open; anything that
nobody foresaw is `451 4.3.0`, said by the door.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from gatepost import houselog, maillog
from gatepost.consent.standing import STRANGER
from gatepost.flow.accept import replies
from gatepost.flow.classify import (
    Choice,
    Exposure,
    Refusal,
    Rule,
    Suspicion,
    Traits,
    bound_stream,
    campaign_key,
    choose_stream,
    find_exposure,
    find_mismatch,
    fingerprint,
    header_names,
    override_reason,
    personal_words,
    read_traits,
)
from gatepost.flow.decide.policy import Facts, Policy
from gatepost.flow.edit.leaves import takes_footer
from gatepost.flow.edit.trace import passed_here
from gatepost.flow.spool.queue import Queue
from gatepost.flow.spool.states import after_verdict
from gatepost.mail.address import Address
from gatepost.mail.envelope import Arrival, Envelope, Recipient
from gatepost.mail.message import Defect, Message, scan
from gatepost.mail.recipient_state import State
from gatepost.mail.reply import Reply
from gatepost.mail.stream import Kind, Stream
from gatepost.mail.verdict import Disposition, Reason, Verdict
from gatepost.store import campaigns, content, ids, people
from gatepost.store.clock import steady
from gatepost.store.engine import Store, StoreFull, StoreUnavailable, Tx
from gatepost.store.spool.rows import (
    CampaignDraft,
    Claimed,
    Heading,
    PutJob,
    PutResult,
    RowDraft,
    Snapshot,
    TextSighting,
)

MAX_HOPS = 100  # Received fields (RFC 5321 §6.3)
LARGE = 256 * 1024  # octets; above, scanning leaves the event loop and the content goes ahead

_REFUSED = (Defect.REPEATED_FIELD, Defect.TOO_MANY_FIELDS)  # R5322-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorting:
    """How mail is sorted: the rules of classification, and what looks like undeclared bulk."""

    hostname: str
    suspicion: Suspicion
    rules: Sequence[Rule] = ()
    detect_bulk: bool = True
    hold_undeclared_bulk: bool = False
    bulk_window: timedelta = timedelta(hours=1)
    headers: frozenset[str] = field(init=False)  # that the rules look at

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", header_names(self.rules))


class RefusedForNow(Exception):  # noqa: N818  an answer, not a mistake
    """Everybody is refused with a 4yz: the mailer keeps the message, nothing is put on record."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Onward(Protocol):
    """The way out, as far as the way in hands things over (`outbound.Outbound`)."""

    def room(self, upstream: str, *, urgent: bool) -> int:
        """How many rows may be claimed while they are put; `urgent` is what is not bulk."""

    def offer(self, rows: Sequence[Claimed], message: Message, decided_at: datetime) -> None:
        """Takes over rows that were claimed while they were put."""

    def wake(self) -> None:
        """Something is due in the store."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One message on its way through the rooms."""

    id: int
    arrival: Arrival
    envelope: Envelope
    content: bytes
    message: Message
    traits: Traits
    stream: Stream
    how: str
    facts: Facts
    exposure: Exposure
    counted: int  # recipients that bulk detection looks at; 0 where it does not look
    sighting: TextSighting | None


class Inbound:
    """What stands behind the submission listeners (`accept.handler.Handler`)."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        onward: Onward,
        policy: Callable[[], Policy],
        sorting: Callable[[], Sorting],
        quarantine_until: Callable[[datetime], datetime],
    ) -> None:
        self._store = store
        self._queue = queue
        self._onward = onward
        self._policy = policy
        self._sorting = sorting
        self._quarantine_until = quarantine_until
        self._keeping: set[asyncio.Task[None]] = set()

    def check_recipient(
        self, arrival: Arrival, _mail_from: str, recipient: Recipient
    ) -> Awaitable[Verdict | None] | None:
        """The verdict at RCPT, where the stream is known and its ineligible are rejected.

        `None` at once everywhere else: a task for each RCPT would cost more than its answer.
        """
        choice = bound_stream(arrival)
        if not isinstance(choice, Choice):
            return None
        policy = self._policy()
        stream = policy.streams.get(choice.stream)
        if stream is None or stream.on_ineligible is not Disposition.REJECT:
            return None
        if arrival.client.may_override and arrival.client.trust_headers:
            return None  # the header may still bring an override
        return self._refuse_at_once(arrival, recipient, stream, policy)

    async def _refuse_at_once(
        self, arrival: Arrival, recipient: Recipient, stream: Stream, policy: Policy
    ) -> Verdict | None:
        try:
            verdict = await self._store.read(
                partial(_judge_alone, policy, stream, recipient.address)
            )
        except StoreUnavailable as error:
            houselog.store_unavailable("look-up", error)
            return None  # after DATA it is either back, or answered 451 4.4.3
        if verdict.disposition is not Disposition.REJECT:
            return None
        maillog.recipient_refused(
            client=arrival.client.name,
            stream=stream.name,
            recipient=recipient.address.key,
            reason=verdict.reason,
        )
        return verdict

    def abandoned(self, arrival: Arrival, envelope: Envelope) -> None:
        """Puts refusals at RCPT on record where no message followed them (promise 2)."""
        task = asyncio.get_running_loop().create_task(self._keep_refusals(arrival, envelope))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _keep_refusals(self, arrival: Arrival, envelope: Envelope) -> None:
        choice = bound_stream(arrival)
        stream = self._policy().streams.get(choice.stream if isinstance(choice, Choice) else "")
        if stream is None or not envelope.refused:
            return
        rows = [
            RowDraft(recipient, verdict, State.REJECTED) for recipient, verdict in envelope.refused
        ]
        try:
            await self._queue.put(
                PutJob(
                    id=ids.new_id(),
                    arrival=arrival,
                    envelope=replace(envelope, recipients=()),
                    stream=stream.name,
                    kind=stream.kind,
                    sender=stream.sender,
                    heading=Heading(),
                    content=b"",
                    decide=lambda _snapshot: rows,
                    needs_standing=False,
                )
            )
        except StoreUnavailable as error:
            houselog.store_unavailable("put", error)

    async def take(self, arrival: Arrival, envelope: Envelope, content: bytes) -> Reply:
        """The reply to the end of data."""
        case = await self._read(arrival, envelope, content)
        if isinstance(case, Reply):
            return self._refuse(arrival, envelope, "", case)
        if case.stream.is_bulk and not envelope.mail_from:
            return self._refuse(arrival, envelope, case.stream.name, replies.NULL_SENDER)
        try:
            result = await self._put(case)
        except StoreUnavailable as error:
            houselog.store_unavailable("put", error)
            return replies.NO_STORAGE if isinstance(error, StoreFull) else replies.STORE_AWAY
        except RefusedForNow as refusal:
            return self._refuse(
                arrival, envelope, case.stream.name, replies.for_reason(refusal.reason)
            )
        return self._answer(case, result)

    async def _read(self, arrival: Arrival, envelope: Envelope, content: bytes) -> "Case | Reply":
        """Scanning and classification."""
        if len(content) > LARGE:
            return await asyncio.to_thread(self._classify, arrival, envelope, content)
        return self._classify(arrival, envelope, content)

    def _classify(self, arrival: Arrival, envelope: Envelope, content: bytes) -> "Case | Reply":
        sorting, policy = self._sorting(), self._policy()
        message = scan(content)
        hops = message.values("received")
        if len(hops) >= MAX_HOPS or passed_here(hops, sorting.hostname):
            return replies.LOOP
        refused = next((one for one in _REFUSED if one in message.defects), None)
        if refused is not None:
            return replies.malformed(refused.value)
        traits = read_traits(message, sorting.headers)
        recipients = [recipient.address for recipient in envelope.recipients]
        choice = choose_stream(traits, arrival, sorting.rules, policy.streams, len(recipients))
        if isinstance(choice, Refusal):
            return replies.stream_refused(choice.text)
        stream = policy.streams[choice.stream]
        sender = policy.sender_of(stream)
        facts = Facts(
            mismatch=find_mismatch(traits, stream, sender),
            override=override_reason(traits, arrival.client),
            unmodifiable=message.must_keep_its_body
            or not takes_footer(message)
            or (arrival.client.keep_dkim and message.carries_dkim),
        )
        looked_at = sorting.detect_bulk and not stream.is_bulk
        counted = sorting.suspicion.count(recipients) if looked_at else 0
        return Case(
            id=ids.new_id(),
            arrival=arrival,
            envelope=envelope,
            content=content,
            message=message,
            traits=traits,
            stream=stream,
            how=choice.how,
            facts=facts,
            exposure=find_exposure(traits, recipients, sender),
            counted=counted,
            sighting=self._sighting(message, traits, counted) if counted else None,
        )

    def _sighting(self, message: Message, traits: Traits, counted: int) -> TextSighting | None:
        """The text for the store to count; `None` for one that says too little."""
        text = fingerprint(message, personal_words(traits))
        return TextSighting(text, counted, self._sorting().bulk_window) if text else None

    async def _put(self, case: Case) -> PutResult:
        policy = self._policy()
        staged = len(case.content) > LARGE
        if staged:
            await content.stage(self._store, case.id, case.content)
        upstream = policy.upstream_of(case.stream)
        # With no pause from here to `put`, or all who come meanwhile would get the same room.
        room = self._onward.room(upstream, urgent=not case.stream.is_bulk)
        decided_at = steady()
        campaign = campaign_key(case.traits, case.arrival.client) if case.stream.is_bulk else None
        result = await self._queue.put(
            PutJob(
                id=case.id,
                arrival=case.arrival,
                envelope=case.envelope,
                stream=case.stream.name,
                kind=case.stream.kind,
                sender=case.stream.sender,
                heading=_heading(case),
                content=case.content,
                staged=staged,
                decide=lambda snapshot: self._decide(case, policy, snapshot, upstream, room),
                needs_standing=bool(case.stream.sender),
                campaign=CampaignDraft(
                    key=campaign.key, name=campaign.name, explicit=campaign.explicit
                )
                if campaign
                else None,
                sighting=case.sighting,
                lease=self._queue.first_lease,
            )
        )
        if result.claimed:
            self._onward.offer(result.claimed, case.message, decided_at)
        delivering = sum(
            count for (verdict, _), count in result.counts.items() if verdict == "deliver"
        )
        if len(result.claimed) < delivering:
            self._onward.wake()
        return result

    def _decide(
        self, case: Case, policy: Policy, snapshot: Snapshot, upstream: str, room: int
    ) -> list[RowDraft]:
        """The verdict on each recipient; runs inside the accepting transaction."""
        facts = self._facts(case, snapshot)
        judged = [
            (recipient, self._judge(case, policy, snapshot, facts, recipient))
            for recipient in case.envelope.recipients
        ]
        if all(verdict.disposition is Disposition.REJECT for _, verdict in judged):
            _let_try_again(verdict.reason for _, verdict in judged)
        else:
            judged = [(recipient, _dropped(verdict)) for recipient, verdict in judged]
        rows = []
        for recipient, verdict in [*judged, *case.envelope.refused]:
            state = after_verdict(verdict)
            claim = state is State.READY and room > 0
            room -= claim
            rows.append(
                RowDraft(
                    recipient,
                    verdict,
                    state,
                    upstream=upstream,
                    needs_subject=case.stream.is_bulk and verdict.delivers,
                    claim=claim,
                    expires=self._quarantine_until(snapshot.now)
                    if state is State.QUARANTINED
                    else None,
                )
            )
        return rows

    def _judge(
        self, case: Case, policy: Policy, snapshot: Snapshot, facts: Facts, recipient: Recipient
    ) -> Verdict:
        address = recipient.address
        if address.key == f"postmaster@{self._sorting().hostname}":
            return Verdict(Disposition.DELIVER, Reason.PERSONAL, "postmaster")  # R5321-2
        return policy.judge(
            case.stream,
            address,
            snapshot.persons.get(address.key, STRANGER),
            snapshot.now,
            facts,
            campaign_stopped=snapshot.campaign_stopped,
            sender_frozen=snapshot.sender_frozen,
            open_recipients=case.stream.is_bulk and case.exposure.shows_others_to(address),
        )

    def _facts(self, case: Case, snapshot: Snapshot) -> Facts:
        sorting = self._sorting()
        if not sorting.suspicion.judge(case.counted, snapshot.seen_in_window):
            return case.facts
        maillog.undeclared_bulk(
            ids.to_text(case.id), client=case.arrival.client.name, stream=case.stream.name,
            recipients=case.counted + snapshot.seen_in_window,
        )  # fmt: skip
        return Facts(
            mismatch=case.facts.mismatch,
            override=case.facts.override,
            unmodifiable=case.facts.unmodifiable,
            undeclared_bulk=sorting.hold_undeclared_bulk,
        )

    def _answer(self, case: Case, result: PutResult) -> Reply:
        reference = ids.to_text(result.submission)
        verdicts = {verdict for verdict, _ in result.counts}
        if verdicts == {Disposition.REJECT}:
            commonest = max(result.counts, key=lambda key: result.counts[key])
            reply = replies.for_reason(Reason(commonest[1]))
            return self._refuse(case.arrival, case.envelope, case.stream.name, reply)
        maillog.accepted(
            reference,
            client=case.arrival.client.name,
            peer=case.arrival.peer,
            stream=case.stream.name,
            how=case.how,
            campaign=str(result.campaign or ""),
            size=len(case.content),
            counts=result.counts,
        )
        return replies.accepted(reference)

    def _refuse(self, arrival: Arrival, envelope: Envelope, stream: str, reply: Reply) -> Reply:
        maillog.refused(
            client=arrival.client.name,
            peer=arrival.peer,
            stream=stream,
            recipients=len(envelope.recipients),
            reply=str(reply),
        )
        return reply


def _judge_alone(policy: Policy, stream: Stream, address: Address, tx: Tx) -> Verdict:
    """The verdict on one recipient while its message is not known yet."""
    persons = people.look_up(tx, [address], stream.name, stream.sender)
    return policy.judge(
        stream,
        address,
        persons.get(address.key, STRANGER),
        tx.now,
        sender_frozen=stream.sender in campaigns.frozen_senders(tx),
    )


def _let_try_again(reasons: Iterable[Reason]) -> None:
    """Raises `RefusedForNow` where the reply will be a temporary one."""
    commonest = Counter(reasons).most_common(1)
    if commonest and replies.for_reason(commonest[0][0]).temporary:
        raise RefusedForNow(commonest[0][0])


def _dropped(verdict: Verdict) -> Verdict:
    """One reply answers for all: where somebody is taken, nobody can be rejected (R5321-11)."""
    if verdict.disposition is not Disposition.REJECT:
        return verdict
    return Verdict(Disposition.DROP, verdict.reason, verdict.rule, verdict.since, verdict.note)


_LIST_FIELDS = frozenset({
    b"list-unsubscribe", b"list-unsubscribe-post", b"list-id", b"list-help", b"list-post",
    b"list-owner", b"list-subscribe", b"list-archive", b"feedback-id", b"precedence",
})  # fmt: skip


def _heading(case: Case) -> Heading:
    from_ = next((str(one.address) for one in case.traits.from_ if one.address), "")
    replaced = ""
    if case.stream.kind is Kind.BULK:
        replaced = "\n".join(
            f"{one.name.decode('ascii')}: {one.text}"
            for one in case.message.root.fields
            if one.name in _LIST_FIELDS
        )
    return Heading(
        message_id=case.message.value("message-id")[:998],
        subject=case.traits.subject[:998],
        header_from=from_,
        replaced=replaced[:8000],
    )
