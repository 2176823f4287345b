"""Telling others: at least once, for each person in order, from one gateway at a time.

Each destination has a task of its own, so that one that is slow or down holds up no other, and
never the mail. A task holds a lease in the store; who has it makes deliveries of what the ledger
sealed, as long as few are waiting, and sends what is due: `AT_ONCE` at the same time, of each
person only the earliest. What did not arrive is tried again, each time after twice the pause,
up to an hour; when that has gone on for `give_up_after`, the delivery is given up and listed,
and what comes after it goes its way.

A webhook that is away (no connection, 5xx, 429) is probed with one delivery; while it is away,
what happens stays in the ledger and takes no room elsewhere. One that refuses a delivery only
delays this one, and what concerns the same person.

*Fails:* never; trouble is logged and counted.
*Known limits:* after a crash between an answer and its note, a delivery comes twice, under the
same id. A thousand deliveries that are refused one by one hold up the rest until they are given
up.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from gatepost import houselog
from gatepost.app.onward.destinations import Destination, Fate, Outcome
from gatepost.consent.announcing import pause
from gatepost.store import onward
from gatepost.store.engine import Store, StoreUnavailable, Tx
from gatepost.store.onward import LEASE, WINDOW, Delivery, Failure, Wanted

AT_ONCE = 8
IDLE_SECONDS = 0.5
WATCH_SECONDS = 1.0
_RENEW = LEASE / 3
_NONE = timedelta()
_NO_PAUSE = timedelta(hours=2)  # is as long: the clock was wrong when it was begun
_HEARD_LATER = timedelta(seconds=10)  # how long a height without deliveries is kept in memory

Destinations = Callable[[], Mapping[str, tuple[object, Callable[[], Destination]]]]


class Onward:
    """All destinations of this gateway, as they are configured now.

    `destinations` maps a name to what is configured under it, and to what makes it; when that
    differs, the task of that name is started anew.
    """

    def __init__(
        self,
        store: Store,
        destinations: Destinations,
        give_up_after: Callable[[], timedelta],
        holder: str,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._destinations = destinations
        self._give_up_after = give_up_after
        self._holder = holder
        self._jitter = jitter
        self._running: dict[str, tuple[object, asyncio.Task[None]]] = {}
        self._watching: asyncio.Task[None] | None = None
        self._named: frozenset[str] | None = None  # as configured when we last asked who is not

    async def start(self) -> None:
        """Begins."""
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """Ends what is being sent; whoever comes next sends it again."""
        tasks = [task for _, task in self._running.values()]
        tasks += [self._watching] if self._watching else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()

    async def _watch(self) -> None:
        while True:
            try:
                await self._look()
            except StoreUnavailable as error:
                houselog.store_unavailable("webhooks", error)
            except Exception as error:  # noqa: BLE001  the next look may go better
                houselog.housekeeping_failed("webhooks", error)
            await asyncio.sleep(WATCH_SECONDS)

    async def _look(self) -> None:
        wanted = self._destinations()
        for name, (settings, task) in list(self._running.items()):
            if task.done() or name not in wanted or wanted[name][0] != settings:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                del self._running[name]
        for name, (settings, make) in wanted.items():
            if name not in self._running:
                task = asyncio.get_running_loop().create_task(self._run(name, make))
                self._running[name] = settings, task
        names = frozenset(wanted)
        if self._named != names:
            for row in await self._store.read(onward.list_webhooks):
                if row.waiting and row.name not in wanted:
                    houselog.webhook_gone(row.name, row.waiting)
            self._named = names

    async def _run(self, name: str, make: Callable[[], Destination]) -> None:
        try:
            destination = make()
        except (OSError, ValueError) as error:
            houselog.housekeeping_failed(f"webhook {name}", error)
            await asyncio.sleep(60)
            return
        line = Line(self._store, destination, self._give_up_after, self._holder, self._jitter)
        try:
            while True:
                try:
                    busy = await line.turn()
                except StoreUnavailable as error:
                    houselog.store_unavailable(f"webhook {name}", error)
                    busy = False
                except Exception as error:  # noqa: BLE001  the next turn may go better
                    houselog.housekeeping_failed(f"webhook {name}", error)
                    busy = False
                await asyncio.sleep(0 if busy else IDLE_SECONDS)
        finally:
            await destination.close()
            with suppress(StoreUnavailable):
                await line.let_go()


class Line:
    """The line of deliveries to one destination. `turn` does what there is to do now."""

    def __init__(
        self,
        store: Store,
        destination: Destination,
        give_up_after: Callable[[], timedelta],
        holder: str,
        jitter: Callable[[], float],
    ) -> None:
        self._store = store
        self._to = destination
        self._give_up_after = give_up_after
        self._holder = holder
        self._jitter = jitter
        self._height = 0
        self._noted_at = self._leased_at = datetime.min.replace(tzinfo=store.now().tzinfo)
        self._away = 0  # attempts in a row at somebody who is away
        self._not_before = self._leased_at

    async def turn(self) -> bool:
        """Whether there may be more to do at once."""
        if not await self._hold():
            return False
        waiting = await self._store.read(partial(onward.waiting, name=self._to.name))
        heard = len(waiting) < WINDOW and await self._hear()
        if heard:
            waiting = await self._store.read(partial(onward.waiting, name=self._to.name))
        due = self._due(waiting)
        if due:
            await self._send(due)
        return bool(due) or heard

    async def let_go(self) -> None:
        """Gives up the lease."""
        give_up = partial(onward.give_up_lease, name=self._to.name, holder=self._holder)
        await self._store.write(give_up)

    async def _hold(self) -> bool:
        """Whether we may send: the lease is ours, and was renewed lately."""
        now = self._store.now()
        if _NONE <= now - self._leased_at < _RENEW:
            return True
        take = partial(onward.take_lease, name=self._to.name, holder=self._holder)
        height = await self._store.write(take)
        if height is None:
            return False
        if not _NONE <= now - self._leased_at < LEASE:  # somebody else may have had it meanwhile
            self._height = height
        self._leased_at = now
        return True

    async def _hear(self) -> bool:
        """Makes deliveries of what was sealed since; false if there was nothing new."""

        def read(tx: Tx) -> tuple[int, list[Wanted]]:
            found = onward.news(tx, self._height, self._to.kinds)
            return found.height, self._to.choose(tx, found.events)

        height, wanted = await self._store.survey(read)
        if height == self._height:
            return False
        now = self._store.now()
        if wanted or not _NONE <= now - self._noted_at < _HEARD_LATER:
            put = partial(
                onward.put, name=self._to.name, holder=self._holder, height=height, wanted=wanted
            )
            if not await self._store.write(put):
                self._leased_at = datetime.min.replace(tzinfo=now.tzinfo)
                return False
            self._noted_at = now
        self._height = height
        return True

    def _due(self, waiting: Sequence[Delivery]) -> list[Delivery]:
        """What is to be sent now: the earliest of each person, and one alone to who is away."""
        now = self._store.now()
        if not _has_come(self._not_before, now):
            return []
        first: dict[int, Delivery] = {}
        for one in waiting:
            first.setdefault(one.subject, one)
        if self._away:
            return [min(first.values(), key=lambda one: (one.attempts, one.event))] if first else []
        due = (
            one
            for one in first.values()
            if one.next_at <= now or (one.attempts and _has_come(one.next_at, now))
        )
        return list(islice(due, AT_ONCE))

    async def _send(self, due: Sequence[Delivery]) -> None:
        contents = await self._store.read(partial(onward.contents, deliveries=due))
        known = [one for one in due if one.id in contents]
        outcomes = await asyncio.gather(
            *(self._to.tell(one, contents[one.id]) for one in known), return_exceptions=True
        )
        told: list[tuple[Delivery, Outcome]] = []
        for one, outcome in zip(known, outcomes, strict=True):
            if isinstance(outcome, StoreUnavailable):
                raise outcome
            if isinstance(outcome, BaseException):
                houselog.housekeeping_failed(f"webhook {self._to.name}", outcome)
                outcome = Outcome(Fate.REFUSED, "an error of our own")  # noqa: PLW2901
            told.append((one, outcome))
        await self._settle(told, [one.id for one in due if one.id not in contents])

    async def _settle(self, told: Sequence[tuple[Delivery, Outcome]], void: Iterable[int]) -> None:
        now = self._store.now()
        self._notice_health([outcome for _, outcome in told], now)
        failures = [
            Failure(one.id, now + self._pause(one.attempts + 1, outcome), outcome.why)
            for one, outcome in told
            if outcome.fate in {Fate.AWAY, Fate.REFUSED}
        ]
        dead = await self._store.write(
            partial(
                onward.settle,
                name=self._to.name,
                arrived=[one.id for one, outcome in told if outcome.fate is Fate.ARRIVED],
                void=[*void, *(one.id for one, outcome in told if outcome.fate is Fate.VOID)],
                failures=failures,
                now=now,
                give_up_after=self._give_up_after(),
            )
        )
        houselog.told_others(self._to.name, [outcome.fate.value for _, outcome in told])
        if dead:
            houselog.given_up_telling(self._to.name, dead)

    def _notice_health(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        """Whether the other side is there, and when to look again if it is not."""
        if not self._to.is_one_place or not outcomes:
            return
        away = [outcome for outcome in outcomes if outcome.fate is Fate.AWAY]
        if len(away) < len(outcomes):
            if self._away:
                houselog.webhook_changed(self._to.name, there=True)
            self._away, self._not_before = 0, now
            return
        if not self._away:
            houselog.webhook_changed(self._to.name, there=False, why=away[0].why)
        self._away += 1
        self._not_before = now + max(self._pause(self._away, one) for one in away)

    def _pause(self, attempts: int, outcome: Outcome) -> timedelta:
        asked = timedelta(seconds=min(outcome.retry_after, 3600))
        return max(asked, pause(attempts, self._jitter()))


def _has_come(moment: datetime, now: datetime) -> bool:
    """Whether a pause until `moment` is over, or was never one."""
    return not now < moment <= now + _NO_PAUSE
