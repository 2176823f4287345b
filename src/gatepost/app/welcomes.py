"""Welcomes: who signed up counts once the welcome mail has left (JU-18).

In: the spool's record of welcome letters. Out: WELCOMED facts, and what was held for these
people let go, in one transaction; a warning once a welcome is later than an hour, an error
after a day. A welcome that waits for upstream while the person leaves is stopped. What a crash
leaves undone is found at the next turn.

*Fails:* `StoreUnavailable`; the next turn tries again.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from gatepost import maillog
from gatepost.app.wiring import Wiring
from gatepost.store import signups
from gatepost.store.engine import Store, Tx
from gatepost.store.ids import to_text
from gatepost.store.signups import Delivered
from gatepost.store.spool.quarantine import release_by_confirmation

_LATE = (timedelta(hours=1), timedelta(hours=24))  # the aim, and the alarm (JU-18)


class Welcomes:
    """The chores. Safe to run in several gateways at once."""

    def __init__(self, store: Store, wiring: Callable[[], Wiring]) -> None:
        self._store = store
        self._wiring = wiring
        self._told = 0

    async def settle(self) -> int:
        """Records the welcomes that upstream took since the last time; says how many."""
        unwanted = await self._store.read(signups.unwanted_welcomes)
        done = await self._store.write(partial(self._settle, unwanted=unwanted))
        for one in done:
            maillog.welcomed(to_text(one.subject), one.sender, one.stream)
        return len(done)

    async def watch(self) -> None:
        """Says so when welcomes are late: once after an hour, once more after a day."""
        waiting = await self._store.survey(signups.waiting_welcomes)
        age = self._store.now() - waiting.since if waiting.since else timedelta()
        maillog.welcomes_waiting(waiting.count, age.total_seconds())
        level = sum(age >= limit for limit in _LATE)
        if level > self._told:
            hours = age / timedelta(hours=1)
            maillog.welcomes_late(waiting.count, hours, alarm=level == len(_LATE))
        self._told = level

    def forget_before(self, now: datetime) -> datetime:
        """Sign-ups older than this are of no use: none can be confirmed or keeps back a letter.

        Those that were confirmed stay as long again, so that their links say so.
        """
        consent = self._wiring().settings.consent
        longest = min(consent.confirm_within.before(now), consent.confirm_again.before(now))
        return consent.confirm_within.before(longest)

    def _settle(self, tx: Tx, unwanted: Sequence[int]) -> list[Delivered]:
        signups.stop_welcomes(tx, unwanted)
        done = signups.settle_welcomes(tx)
        streams = self._wiring().policy.streams
        for one in done:
            stream = streams.get(one.stream)
            if stream is not None:
                release_by_confirmation(
                    tx, one.subject, one.stream, stream.release_within, "the welcome mail has left"
                )
        return done
