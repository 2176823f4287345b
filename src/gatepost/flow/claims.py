"""What is due in the spool, claimed for the hand and decided again: part of the way out.

In: how much is in hand (`spool/hand.py`), which upstreams take mail (`transmit/pool.py`), and who
wakes us. Out: rows in hand, each decided in the transaction that claimed it; whoever may no
longer be mailed is finished there and comes no further.

The store is asked as soon as little is in hand of what the last claim had more of, when somebody
says that something is due, and every `IDLE_SECONDS` in any case. Then a few are claimed of what
came meanwhile also where there is enough: where upstream is slow, what came last need not wait
until half of all that is in hand has gone. An upstream on trial gets one row.

*Fails:* never: a store out of reach stops claiming until it is back, and whatever else goes wrong
is said in the log and tried again.
*Known limits:* a decision that raises keeps its whole claim from being made.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from gatepost import houselog, maillog
from gatepost.consent.standing import STRANGER, Person
from gatepost.flow.decide.letters import stop_letter
from gatepost.flow.decide.policy import Facts, Policy
from gatepost.flow.spool.hand import IN_HAND, Hand
from gatepost.flow.spool.queue import Queue
from gatepost.flow.spool.states import after_review
from gatepost.flow.transmit.pool import Pool
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.mail.verdict import Reason, Verdict
from gatepost.store.campaigns import FROZEN
from gatepost.store.engine import StoreUnavailable
from gatepost.store.spool.queue import BY_HAND, UNCONFIGURED
from gatepost.store.spool.rows import Claimed, Review, Ruling, Submission

P = TypeVar("P")

IDLE_SECONDS = 2.0  # how long a row that fell due may wait unnoticed
SETTLE_SECONDS = 2.0  # for the last claim to be answered

_WAITED = frozenset({FROZEN, UNCONFIGURED, BY_HAND})  # rules of what was held, and is decided anew
POSTMASTER = "postmaster"  # the rule by which our own postmaster gets everything (R5321-2)


class Claims:
    """The claims of one gateway. `clock` is one that nobody can set."""

    def __init__(
        self,
        *,
        queue: Queue,
        hand: Hand[P],
        policy: Callable[[], Policy],
        clock: Callable[[], datetime],
        quarantine_until: Callable[[datetime], datetime],
    ) -> None:
        self._queue = queue
        self._hand = hand
        self._policy = policy
        self._clock = clock
        self._quarantine_until = quarantine_until
        self._pools: Mapping[str, Pool] = {}
        self._unknown: Counter[tuple[str, str]] = Counter()  # held since the last report
        self._wake = asyncio.Event()
        self._claiming: asyncio.Task[None] | None = None
        self._stopping = False
        # The upstreams for which the last claim found something: of bulk mail, and of other.
        self._more: tuple[set[str], set[str]] = (set(), set())

    def start(self, pools: Mapping[str, Pool]) -> None:
        """Begins to claim for these upstreams."""
        self._pools = pools
        self._claiming = asyncio.get_running_loop().create_task(self._claim_forever())

    def end(self) -> None:
        """Begins no further claim."""
        self._stopping = True
        self._wake.set()

    async def settle(self) -> None:
        """Waits for the last claim: what it finds is in hand. Not for ever: a store may be away."""
        if self._claiming is not None:  # not cancelled: it may hold rows that nobody else knows of
            await asyncio.wait({self._claiming}, timeout=SETTLE_SECONDS)
        self.report()

    def wake(self) -> None:
        """Something may be due in the store."""
        self._wake.set()

    def knows(self, submission: Submission) -> bool:
        """Whether the mail can go as what it was taken for, by the configuration in force."""
        return self._policy().knows(submission.stream, submission.sender, submission.kind)

    def report(self) -> None:
        """Logs what was held since the last report, because it is not configured."""
        for (stream, sender), count in self._unknown.items():
            maillog.not_configured(stream, sender, count)
        self._unknown.clear()

    def wants_more(self, upstream: str, *, urgent: bool) -> bool:
        """Whether it is time to claim for `upstream`, and the last claim left something there."""
        return upstream in self._more[urgent] and self._hand.is_low(upstream, urgent=urgent)

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
            await self._claim_for_trials()
            if not any(got) and not self._stopping:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), IDLE_SECONDS)

    async def _claim_for_trials(self) -> None:
        for name, pool in self._pools.items():
            if pool.on_trial and self._hand.is_empty(name):
                for urgent in (True, False):
                    if await self._claim({name: 1}, urgent=urgent):
                        break

    async def _claim_share(self, urgent: bool, *, everywhere: bool) -> bool:
        """Claims for the upstreams of which little is in hand; whether anything was due.

        A few for all of them where it is to be `everywhere`.
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
        unknown: dict[int, tuple[str, str]] = {}
        if not any(rooms.values()):
            return found

        def decide(review: Review) -> list[Ruling | None]:
            found.update(row.upstream for row in review.rows)
            names = review.submission.stream, review.submission.sender
            if policy.knows(*names, review.submission.kind):
                return self._decide(policy, review)
            unknown.update((row.id, names) for row in review.rows)
            return [_set_aside(row) for row in review.rows]

        def needs_standing(stream: str) -> bool:
            return not stream or policy.needs_standing(stream)

        policy = self._policy()  # one for look-up and decision, whatever is reloaded meanwhile
        decided_at = self._clock()  # before the decision, never after it
        try:
            rows = await self._queue.claim(rooms, decide, needs_standing, urgent=urgent)
        except StoreUnavailable as error:
            houselog.store_unavailable("claim", error)
            return set()
        except Exception as error:  # noqa: BLE001  the next turn may go better
            houselog.housekeeping_failed("claim", error)
            return set()
        self._unknown.update(unknown.values())
        self._hand.take(rows, decided_at, None)
        return found

    def _decide(self, policy: Policy, review: Review) -> list[Ruling | None]:
        """The decision at the claim, in the claim's transaction."""
        if not review.submission.stream:
            return [_own_ruling(row, review) for row in review.rows]
        stream = policy.streams[review.submission.stream]
        rulings: list[Ruling | None] = []
        for row in review.rows:
            if _is_for_postmaster(row):
                rulings.append(_let_go(row))
                continue
            person = review.persons.get(row.recipient.address.key, STRANGER)
            verdict = policy.judge(
                stream,
                row.recipient.address,
                person,
                review.now,
                Facts(override=_override_of(row, person)),
                campaign_stopped=review.campaign_stopped,
                sender_frozen=review.sender_frozen,
            )
            rulings.append(self._ruling(row, verdict, review.now))
        return rulings

    def _ruling(self, row: Claimed, verdict: Verdict, now: datetime) -> Ruling | None:
        if verdict.delivers:
            if verdict.reason is Reason.OVERRIDE:  # stands as of when it was given
                verdict = replace(verdict, since=row.verdict.since)
            anew = row.verdict.rule in _WAITED or _rests_on_other(row.verdict, verdict)
            return Ruling(verdict, State.SENDING) if anew else None
        if verdict.reason is Reason.SENDER_FROZEN:  # waits for the thaw as what it was
            return Ruling(replace(row.verdict, rule=FROZEN), State.HELD)
        state = after_review(verdict)
        expires = self._quarantine_until(now) if state is State.QUARANTINED else None
        return Ruling(verdict, state, expires)


