"""The states of a recipient as a table: what each means, and what a crash leaves in it.

One row per recipient of a submission passes through these states. Acceptance is one
transaction: content, rows and verdicts are committed together, and only then is DATA
answered 250 (promise 1). From there every move is one transaction, so that a crash leaves
a row in exactly one of these states, and `STATES` says for each what happens next.

The attempt and the time of the next one are written before the try: whoever dies in the
middle leaves a row in `sending` with a lease that runs out. Then the row is claimed again;
at once after a first try, at its written time after later ones, so that a copy which kills
its sender does so on the schedule of retries and not in a loop.

In: states, causes, verdicts. Out: the tables, and pure questions about them; `docs/states.md`
is drawn from `STATES`, `MOVES` and `VERDICTS`.

*Fails:* never.
"""

from dataclasses import dataclass

from gatepost.mail.recipient_state import State
from gatepost.mail.verdict import Disposition, Reason, Verdict


@dataclass(frozen=True, slots=True)
class StateRow:
    """One state: its meaning, and what a crash while a row is in it leaves behind."""

    state: State
    meaning: str
    after_a_crash: str


@dataclass(frozen=True, slots=True)
class Move:
    """One legal move and what causes it."""

    origin: State
    target: State
    cause: str


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """Where a verdict leads: when the mail is accepted, and when a copy of it is claimed."""

    disposition: Disposition
    accepted: State
    claimed: State


STATES = (
    StateRow(
        State.RECEIVED,
        "The envelope or the content is still coming in; nothing is stored but, for large "
        "mail, chunks that no submission refers to.",
        "The mailer has had no answer and tries again; the chunks are swept.",
    ),
    StateRow(
        State.READY,
        "Accepted, to be sent as soon as its turn comes.",
        "The row is claimed by whoever comes next.",
    ),
    StateRow(
        State.SENDING,
        "Claimed by one gateway, which composes and sends the copy; attempt, next time and "
        "lease are written.",
        "The lease runs out, or its holder recovers it at its next start; the copy is sent "
        "again, a second time only if upstream had taken it and the answer was lost.",
    ),
    StateRow(
        State.DEFERRED,
        "Upstream could not take it; the next attempt has its time.",
        "The row is claimed when that time has come.",
    ),
    StateRow(
        State.HELD,
        "Set aside, by an administrator or because something nobody foresaw happened.",
        "The row stays until an administrator retries or deletes it.",
    ),
    StateRow(
        State.QUARANTINED,
        "Not to be sent unless it is released, with a reason or by a confirmation; it expires.",
        "The row stays, and expires at its time.",
    ),
    StateRow(
        State.DELIVERED,
        "Upstream answered 2yz to the end of the data.",
        "A delivery report that is still due is sent; content goes when its retention ends.",
    ),
    StateRow(
        State.DROPPED,
        "Not sent, by verdict: there was no reason to mail this person.",
        "Nothing is left to do; the row is the record.",
    ),
    StateRow(
        State.REJECTED,
        "Refused in the SMTP dialogue; the mailer knows.",
        "Nothing is left to do; the row is the record.",
    ),
    StateRow(
        State.FAILED,
        "Upstream refused it for good, or the time for retrying is over.",
        "A delivery report that is still due is sent: whether it was is in the row.",
    ),
    StateRow(
        State.STOPPED,
        "Ended before sending: its campaign was stopped, before or after it came; or an "
        "administrator deleted it; or the person was erased.",
        "Nothing is left to do; the row is the record.",
    ),
)

