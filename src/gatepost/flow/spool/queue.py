"""The spool as the conductors use it: put, claim, mark, and the lease that covers claims.

In: jobs of the store's spool. Out: what the store says, after COMMIT. Marks are collected
while a transaction is under way and go out together in the next one, which begins no sooner than
`GATHER_SECONDS` after the one before: a mark after a quiet while is written at once.

A gateway holds what it claimed under a lease on the store's clock, renews it while it works,
and begins nothing later than half a lease after its last renewal: by then another gateway may
soon take its rows up (DESIGN, "A copy starts when its row turns sending"). How old a lease is
counts from before it was asked for, for each row, and in time that goes on while the machine
sleeps: who was stalled between asking and hearing has an old lease in hand, and begins nothing.

Leases of others that look over are taken up only while the store's clock keeps step with our
own. After a jump, and at first, their holders have time to renew: a clock that is put right
must not make everybody look dead. So they have when the store was away for long, from whom nobody
could renew anything; what they know of outcomes reaches it first.

*Fails:* `StoreUnavailable` from `put` and `claim`. Marks are never given up: an outcome that
cannot be written is kept and tried again, because forgetting it would mail somebody twice.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from gatepost import houselog, maillog
from gatepost.flow.spool.ahead import Ahead
from gatepost.flow.spool.fresh import FreshWithdrawals
from gatepost.mail.recipient_state import State
from gatepost.store.clock import elapsed
from gatepost.store.engine import Store, StoreUnavailable
from gatepost.store.spool.claim import CLAIM
from gatepost.store.spool.leases import renew as renew_leases
from gatepost.store.spool.mark import MARK
from gatepost.store.spool.put import PUT
from gatepost.store.spool.rows import (
    Claimed,
    ClaimJob,
    Lease,
    Marked,
    MarkJob,
    PutJob,
    PutResult,
    Review,
    Ruling,
)

LEASE = timedelta(seconds=120)
RETRY_MARK_SECONDS = 0.5
# A transaction costs as much as the marks of some 20 rows; what a crash would send again grows by
# what upstream takes in such a while.
GATHER_SECONDS = 0.02


class Pace:
    """Whether the store's clock keeps step with ours; for the store's writer thread."""

    def __init__(self, calm: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self._calm = calm.total_seconds()
        self._clock = clock
        self._lead: float | None = None  # of the store's clock
        self._even_since = -math.inf

    def is_even(self, now: datetime) -> bool:
        """Whether the store's `now` has kept step for long enough to judge others by it."""
        ours = self._clock()
        lead = now.timestamp() - ours
        if self._lead is None or abs(lead - self._lead) > self._calm:
            self._lead, self._even_since = lead, ours
        return ours - self._even_since >= self._calm


