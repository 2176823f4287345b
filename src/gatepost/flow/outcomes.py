"""What came of copies: marks for the spool, lines for the log, numbers for the metrics.

In: a copy's rows and one outcome for each of its recipients, from the pool. Out: marks. What went
wrong by upstream's fault is tried again soon, unless the copy may have arrived. What was
delivered is one line in the log for all of a while, and one change of a metric.

*Fails:* never.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import random

from gatepost import maillog
from gatepost.flow.spool.schedule import STANDARD, UPSTREAMS_FAULT, Schedule, next_attempt
from gatepost.flow.transmit.copy import Copy
from gatepost.mail.envelope import Recipient
from gatepost.mail.outcome import Outcome, Result, Scope
from gatepost.mail.recipient_state import State
from gatepost.mail.reply import Reply
from gatepost.store.ids import to_text
from gatepost.store.spool.rows import Claimed, Marked

HELD_BACK = timedelta(seconds=1)
COUNT_SECONDS = 0.1  # a metric is changed once for all copies of such a while
EXPIRED = Reply(554, "5.4.7", "delivery time expired")


class Outcomes:
    """The outcomes of one gateway. `retry_for` says how long an upstream is tried."""

    def __init__(
        self, retry_for: Callable[[str], timedelta], clock: Callable[[], datetime]
    ) -> None:
        self._retry_for = retry_for
        self._clock = clock
        self._tally: Counter[str] = Counter()
        self._attempts: Counter[tuple[str, str]] = Counter()  # by stream and state
        self._counting: asyncio.TimerHandle | None = None

    def take(
        self, copy: Copy, rows: Sequence[Claimed], outcomes: Sequence[Outcome]
    ) -> list[Marked]:
        """The marks of a copy's rows, which are counted, and in the log where they are news."""
        marks = [
            self._marked(row, outcome, relayed=_is_relayed(copy, recipient, outcome))
            for row, recipient, outcome in zip(rows, copy.recipients, outcomes, strict=True)
        ]
        for row, mark in zip(rows, marks, strict=True):
            self._tally[mark.state] += 1
            self._attempts[row.submission.stream, mark.state] += 1
            if mark.state is State.FAILED or (mark.state is State.DEFERRED and mark.counted):
                maillog.attempt_failed(
                    to_text(row.submission.id), row.recipient.address.key, mark.state,
                    row.attempts, mark.reply,
                )  # fmt: skip
        if self._counting is None:
            loop = asyncio.get_running_loop()
            self._counting = loop.call_later(COUNT_SECONDS, self._count_attempts)
        return marks

    def report(self) -> None:
        """Logs what was done since the last report."""
        if self._tally:
            maillog.results(self._tally)
            self._tally = Counter()

    def stop(self) -> None:
        """Hands the metrics what is still to be counted."""
        if self._counting is not None:
            self._counting.cancel()
            self._count_attempts()

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


def _schedule(outcome: Outcome) -> Schedule:
    """Soon again where the mail did nothing wrong; but not what may have arrived."""
    upstreams = outcome.scope in {Scope.CONNECTION, Scope.UPSTREAM} and not outcome.in_doubt
    return UPSTREAMS_FAULT if upstreams else STANDARD


def _is_relayed(copy: Copy, recipient: Recipient, outcome: Outcome) -> bool:
    """Whether the mailer, who asked for word of success, will get none but ours (RFC 3461 §5.2).

    The copy decides: one with a return path of its own carries no wish of the mailer's (R0-5).
    """
    return not outcome.dsn_passed and "SUCCESS" in recipient.notify and bool(copy.mail_from)
