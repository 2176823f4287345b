"""What must be done every now and then while mail flows.

In: chores, each with its interval. Out: nothing; a chore that fails is logged and has its
turn again. Chores that matter to promise 3 (reading other gateways' withdrawals) and promise 5
(sealing) run several times a second; terms of retention once in minutes.

*Known limits:* chores that every gateway of a store runs are written so that doing them twice
does no harm.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from gatepost import houselog, maillog
from gatepost.app.alarm import StoreAlarm
from gatepost.app.complaints import Complaints
from gatepost.app.daily import Daily
from gatepost.app.disk import Disk
from gatepost.app.head_mail import HeadMail
from gatepost.app.notices import Notices
from gatepost.app.welcomes import Welcomes
from gatepost.app.wiring import Wiring
from gatepost.flow.outbound import Outbound
from gatepost.flow.outcomes import EXPIRED
from gatepost.flow.spool.queue import LEASE, Queue
from gatepost.store import api_keys, campaigns, complaint_rate, content, ledger, people, signups
from gatepost.store.clock import elapsed, steady
from gatepost.store.engine import Store, StoreUnavailable, Tx
from gatepost.store.spool import lapsed, quarantine, sightings
from gatepost.store.spool import queue as queue_rows

WITHDRAWALS_SECONDS = 0.4
SEAL_SECONDS = 0.5
RENEW_SECONDS = LEASE.total_seconds() / 8
NOTICES_SECONDS = 5.0
WELCOMES_SECONDS = 1.0
LATE_SECONDS = 60.0
REPORT_SECONDS = 2.0
TERMS_SECONDS = 300.0
COMPLAINTS_SECONDS = 60.0
HEAD_SECONDS = 3600.0
GATHER_SECONDS = 60.0
DAILY_SECONDS = 300.0
METRICS_SECONDS = 10.0
COUNTED_PER_SECOND = 10_000  # rows of the queue: a million are counted every 100 seconds
DISK_SECONDS = 1.0
PULSE_SECONDS = 1.0
ALARM_SECONDS = 0.5
PULSE_MISSED_SECONDS = 5.0  # without a write for so long, the store counts as out of reach
FRESH_FOR = timedelta(hours=1)  # a copy that is on its way for longer is decided again


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do every `seconds`, and at once when it is `woken`."""

    name: str
    seconds: float
    do: Callable[[], Awaitable[object]]
    woken: asyncio.Event | None = None