class Queue:
    """One gateway's view of the spool."""

    def __init__(
        self,
        store: Store,
        *,
        holder: str,
        retry_after: Callable[[int], timedelta],
        lease: timedelta = LEASE,
    ) -> None:
        self.holder = holder
        self.fresh = FreshWithdrawals()
        self._ahead = Ahead(store)
        self._store = store
        self._lease = lease
        self._young_seconds = lease.total_seconds() / 2
        self._retry_after = retry_after
        self._held: dict[int, float] = {}  # when its lease was last asked for, by row
        self._pace = Pace(lease / 4)
        self._calm_seconds = lease.total_seconds() / 4
        self.arriving = 0  # recipients that are being put
        self._marks: list[Marked] = []
        self._next_flush = -math.inf  # on the event loop's clock
        self._flushing: asyncio.Task[None] | None = None

    @property
    def first_lease(self) -> Lease:
        """The lease under which a submission's rows are claimed while they are put."""
        return Lease(self.holder, self._lease, self._retry_after(1))

    def may_begin(self, rows: Sequence[Claimed]) -> bool:
        """Whether these rows are still ours, and their leases young enough to begin with them."""
        too_old, held = elapsed() - self._young_seconds, self._held
        return min([held.get(row.id, -math.inf) for row in rows]) > too_old

    @property
    def knows_who_left(self) -> bool:
        """Whether the list of fresh withdrawals is as young as promise 3 needs it."""
        return self.fresh.is_current(elapsed())

    async def put(self, job: PutJob) -> PutResult:
        """Accepts a submission; it is durable on return."""
        count = len(job.envelope.recipients)
        self.arriving += count
        try:
            if self._ahead.pays(job):
                await self._ahead.read(job)
            asked_at = elapsed()
            result = await self._store.batch(PUT, job)
        finally:
            self.arriving -= count
        self._held.update((row.id, asked_at) for row in result.claimed)
        return result

    async def claim(
        self,
        rooms: Mapping[str, int],
        decide: Callable[[Review], Sequence[Ruling | None]],
        needs_standing: Callable[[str], bool],
        *,
        urgent: bool,
    ) -> Sequence[Claimed]:
        """Due recipients, as many per upstream as `rooms` says, decided again and now `sending`.

        `urgent` are those of mail that is not bulk. What is in hand already is not handed out
        again: a lease of our own that ran out while the store was away goes on.
        """
        asked_at = elapsed()
        rows = await self._store.batch(
            CLAIM,
            ClaimJob(
                holder=self.holder,
                rooms=rooms,
                lease=self._lease,
                retry_after=self._retry_after,
                decide=decide,
                needs_standing=needs_standing,
                urgent=urgent,
                take_up=self._may_take_up,
            ),
        )
        new = [row for row in rows if row.id not in self._held]
        self._held.update((row.id, asked_at) for row in rows)
        return new

    def _may_take_up(self, now: datetime) -> bool:
        """Whether at the store's `now` a lease that is over says that its holder is dead."""
        return self._pace.is_even(now) and self.fresh.sees_for(elapsed()) >= self._calm_seconds

    async def renew(self) -> None:
        """Renews the lease on everything in hand; rows that are another's by now are let go."""
        asked_at, ids = elapsed(), tuple(self._held)
        lost = (
            await self._store.write(lambda tx: renew_leases(tx, self.holder, ids, self._lease))
            if ids
            else frozenset[int]()
        )
        for number in ids:
            if number in lost:  # or marked meanwhile, and no longer held
                self._held.pop(number, None)
            elif number in self._held:
                self._held[number] = max(self._held[number], asked_at)

    def mark(self, rows: Sequence[Marked]) -> None:
        """Writes outcomes, soon and together with others."""
        self._marks.extend(rows)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def settle(self) -> None:
        """Returns when everything marked so far is written."""
        while self._flushing is not None:
            await asyncio.wait({self._flushing})

    @property
    def unwritten(self) -> int:
        """How many outcomes wait for the store."""
        return len(self._marks)

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._marks:
                if (early := self._next_flush - loop.time()) > 0:
                    await asyncio.sleep(early)
                self._next_flush = loop.time() + GATHER_SECONDS
                rows, self._marks = self._marks, []
                try:
                    await self._write(rows)
                except StoreUnavailable:
                    self._marks = rows + self._marks
                    await asyncio.sleep(RETRY_MARK_SECONDS)
        finally:
            self._flushing = None

    async def _write(self, rows: list[Marked]) -> None:
        try:
            lost = await self._store.batch(MARK, MarkJob(self.holder, rows))
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  one bad row must not take the others along
            if len(rows) > 1:
                for row in rows:
                    await self._write([row])
                return
            # Its lease runs out, and it is taken up again on the schedule of retries.
            houselog.housekeeping_failed("mark", error)
            lost = []
        if lost:
            late = [row.state for row in rows if row.id in lost]
            maillog.outcomes_too_late(len(late), late.count(State.DELIVERED))
        for row in rows:
            self._held.pop(row.id, None)
