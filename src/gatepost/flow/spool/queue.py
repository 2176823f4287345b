"""The spool as the conductors use it: put, claim, mark, and the lease that covers claims.

In: jobs of the store's spool. Out: what the store says, after COMMIT. Marks are collected
while a transaction is under way and go out together in the next one.

A gateway holds what it claimed under a lease on the store's clock, renews it while it works,
and begins nothing later than half a lease after its last renewal: by then another gateway may
soon take its rows up (DESIGN, "A copy starts when its row turns sending").

*Fails:* `StoreUnavailable` from `put` and `claim`. Marks are never given up: an outcome that
cannot be written is kept and tried again, because forgetting it would mail somebody twice.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from gatepost import maillog
from gatepost.flow.spool.fresh import FreshWithdrawals
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
        self._store = store
        self._lease = lease
        self._retry_after = retry_after
        self._renewed = time.monotonic()
        self._held: set[int] = set()
        self._marks: list[Marked] = []
        self._flushing: asyncio.Task[None] | None = None

    @property
    def first_lease(self) -> Lease:
        """The lease under which a submission's rows are claimed while they are put."""
        return Lease(self.holder, self._lease, self._retry_after(1))

    def may_begin(self, rows: Sequence[Claimed]) -> bool:
        """Whether these rows are still ours, and the lease young enough to begin with them."""
        young = time.monotonic() - self._renewed < self._lease.total_seconds() / 2
        return young and all(row.id in self._held for row in rows)

    async def put(self, job: PutJob) -> PutResult:
        """Accepts a submission; it is durable on return."""
        result = await self._store.batch(PUT, job)
        self._held.update(row.id for row in result.claimed)
        return result

    async def claim(
        self,
        upstreams: Sequence[str],
        limit: int,
        decide: Callable[[Review], Sequence[Ruling | None]],
        needs_standing: Callable[[str], bool],
        *,
        urgent_only: bool = False,
    ) -> Sequence[Claimed]:
        """Due recipients of `upstreams`, decided again and now `sending` for us.

        `urgent_only` leaves bulk mail where it is.
        """
        rows = await self._store.batch(
            CLAIM,
            ClaimJob(
                holder=self.holder,
                upstreams=upstreams,
                limit=limit,
                lease=self._lease,
                retry_after=self._retry_after,
                decide=decide,
                needs_standing=needs_standing,
                urgent_only=urgent_only,
            ),
        )
        self._held.update(row.id for row in rows)
        return rows

    async def renew(self) -> None:
        """Renews the lease on everything in hand; rows that are another's by now are let go."""
        begun, ids = time.monotonic(), tuple(self._held)
        lost = (
            await self._store.write(lambda tx: renew_leases(tx, self.holder, ids, self._lease))
            if ids
            else frozenset[int]()
        )
        # A row that was marked meanwhile is not ours either, and no longer held.
        self._held -= lost
        self._renewed = begun

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
        try:
            while self._marks:
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
            await self._store.batch(MARK, MarkJob(self.holder, rows))
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  one bad row must not take the others along
            if len(rows) > 1:
                for row in rows:
                    await self._write([row])
                return
            # Its lease runs out, and it is taken up again on the schedule of retries.
            maillog.housekeeping_failed("mark", error)
        self._held.difference_update(row.id for row in rows)
