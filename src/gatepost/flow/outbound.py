"""Conductor of the way out: spool → decide again → edit → transmit → spool.

In: what `inbound` put and what is due in the store. Out: copies at upstream, outcomes in the
store. A row is claimed and decided in one transaction (`claims.py`); copies are composed ahead
of the wire, some 16 at a time, in threads where they are large or signed; the list of fresh
withdrawals is asked before the first byte; what comes of them is written (`outcomes.py`).

Nobody waits behind what is not theirs: each upstream has feeders of its own, and among these mail
that is not bulk has some, and so has what is large (`spool/hand.py`).

An upstream that goes away takes nothing with it: what was in hand for it goes back to the
spool, where it ages, and where another gateway may find it. On its return it gets one copy, and
the rest when that has gone well.

*Fails:* never for one mail's sake: what cannot be composed is set aside (`held`) and counted.
Outcomes are kept until the store takes them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar, TypeVarTuple

from gatepost import houselog, maillog
from gatepost.flow.claims import Claims
from gatepost.flow.decide.policy import NotConfiguredError, Policy
from gatepost.flow.outcomes import Outcomes
from gatepost.flow.spool.fresh import LONG_AGO
from gatepost.flow.spool.hand import LANES, Hand, Lane, lane_of
from gatepost.flow.spool.queue import Queue
from gatepost.flow.spool.rotation import Work
from gatepost.flow.transmit.copy import Copy
from gatepost.flow.transmit.load import Load
from gatepost.flow.transmit.pool import Pool
from gatepost.flow.transmit.turns import Turns
from gatepost.mail.message import Message, scan
from gatepost.mail.outcome import Outcome
from gatepost.mail.recipient_state import State
from gatepost.mail.reply import Reply
from gatepost.store.clock import steady
from gatepost.store.engine import StoreUnavailable
from gatepost.store.ids import to_text
from gatepost.store.spool.rows import Claimed, Marked, Submission

T = TypeVar("T")
Given = TypeVarTuple("Given")

SETTLE_SECONDS = 2.0  # for the last outcomes to be written
MEMORY = 100_000_000  # octets
SMALL = 16 * 1024  # octets; up to there a plan is made on the event loop
FEEDERS = 2  # per lane: composing and waiting for the wire overlap
SMALL_SHARE = 8  # a part of the memory, for copies of small messages

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
        self._compose = compose
        self._load = load
        self._hand: Hand[Composed] = Hand()
        self._claims = Claims(
            queue=queue,
            hand=self._hand,
            policy=policy,
            clock=steady,
            quarantine_until=quarantine_until,
        )
        self._outcomes = Outcomes(retry_for, clock)
        self._small, self._large = Load(0), Load(0)
        self.limit_memory(memory)
        self._pools: Mapping[str, Pool] = {}
        self._threads = ThreadPoolExecutor(FEEDERS, thread_name_prefix="compose")
        self._feeders: dict[str, list[asyncio.Task[None]]] = {}
        self._stopping = False
        self._planning: dict[tuple[int, int], asyncio.Future[Composed]] = {}
        self._configuration = 0  # plans made under an earlier one are not kept
        self._configured_at = LONG_AGO

    async def start(self, pools: Mapping[str, Pool]) -> None:
        """Begins to claim and send; `pools` has one per upstream, "" for the default."""
        self._pools = pools
        self._claims.start(pools)
        for upstream in pools:
            self._start_feeders(upstream)

    async def wind_up(self, grace_seconds: float) -> None:
        """Begins no further copy, and finishes what is on the wire.

        What is accepted from here on stays in the spool.
        """
        self._stopping = True
        self._claims.end()
        feeders = [task for tasks in self._feeders.values() for task in tasks]
        for task in feeders:
            task.cancel()
        await asyncio.gather(*feeders, return_exceptions=True)
        await asyncio.gather(*(pool.drain(grace_seconds) for pool in self._pools.values()))
        await self._claims.settle()

    async def stop(self, grace_seconds: float) -> None:
        """Winds up, and gives everything in hand back to the spool."""
        await self.wind_up(0 if self._stopping else grace_seconds)
        for upstream in self._pools:
            self._give_back(self._hand.empty(upstream))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._queue.settle(), SETTLE_SECONDS)
        self._outcomes.stop()
        if self._queue.unwritten:
            maillog.outcomes_lost(self._queue.unwritten)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def wake(self) -> None:
        """Something may be due in the store."""
        self._claims.wake()

    def limit_memory(self, memory: int) -> None:
        """What large messages may take from now on."""
        self._large.limit, self._small.limit = memory // 2, memory // SMALL_SHARE
        self._hand.kept_bytes_limit = memory - self._large.limit - self._small.limit

    def on_health(self, upstream: str, healthy: bool, reply: str = "") -> None:
        """Told when an upstream went away, and why, or is back."""
        if healthy:
            self._claims.wake()
        elif not self._stopping:
            for task in self._feeders.get(upstream, ()):
                task.cancel()  # it waits for room; what it holds goes back
            self._start_feeders(upstream)
            self._give_back(self._hand.empty(upstream), reply)

    def forget_plans(self) -> None:
        """Copies made from now on follow the configuration in force."""
        self._configuration += 1
        self._configured_at = steady()
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
        """Asked by the pool right before a copy's first byte (promise 3).

        Who leaves by a link in a copy of before a reload may leave somebody else's mailing.
        """
        tag = copy.tag
        assert isinstance(tag, Tag)  # noqa: S101  every copy is made by `Composed`
        fresh = self._queue.fresh
        if not self._queue.may_begin(tag.rows) or tag.decided_at < fresh.begins:
            return False
        if tag.decided_at < self._configured_at and not self._claims.knows(tag.rows[0].submission):
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
        marks = self._outcomes.take(copy, tag.rows, outcomes)
        first = tag.rows[0]
        lane = lane_of(first.submission)
        self._hand.release(tag.rows)
        self._burden(lane).give(first.upstream, len(copy.content))
        self._queue.mark(marks)
        back = any(mark.state is State.READY for mark in marks)
        if back or self._claims.wants_more(first.upstream, urgent=lane.urgent):
            self._claims.wake()

    def report(self) -> None:
        """Logs what was done since the last report."""
        self._outcomes.report()
        self._claims.report()

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
            except NotConfiguredError:  # the claim says so, and holds it until they are
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
