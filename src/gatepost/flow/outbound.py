"""Conductor of the way out: spool → decide again → edit → transmit → spool.

In: what `inbound` put and what is due in the store. Out: copies at upstream, outcomes in the
store. A row is claimed and decided in one transaction; copies are composed ahead of the wire,
some 16 at a time, in threads where they are large or signed; the list of fresh withdrawals is
asked before the first byte.

Nobody waits behind what is not theirs: each upstream has feeders of its own, and among these mail
that is not bulk has some, and so has what is large (`spool/hand.py`). The store is asked as soon as
little is in hand, and from time to time for some of what came meanwhile.

An upstream that goes away takes nothing with it: what was in hand for it goes back to the
spool, where it ages, and where another gateway may find it. On its return it gets one copy, and
the rest when that has gone well. What went wrong by upstream's fault is tried again soon, unless
the copy may have arrived.

*Fails:* never for one mail's sake: what cannot be composed is set aside (`held`) and counted.
A store out of reach stops claiming until it is back; outcomes are kept until they are written.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import random
from typing import Protocol, TypeVar, TypeVarTuple

from gatepost import houselog, maillog
from gatepost.consent.standing import STRANGER
from gatepost.flow.decide.policy import Facts, Policy
from gatepost.flow.spool.hand import IN_HAND, LANES, Hand, Lane, lane_of
from gatepost.flow.spool.queue import Queue
from gatepost.flow.spool.rotation import Work
from gatepost.flow.spool.schedule import STANDARD, UPSTREAMS_FAULT, Schedule, next_attempt
from gatepost.flow.spool.states import after_review
from gatepost.flow.transmit.copy import Copy
from gatepost.flow.transmit.load import Load
from gatepost.flow.transmit.pool import Pool
from gatepost.flow.transmit.turns import Turns
from gatepost.mail.envelope import Recipient
from gatepost.mail.message import Message, scan
from gatepost.mail.outcome import Outcome, Result, Scope
from gatepost.mail.recipient_state import State
from gatepost.mail.reply import Reply
from gatepost.mail.stream import Kind
from gatepost.mail.verdict import Reason, Verdict
from gatepost.store.campaigns import FROZEN
from gatepost.store.engine import StoreUnavailable
from gatepost.store.ids import to_text
from gatepost.store.spool.rows import Claimed, Marked, Review, Ruling, Submission

T = TypeVar("T")
Given = TypeVarTuple("Given")

IDLE_SECONDS = 2.0  # how long a row that fell due may wait unnoticed
SETTLE_SECONDS = 2.0  # for the last outcomes to be written
HELD_BACK = timedelta(seconds=1)
MEMORY = 100_000_000  # octets
COUNT_SECONDS = 0.1  # a metric is changed once for all copies of such a while
SMALL = 16 * 1024  # octets; up to there a plan is made on the event loop
FEEDERS = 2  # per lane: composing and waiting for the wire overlap
SMALL_SHARE = 8  # a part of the memory, for copies of small messages

POSTMASTER = "postmaster"  # the rule by which our own postmaster gets everything (R5321-2)
EXPIRED = Reply(554, "5.4.7", "delivery time expired")
SET_ASIDE = Reply(451, "4.3.0", "set aside: the copy could not be composed")


@dataclass(slots=True, eq=False)
class Tag:
    """What a copy is to us: its rows, and when they were decided."""

    rows: tuple[Claimed, ...]
    decided_at: datetime


class Composed(Protocol):
    """A submission made ready. `cheap` says that composing is not worth a thread."""

    @property
    def cheap(self) -> bool: ...  # noqa: D102

    @property
    def weight(self) -> int:
        """The octets that are held as long as this is."""

    @property
    def together(self) -> int:
        """For how many rows copies may be made at once."""

    def weigh(self, rows: int) -> int:
        """The octets of the copies for so many rows."""

    def copies(self, rows: Sequence[Claimed], decided_at: datetime) -> list[Copy]:
        """One copy per row for bulk mail, one for all rows otherwise; each with its `Tag`."""


class Outbound:
    """Everything between a claim and its outcome.

    `compose` plans the edits of a submission (in a thread, unless it is small); `load` fetches
    a content that is not in hand; `retry_for` says how long an upstream is tried. `memory` is
    what messages may take here: half for copies of large ones, a part for copies of small ones,
    so that these wait for nothing large, and the rest for plans and messages.
    """

    def __init__(
        self,
        *,
        queue: Queue,
        policy: Callable[[], Policy],
        compose: Callable[[Submission, Message], Composed],
        load: Callable[[int], Awaitable[bytes]],
        retry_for: Callable[[str], timedelta],
        clock: Callable[[], datetime],
        quarantine_until: Callable[[datetime], datetime],
        memory: int = MEMORY,
    ) -> None:
        self._queue = queue
        self._policy = policy
        self._compose = compose
        self._load = load
        self._retry_for = retry_for
        self._clock = clock
        self._quarantine_until = quarantine_until
        self._hand: Hand[Composed] = Hand()
        self._small, self._large = Load(0), Load(0)
        self.limit_memory(memory)
        self._pools: Mapping[str, Pool] = {}
        self._threads = ThreadPoolExecutor(FEEDERS, thread_name_prefix="compose")
        self._wake = asyncio.Event()
        self._claiming: asyncio.Task[None] | None = None
        self._feeders: dict[str, list[asyncio.Task[None]]] = {}
        self._stopping = False
        # The upstreams for which the last claim found something: of bulk mail, and of other.
        self._more: tuple[set[str], set[str]] = (set(), set())
        self._tally: Counter[str] = Counter()
        self._attempts: Counter[tuple[str, str]] = Counter()  # by stream and state
        self._counting: asyncio.TimerHandle | None = None
        self._planning: dict[tuple[int, int], asyncio.Future[Composed]] = {}
        self._configuration = 0  # plans made under an earlier one are not kept

    async def start(self, pools: Mapping[str, Pool]) -> None:
        """Begins to claim and send; `pools` has one per upstream, "" for the default."""
        self._pools = pools
        self._claiming = asyncio.get_running_loop().create_task(self._claim_forever())
        for upstream in pools:
            self._start_feeders(upstream)

    async def wind_up(self, grace_seconds: float) -> None:
        """Begins no further copy, and finishes what is on the wire.

        What is accepted from here on stays in the spool.
        """
        self._stopping = True
        self._wake.set()
        feeders = [task for tasks in self._feeders.values() for task in tasks]
        for task in feeders:
            task.cancel()
        await asyncio.gather(*feeders, return_exceptions=True)
        await asyncio.gather(*(pool.drain(grace_seconds) for pool in self._pools.values()))
        if self._claiming is not None:  # not cancelled: it may hold rows that nobody else knows of
            await asyncio.wait({self._claiming}, timeout=SETTLE_SECONDS)

    async def stop(self, grace_seconds: float) -> None:
        """Winds up, and gives everything in hand back to the spool."""
        await self.wind_up(0 if self._stopping else grace_seconds)
        for upstream in self._pools:
            self._give_back(self._hand.empty(upstream))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._queue.settle(), SETTLE_SECONDS)
        if self._counting is not None:
            self._counting.cancel()
            self._count_attempts()
        if self._queue.unwritten:
            maillog.outcomes_lost(self._queue.unwritten)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def wake(self) -> None:
        """Something may be due in the store."""
        self._wake.set()

    def limit_memory(self, memory: int) -> None:
        """What large messages may take from now on."""
        self._large.limit, self._small.limit = memory // 2, memory // SMALL_SHARE
        self._hand.kept_bytes_limit = memory - self._large.limit - self._small.limit

    def on_health(self, upstream: str, healthy: bool, reply: str = "") -> None:
        """Told when an upstream went away, and why, or is back."""
        if healthy:
            self._wake.set()
        elif not self._stopping:
            for task in self._feeders.get(upstream, ()):
                task.cancel()  # it waits for room; what it holds goes back
            self._start_feeders(upstream)
            self._give_back(self._hand.empty(upstream), reply)

    def forget_plans(self) -> None:
        """Copies made from now on follow the configuration in force."""
        self._configuration += 1
        self._hand.forget_plans()

    def room(self, upstream: str, *, urgent: bool = False) -> int:
        """How many rows may be claimed directly while they are put, without a second look."""
        pool = self._pools.get(upstream)
        if pool is None or not pool.healthy or self._stopping:
            return 0
        return self._hand.room_at_door(upstream, urgent=urgent, arriving=self._queue.arriving)

    def takes_eight_bit(self, upstream: str) -> bool | None:
        """Whether copies may have 8-bit content; `None` while nobody knows. Any thread may ask."""
        pool = self._pools.get(upstream)
        return pool.takes_eight_bit if pool else None

    def offer(self, rows: Sequence[Claimed], message: Message, decided_at: datetime) -> None:
        """Takes over rows that were claimed when they were put, with the message at hand."""
        self._hand.take(rows, decided_at, message)

    def may_start(self, copy: Copy) -> bool:
        """Asked by the pool right before a copy's first byte (promise 3)."""
        tag = copy.tag
        assert isinstance(tag, Tag)  # noqa: S101  every copy is made by `Composed`
        fresh = self._queue.fresh
        if not self._queue.may_begin(tag.rows) or tag.decided_at < fresh.begins:
            return False
        return fresh.is_quiet or not any(
            fresh.stops(
                row.subject,
                row.submission.sender,
                row.submission.stream,
                row.submission.campaign,
                tag.decided_at,
            )
            for row in tag.rows
        )

    def may_begin(self) -> bool:
        """Asked by the pool before it begins any copy: blind, we might mail those who left."""
        return self._queue.knows_who_left

    def done(self, copy: Copy, outcomes: Sequence[Outcome]) -> None:
        """Told by the pool what came of a copy, one outcome per recipient."""
        tag = copy.tag
        assert isinstance(tag, Tag)  # noqa: S101
        marks = [
            self._marked(row, outcome, relayed=_is_relayed(copy, recipient, outcome))
            for row, recipient, outcome in zip(tag.rows, copy.recipients, outcomes, strict=True)
        ]
        first = tag.rows[0]
        lane = lane_of(first.submission)
        self._hand.release(tag.rows)
        self._burden(lane).give(first.upstream, len(copy.content))
        self._queue.mark(marks)
        back = self._note(tag.rows, marks)
        low = self._hand.is_low(first.upstream, urgent=lane.urgent)
        if back or (low and first.upstream in self._more[lane.urgent]):
            self._wake.set()

    def report(self) -> None:
        """Logs what was done since the last report."""
        if self._tally:
            maillog.results(self._tally)
            self._tally = Counter()

    def _note(self, rows: Sequence[Claimed], marks: Sequence[Marked]) -> bool:
        """Counts and logs; whether a row is ready again."""
        back = False
        for row, mark in zip(rows, marks, strict=True):
            self._tally[mark.state] += 1
            self._attempts[row.submission.stream, mark.state] += 1
            back = back or mark.state is State.READY
            if mark.state is State.FAILED or (mark.state is State.DEFERRED and mark.counted):
                maillog.attempt_failed(
                    to_text(row.submission.id), row.recipient.address.key, mark.state,
                    row.attempts, mark.reply,
                )  # fmt: skip
        if self._counting is None:
            loop = asyncio.get_running_loop()
            self._counting = loop.call_later(COUNT_SECONDS, self._count_attempts)
        return back

    def _count_attempts(self) -> None:
        """Hands the metrics what was counted since the last time."""
        self._counting = None
        attempts, self._attempts = self._attempts, Counter()
        for (stream, state), count in attempts.items():
            maillog.attempted(stream, state, count)

    def _marked(self, row: Claimed, outcome: Outcome, *, relayed: bool) -> Marked:
        reply = str(outcome.reply)
        match outcome.result:
            case Result.DELIVERED:
                return Marked(row.id, State.DELIVERED, reply, report=relayed)
            case Result.UNSENT if outcome.scope is Scope.MESSAGE:
                # Held back before its first byte: the next claim decides with the withdrawal
                # on record, or makes the copy as this upstream can take it; a moment later, so
                # that doubt about clocks cannot make a loop.
                soon = self._clock() + HELD_BACK
                return Marked(row.id, State.DEFERRED, "", next_attempt=soon, counted=False)
            case Result.UNSENT:
                why = reply if outcome.scope is Scope.UPSTREAM else ""
                return Marked(row.id, State.READY, why, counted=False)
            case Result.FAILED:
                return Marked(row.id, State.FAILED, reply, report=True)
            case Result.DEFERRED:
                following = next_attempt(
                    row.attempts, row.submission.received, self._clock(),
                    self._retry_for(row.upstream), random(),  # noqa: S311  only spreads load
                    schedule=_schedule(outcome),
                )  # fmt: skip
                if following is None:
                    return Marked(row.id, State.FAILED, f"{EXPIRED}; {reply}", report=True)
                return Marked(row.id, State.DEFERRED, reply, next_attempt=following)

    async def _claim_forever(self) -> None:
        loop = asyncio.get_running_loop()
        top_up_at = 0.0
        while not self._stopping:
            self._wake.clear()
            everywhere = loop.time() >= top_up_at
            if everywhere:
                top_up_at = loop.time() + IDLE_SECONDS
            claims = [self._claim_share(urgent, everywhere=everywhere) for urgent in (True, False)]
            got = await asyncio.gather(*claims)  # in one transaction
            for name, pool in self._pools.items():
                if pool.on_trial and self._hand.is_empty(name):
                    for urgent in (True, False):
                        if await self._claim({name: 1}, urgent=urgent):
                            break
            if not any(got) and not self._stopping:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), IDLE_SECONDS)

    async def _claim_share(self, urgent: bool, *, everywhere: bool) -> bool:
        """Claims for the upstreams of which little is in hand; whether anything was due.

        Now and then some `everywhere`: where upstream is slow, what came last need not wait until
        half of all that is in hand has gone.
        """
        hand, rooms = self._hand, {}
        healthy = [name for name, pool in self._pools.items() if pool.healthy]
        low = [name for name in healthy if hand.is_low(name, urgent=urgent)]
        for name in low:  # not all at once, because others write to the store as well
            rooms[name] = min(hand.room(name, urgent=urgent), IN_HAND // len(low))
        if everywhere:
            for name in healthy:
                rooms.setdefault(name, hand.room_on_top(name, urgent=urgent))
        found = await self._claim(rooms, urgent=urgent)
        self._more[urgent].difference_update(low)
        self._more[urgent].update(found)
        return bool(found)

    async def _claim(self, rooms: Mapping[str, int], *, urgent: bool) -> set[str]:
        """Claims; the upstreams for which something was due, if only to be decided away."""
        found: set[str] = set()
        if not any(rooms.values()):
            return found

        def decide(review: Review) -> list[Ruling | None]:
            found.update(row.upstream for row in review.rows)
            return self._review(review)

        decided_at = self._clock()  # before the decision, never after it
        try:
            rows = await self._queue.claim(
                rooms, decide, self._policy().needs_standing, urgent=urgent
            )
        except StoreUnavailable as error:
            houselog.store_unavailable("claim", error)
            return set()
        except Exception as error:  # noqa: BLE001  the next turn may go better
            houselog.housekeeping_failed("claim", error)
            return set()
        self._hand.take(rows, decided_at, None)
        return found

    def _review(self, review: Review) -> list[Ruling | None]:
        """The decision at the claim, in the claim's transaction."""
        policy, submission = self._policy(), review.submission
        if not submission.stream:  # our own notices
            return [None] * len(review.rows)
        bulk = submission.kind is Kind.BULK
        if not policy.knows(submission.stream, submission.sender, bulk=bulk):
            return [Ruling(row.verdict, State.HELD) for row in review.rows]
        stream = policy.streams[submission.stream]
        rulings: list[Ruling | None] = []
        for row in review.rows:
            if row.verdict.rule == POSTMASTER:
                rulings.append(None)
                continue
            verdict = policy.judge(
                stream,
                row.recipient.address,
                review.persons.get(row.recipient.address.key, STRANGER),
                review.now,
                Facts(override=row.verdict.note if row.verdict.reason is Reason.OVERRIDE else ""),
                campaign_stopped=review.campaign_stopped,
                sender_frozen=review.sender_frozen,
            )
            rulings.append(self._ruling(row, verdict, review.now))
        return rulings

    def _ruling(self, row: Claimed, verdict: Verdict, now: datetime) -> Ruling | None:
        if verdict.delivers:
            return Ruling(verdict, State.SENDING) if row.verdict.rule == FROZEN else None
        if verdict.reason is Reason.SENDER_FROZEN:  # waits for the thaw as what it was
            return Ruling(replace(row.verdict, rule=FROZEN), State.HELD)
        state = after_review(verdict)
        expires = self._quarantine_until(now) if state is State.QUARANTINED else None
        return Ruling(verdict, state, expires)

    def _start_feeders(self, upstream: str) -> None:
        loop = asyncio.get_running_loop()
        turns = Turns(self._pools[upstream])
        feeds = [self._feed(upstream, lane, turns) for lane in LANES for _ in range(FEEDERS)]
        self._feeders[upstream] = [loop.create_task(feed) for feed in feeds]

    def _burden(self, lane: Lane) -> Load:
        return self._large if lane.large else self._small

    async def _feed(self, upstream: str, lane: Lane, turns: Turns) -> None:
        while True:
            work = await self._hand.next(upstream, lane)
            try:
                composed = await self._composed(work)
                work = self._hand.cut(work, composed.together)
                copies = await self._copies(work, composed)
            except asyncio.CancelledError:
                self._give_back([work])
                raise
            except StoreUnavailable as error:
                houselog.store_unavailable("load", error)
                self._give_back([work])
                continue
            except Exception as error:  # noqa: BLE001  what nobody foresaw is set aside, never lost
                houselog.set_aside(to_text(work.submission.id), error)
                self._end(work.rows, State.HELD, str(SET_ASIDE))
                continue
            try:
                await turns.put(copies)
            except asyncio.CancelledError:
                for unsent in copies:
                    self._burden(lane).give(upstream, len(unsent.content))
                    self._end(unsent.tag.rows, State.READY)  # type: ignore[attr-defined]
                raise

    async def _copies(self, work: Work, composed: Composed) -> list[Copy]:
        upstream, octets = work.rows[0].upstream, composed.weigh(len(work.rows))
        burden, made = self._burden(lane_of(work.submission)), 0
        await burden.take(upstream, octets)
        try:
            if composed.cheap:  # sixteen copies are a fraction of a millisecond
                copies = composed.copies(work.rows, work.decided_at)
            else:
                copies = await asyncio.get_running_loop().run_in_executor(
                    self._threads, composed.copies, work.rows, work.decided_at
                )
            made = sum(len(copy.content) for copy in copies)
            return copies
        finally:
            burden.add(upstream, made - octets)

    async def _composed(self, work: Work) -> Composed:
        composed = self._hand.plan_of(work.submission.id)
        if composed is not None:
            return composed
        key = self._configuration, work.submission.id
        planning = self._planning.get(key)
        if planning is None and 2 * work.submission.size <= SMALL:
            message = self._hand.message_of(work.submission.id)
            if message is not None:  # nothing to wait for, which a task would be for
                return self._kept(work, self._compose(work.submission, message))
        if planning is None:  # the feeders share one planning of a submission
            planning = asyncio.ensure_future(self._plan_with_room(work))
            self._planning[key] = planning
            planning.add_done_callback(lambda _: self._planning.pop(key))
        return await asyncio.shield(planning)

    async def _plan_with_room(self, work: Work) -> Composed:
        """Planning takes the message and the plan, as long as it lasts."""
        upstream, octets = work.rows[0].upstream, 2 * work.submission.size
        if octets <= SMALL:
            return await self._plan(work)
        burden = self._burden(lane_of(work.submission))
        await burden.take(upstream, octets)
        try:
            return await self._plan(work)
        finally:
            burden.give(upstream, octets)

    async def _plan(self, work: Work) -> Composed:
        submission, configuration = work.submission, self._configuration
        message = self._hand.message_of(submission.id)
        if message is None:
            content = await self._load(submission.id)
            message = await self._run(len(content), scan, content)
        composed = await self._run(len(message.raw), self._compose, submission, message)
        return self._kept(work, composed) if configuration == self._configuration else composed

    def _kept(self, work: Work, composed: Composed) -> Composed:
        """Keeps a plan of the configuration in force, if there are more rows to come."""
        submission = work.submission
        if submission.recipients > min(len(work.rows), composed.together):
            self._hand.keep_plan(submission.id, composed, composed.weight)
        return composed

    async def _run(self, size: int, work: Callable[[*Given], T], *given: *Given) -> T:
        """Does `work` in a thread, unless waking one would cost more than the work."""
        if size <= SMALL:
            return work(*given)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)

    def _give_back(self, works: Sequence[Work], why: str = "") -> None:
        for work in works:
            self._end(work.rows, State.READY, why)

    def _end(self, rows: Sequence[Claimed], state: State, reply: str = "") -> None:
        self._hand.release(rows)
        self._queue.mark([Marked(row.id, state, reply, counted=False) for row in rows])


def _schedule(outcome: Outcome) -> Schedule:
    """Soon again where the mail did nothing wrong; but not what may have arrived."""
    upstreams = outcome.scope in {Scope.CONNECTION, Scope.UPSTREAM} and not outcome.in_doubt
    return UPSTREAMS_FAULT if upstreams else STANDARD


def _is_relayed(copy: Copy, recipient: Recipient, outcome: Outcome) -> bool:
    """Whether the mailer, who asked for word of success, will get none but ours (RFC 3461 §5.2).

    The copy decides: one with a return path of its own carries no wish of the mailer's (R0-5).
    """
    return not outcome.dsn_passed and "SUCCESS" in recipient.notify and bool(copy.mail_from)