class Housekeeping:
    """The chores of one gateway."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        outbound: Outbound,
        notices: Notices,
        wiring: Callable[[], Wiring],
        data_dir: Path,
        leads: bool,
    ) -> None:
        self._store = store
        self._queue = queue
        self._outbound = outbound
        self._notices = notices
        self._welcomes = Welcomes(store, wiring)
        self._daily = Daily(store, wiring)
        self._wiring = wiring
        self.disk = Disk(data_dir, lambda: wiring().settings.limits.min_free_disk, store)
        self._leads = leads
        self._mark = 0
        self._endings = asyncio.Event()
        self._reloaded = asyncio.Event()
        self._forged: frozenset[int] = frozenset()
        self._head_mail = HeadMail(store, wiring)
        self._cases = Complaints(store, wiring)
        self._tasks: list[asyncio.Task[None]] = []
        self._written = time.monotonic()
        self._count_again = 0.0
        self._chores: Sequence[Chore] = (
            Chore("withdrawals", WITHDRAWALS_SECONDS, self.read_endings, self._endings),
            Chore("leases", RENEW_SECONDS, queue.renew),
            Chore("report", REPORT_SECONDS, self._report),
            Chore("disk", DISK_SECONDS, self.disk.watch),
            Chore("pulse", PULSE_SECONDS, self._take_pulse),
            Chore("alarm", ALARM_SECONDS, StoreAlarm(store).look),
            *(self._for_the_store() if leads else ()),
        )

    def _for_the_store(self) -> Sequence[Chore]:
        return (
            Chore("sealing", SEAL_SECONDS, self._seal),
            Chore("delivery reports", NOTICES_SECONDS, self._notices.report_failures),
            Chore("campaign summaries", NOTICES_SECONDS, self._notices.sum_up),
            Chore("welcomes", WELCOMES_SECONDS, self._welcomes.settle),
            Chore("late welcomes", LATE_SECONDS, self._welcomes.watch),
            Chore("terms", TERMS_SECONDS, self.apply_terms, self._reloaded),
            Chore("complaint rate", COMPLAINTS_SECONDS, self.watch_complaints),
            Chore("complaint cases", COMPLAINTS_SECONDS, self._cases.watch),
            Chore("head of the ledger", HEAD_SECONDS, self._head_mail.send),
            Chore("uses", GATHER_SECONDS, self._daily.gather),
            Chore("retention", DAILY_SECONDS, self._daily.apply_retention),
            Chore("metrics", METRICS_SECONDS, self._count),
        )

    async def start(self) -> None:
        """Begins; the list of fresh withdrawals is complete from here on."""
        asked_at = elapsed()
        self._mark = await self._store.read(people.withdrawals_mark)
        self._queue.fresh.looked(asked_at)
        await self.disk.watch()
        if self._leads:
            await self.reroute()
            await self._release_held()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._repeat(chore)) for chore in self._chores]

    async def stop(self) -> None:
        """Ends the chores, and seals what is left to be sealed."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        with suppress(StoreUnavailable):
            await self._seal()

    def wake(self) -> None:
        """Somebody withdrew elsewhere: it is read now."""
        self._endings.set()

    def reloaded(self) -> None:
        """The configuration is another: its terms are applied now."""
        self._reloaded.set()

    async def _repeat(self, chore: Chore) -> None:
        while True:
            await _pause(chore)
            try:
                await chore.do()
            except StoreUnavailable as error:
                houselog.store_unavailable(chore.name, error)
            except Exception as error:  # noqa: BLE001  the next turn may go better
                houselog.housekeeping_failed(chore.name, error)

    async def read_endings(self) -> None:
        """Reads what others recorded that stops copies already claimed (promise 3)."""
        fresh, asked_at = self._queue.fresh, elapsed()
        self._mark, endings = await self._store.read(
            partial(people.withdrawals_after, mark=self._mark)
        )
        heard = steady()
        for ending in endings:
            fresh.hear(ending.subject, ending.sender, ending.stream, event=ending.event, at=heard)
        fresh.set_stops(*await self._store.read(_stops))
        fresh.looked(asked_at)
        fresh.prune(heard, FRESH_FOR)

    @property
    def store_ok(self) -> bool:
        """Whether the store has lately taken a write: reading alone accepts no mail."""
        return time.monotonic() - self._written < PULSE_MISSED_SECONDS

    async def _take_pulse(self) -> None:
        await self._store.beat()
        self._written = time.monotonic()

    async def _seal(self) -> None:
        forged = (await self._store.write(ledger.seal_and_tell)).forged
        if forged or self._forged:
            new = [number for number in forged if number not in self._forged]
            houselog.forged_events(new, len(forged))
            self._forged = frozenset(forged)

    async def _report(self) -> None:
        self._outbound.report()

    async def reroute(self) -> None:
        """Finds a new way for what waits for an upstream that is no longer configured."""
        wiring = self._wiring()
        gone = await self._store.survey(
            partial(queue_rows.foreign_upstreams, known=wiring.routes.keys())
        )
        for upstream in gone:
            moved = await self._store.write(
                partial(queue_rows.reroute, upstream=upstream, route_of=wiring.policy.route_of)
            )
            maillog.rerouted(upstream, moved)

    async def _release_held(self) -> None:
        """Lets go what was held for a freeze that is over, or until it was configured.

        A reader looks for it among all that is set aside; mail needs the writer.
        """
        if await self._store.survey(campaigns.has_thawed):
            await self._until_done("thawed mail released", campaigns.release_thawed, rounds=1)
        knows, total = self._wiring().policy.knows, 0
        ids = await self._store.survey(partial(queue_rows.configured_again, knows=knows))
        for start in range(0, len(ids), queue_rows.SLICE):
            portion = ids[start : start + queue_rows.SLICE]
            total += await self._store.write(partial(queue_rows.release_known, ids=portion))
        houselog.did("held mail released: it is configured", total)

    async def apply_terms(self) -> None:
        """Ends what has waited too long, and removes what is no longer needed."""
        wiring = self._wiring()
        await self.reroute()
        now = self._store.now()
        keep = wiring.settings.retention.content
        for upstream, retry_for in wiring.retry_for.items():
            await self._give_up(upstream, now - retry_for)
            await self._bring_forward(upstream)
        await self._release_held()
        await self._until_done("quarantine expired", quarantine.expire)
        await self._until_done(
            "content purged", partial(content.purge, finished_before=keep.before(now))
        )
        old = self._welcomes.forget_before(now)
        await self._until_done("sign-ups forgotten", partial(signups.forget, before=old), rounds=1)
        await self._until_done("staged content swept", content.sweep_staged, rounds=1)
        window = wiring.sorting.bulk_window
        await self._store.write(partial(sightings.forget, older_than=2 * window))
        await self._store.write(api_keys.forget_requests)

    async def _give_up(self, upstream: str, received_before: datetime) -> None:
        """Ends what waits for an upstream since before that: looked for beside the mail."""
        total = 0
        late = partial(queue_rows.late, upstream=upstream, received_before=received_before)
        while ids := await self._store.survey(late):
            ended = await self._store.write(
                partial(queue_rows.give_up, ids=ids, reply=str(EXPIRED))
            )
            if not ended:
                break
            total += ended
        houselog.did("given up", total)

    async def _bring_forward(self, upstream: str) -> None:
        """Makes due what a wrong clock put off; a writer is asked only where there is any."""
        total = 0
        while ids := await self._store.survey(partial(lapsed.find, upstream=upstream)):
            done = await self._store.write(partial(lapsed.bring_forward, ids=ids))
            if not done:
                break
            total += done
        houselog.did("put off by a wrong clock, due now", total)

    async def watch_complaints(self) -> None:
        """Freezes the senders that too many complain about; thawing is for people (ME-9).

        What such a sender has not ended in time is ended for it (WP-15).
        """
        wiring = self._wiring()
        given = wiring.settings.complaints
        alarms = await self._store.survey(
            partial(
                complaint_rate.find_alarms,
                senders=wiring.policy.senders,
                rate=given.freeze_rate,
                minimum_delivered=given.minimum_delivered,
            )
        )
        if alarms:
            for alarm in await self._store.write(partial(complaint_rate.freeze, alarms=alarms)):
                maillog.sender_frozen(alarm.sender, alarm.complaints, alarm.delivered)
        if await self._store.read(campaigns.frozen_senders):
            await self._store.write(complaint_rate.rest_frozen)
            before = given.stop_within.before(self._store.now())
            for overdue in await self._store.write(
                partial(complaint_rate.end_overdue, frozen_before=before)
            ):
                maillog.campaign_ended(*overdue)

    async def _until_done(
        self, chore: str, do: Callable[[Tx], int], *, rounds: int = 10_000
    ) -> None:
        """In slices, so that mail is not held up."""
        total = 0
        for _ in range(rounds):
            count = await self._store.write(do)
            total += count
            if not count:
                break
        houselog.did(chore, total)

    async def _count(self) -> None:
        """Counts the queue; a long one more seldom, because each row is looked at."""
        now = time.monotonic()
        if now >= self._count_again:
            states = await self._store.survey(queue_rows.count_states)
            maillog.queued(states)
            self._count_again = now + sum(states.values()) / COUNTED_PER_SECOND


async def _pause(chore: Chore) -> None:
    if chore.woken is None:
        await asyncio.sleep(chore.seconds)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(chore.seconds):  # wait_for could miss that it is to end
            await chore.woken.wait()
    chore.woken.clear()


def _stops(tx: Tx) -> tuple[frozenset[int], frozenset[str]]:
    return campaigns.stopped_since(tx, tx.now - FRESH_FOR), campaigns.frozen_senders(tx)


def quarantine_until(wiring: Wiring, now: datetime) -> datetime:
    """When a recipient that is held now is dropped."""
    return wiring.settings.quarantine.keep.after(now)