def _override_of(row: Claimed, person: Person) -> str:
    """The reason of an override, as long as it holds: it passes what was known when it was given.

    Who leaves after that, or after a release, has left (promise 3).
    """
    verdict, left = row.verdict, person.standing.withdrawn_at
    if verdict.reason is not Reason.OVERRIDE:
        return ""
    given = max(row.submission.received, verdict.since or row.submission.received)
    return verdict.note if left is None or left < given else ""


def _rests_on_other(recorded: Verdict, now: Verdict) -> bool:
    """Whether the copy leaves for another reason than is on record, such as a later consent."""
    if recorded.rule != now.rule or recorded.reason is Reason.OVERRIDE:
        return False
    return (recorded.reason, recorded.since) != (now.reason, now.since)


def _own_ruling(row: Claimed, review: Review) -> Ruling | None:
    """Of our own mail only a letter can be stopped; a notice goes to whom it is configured for."""
    person = review.persons.get(row.recipient.address.key, STRANGER)
    stop = stop_letter(row.verdict.rule, person)
    return Ruling(stop, after_review(stop)) if stop else None


def _set_aside(row: Claimed) -> Ruling:
    """Held until stream and sender are configured; who was to get it is not asked before."""
    return Ruling(replace(row.verdict, rule=UNCONFIGURED), State.HELD)


def _is_for_postmaster(row: Claimed) -> bool:
    """Also where it waited under another rule: no other bulk mail has its reason."""
    verdict = row.verdict
    personal = verdict.reason is Reason.PERSONAL and row.submission.kind is Kind.BULK
    return verdict.rule == POSTMASTER or (personal and verdict.rule in _WAITED)


def _let_go(row: Claimed) -> Ruling | None:
    """What everything for our postmaster gets: no verdict that could be found anew."""
    if row.verdict.rule == POSTMASTER:
        return None
    return Ruling(replace(row.verdict, rule=POSTMASTER), State.SENDING)
