"""Retention once a day, beside the mail, by one gateway of a store.

In: the configuration in force at that moment. Out: what the retention run does, in the log.
The run blocks, so it has a thread of its own; the store's writer gets it slice by slice.

What is erased is gone for good, so a clock that was set must have gone on for a day before it is
believed: in that time somebody notices that it is next year.

*Fails:* whatever the run raises; an hour later it is tried again. A store that is away by then is
told so as soon as it is back.
*Known limits:* a clock that is wrong from the start on is believed.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from gatepost import houselog
from gatepost.app.retention import DAILY, Retention
from gatepost.app.wiring import Wiring
from gatepost.store import uses
from gatepost.store.clock import elapsed
from gatepost.store.engine import Store, StoreUnavailable, Tx
from gatepost.store.turns import give_back, take_turn

RETENTION = "retention"
AGAIN = timedelta(hours=1)
REST_SECONDS = 0.05  # between pages of people: the mail wants the processor, too
JUMP = timedelta(hours=1)  # more than a server's clock is ever off by
_ROUNDS = 1000  # submissions' slices that are gathered in one turn


class Steadiness:
    """Whether the store's clock has gone on as time does, for a day or since the start."""

    def __init__(self, now: datetime) -> None:
        self._then, self._at = now, elapsed()
        self._jumped_at: float | None = None

    def is_steady(self, now: datetime) -> bool:
        """To be asked every few minutes; says once in the log that the clock was set."""
        at = elapsed()
        jump = now - self._then - timedelta(seconds=at - self._at)
        self._then, self._at = now, at
        if abs(jump) > JUMP:
            self._jumped_at = at
            houselog.clock_set(jump.total_seconds())
        elif self._jumped_at is not None and at - self._jumped_at >= DAILY.total_seconds():
            self._jumped_at = None
        return self._jumped_at is None


class Daily:
    """What a store needs done once a day, and the gathering of uses that leads up to it."""

    def __init__(self, store: Store, wiring: Callable[[], Wiring]) -> None:
        self._store = store
        self._wiring = wiring
        self._steady = Steadiness(store.now())
        self._owed: Callable[[Tx], None] | None = None  # a turn that is not given back yet

    async def gather(self) -> None:
        """Adds what was delivered since to the uses of consents (JU-23)."""
        for _ in range(_ROUNDS):
            await self._store.survey(uses.touch)
            if not await self._store.write(uses.gather):
                return

    async def apply_retention(self) -> None:
        """Applies retention if a day has passed since anybody last did, by a steady clock."""
        if not self._steady.is_steady(self._store.now()):
            return
        await self._give_back()
        if not await self._store.write(partial(take_turn, work=RETENTION, every=DAILY)):
            return
        wiring = self._wiring()
        try:
            work = Retention(self._store, wiring.settings, wiring.policy.bases, REST_SECONDS)
            report = await asyncio.to_thread(work.run)
        except (Exception, asyncio.CancelledError) as error:
            soon = timedelta() if isinstance(error, asyncio.CancelledError) else AGAIN
            self._owed = partial(give_back, work=RETENTION, every=DAILY, again_in=soon)
            with suppress(StoreUnavailable):  # who is told to stop must not hear of that instead
                await self._give_back()
            raise  # and leaves it to the next start
        for step in report.steps:
            houselog.retained(step.rule, step.what, step.count)
        for what, count in report.places.items():
            houselog.did(f"of erased people: {what}", count)
        if report.unreachable:
            houselog.out_of_reach(report.unreachable)

    async def _give_back(self) -> None:
        if self._owed is not None:
            await self._store.write(self._owed)
            self._owed = None