MOVES = (
    Move(State.RECEIVED, State.READY, "accepted"),
    Move(State.RECEIVED, State.SENDING, "accepted and claimed at once"),
    Move(State.RECEIVED, State.DROPPED, "accepted; not to be mailed"),
    Move(State.RECEIVED, State.STOPPED, "accepted; its campaign is stopped"),
    Move(State.RECEIVED, State.QUARANTINED, "accepted; set aside"),
    Move(State.RECEIVED, State.REJECTED, "refused"),
    Move(State.READY, State.SENDING, "claimed"),
    Move(State.READY, State.DROPPED, "decided again"),
    Move(State.READY, State.QUARANTINED, "decided again"),
    Move(State.READY, State.STOPPED, "deleted, its campaign stopped, or the person erased"),
    Move(State.READY, State.HELD, "held, or its sender is frozen or not configured"),
    Move(State.READY, State.FAILED, "given up: upstream was away too long"),
    Move(State.DEFERRED, State.SENDING, "claimed when due"),
    Move(State.DEFERRED, State.READY, "retried by an administrator"),
    Move(State.DEFERRED, State.DROPPED, "decided again"),
    Move(State.DEFERRED, State.QUARANTINED, "decided again"),
    Move(State.DEFERRED, State.STOPPED, "deleted, its campaign stopped, or the person erased"),
    Move(State.DEFERRED, State.HELD, "held, or its sender is frozen or not configured"),
    Move(State.DEFERRED, State.FAILED, "given up: upstream was away too long"),
    Move(State.SENDING, State.SENDING, "taken up: the lease had run out"),
    Move(State.SENDING, State.DELIVERED, "upstream took it"),
    Move(State.SENDING, State.DEFERRED, "upstream deferred it, or its holder died"),
    Move(State.SENDING, State.FAILED, "upstream refused it"),
    Move(State.SENDING, State.READY, "the attempt did not begin, or its holder died"),
    Move(
        State.SENDING,
        State.HELD,
        "something nobody foresaw, its sender is frozen or not configured, or held after its "
        "holder died",
    ),
    Move(State.SENDING, State.DROPPED, "decided again when taken up"),
    Move(State.SENDING, State.QUARANTINED, "decided again when taken up"),
    Move(State.SENDING, State.STOPPED, "decided again when taken up"),
    Move(
        State.HELD,
        State.READY,
        "retried by an administrator, or its sender is thawed or configured again",
    ),
    Move(State.HELD, State.STOPPED, "deleted, its campaign stopped, or the person erased"),
    Move(State.QUARANTINED, State.READY, "released"),
    Move(State.QUARANTINED, State.DROPPED, "deleted or expired, or the person erased"),
)

# The one table of where verdicts lead; `_STOPPED` is its exception.
VERDICTS = (
    VerdictRow(Disposition.DELIVER, State.READY, State.SENDING),
    VerdictRow(Disposition.QUARANTINE, State.QUARANTINED, State.QUARANTINED),
    VerdictRow(Disposition.REJECT, State.REJECTED, State.DROPPED),
    VerdictRow(Disposition.DROP, State.DROPPED, State.DROPPED),
)
_VERDICTS = {row.disposition: row for row in VERDICTS}
# A campaign that was stopped ends its mail in one state, whenever that mail comes: a report
# would otherwise count the same stop in two places.
_STOPPED = _VERDICTS | {
    Disposition.DROP: VerdictRow(Disposition.DROP, State.STOPPED, State.STOPPED),
    Disposition.REJECT: VerdictRow(Disposition.REJECT, State.REJECTED, State.STOPPED),
}

_LEGAL = frozenset((move.origin, move.target) for move in MOVES)


def may_follow(origin: State, target: State) -> bool:
    """Whether a row may go from `origin` to `target` in one transaction."""
    return (origin, target) in _LEGAL


def successors(origin: State) -> frozenset[State]:
    """The states that may come next; empty for a final one."""
    return frozenset(move.target for move in MOVES if move.origin is origin)


def after_verdict(verdict: Verdict) -> State:
    """The state in which a recipient enters the spool, given the verdict about it."""
    return _row_for(verdict).accepted


def after_review(verdict: Verdict) -> State:
    """The state after the decision at a claim: a refusal comes too late, and drops."""
    return _row_for(verdict).claimed


def _row_for(verdict: Verdict) -> VerdictRow:
    stopped = verdict.reason is Reason.CAMPAIGN_STOPPED
    return (_STOPPED if stopped else _VERDICTS)[verdict.disposition]
