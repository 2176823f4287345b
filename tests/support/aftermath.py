"""What must hold when all is quiet again after a crash (promise 1).

Every acknowledged recipient is one row in one final state; upstream has each copy once, or twice
only where its answer was lost; what was not acknowledged is there whole or not at all; and
nothing is left over: no lease, no staged content, no content of nobody. The ledger is whole.
"""

from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import text

from gatepost.mail.recipient_state import FINAL
from gatepost.store import ledger
from support.patience import PATIENCE_SECONDS
from support.watching import copies, wait_until

_ROWS = text("SELECT id, submission, address, state, reason, lease_by, attempts FROM recipient")
_PASS_TIME = (
    "UPDATE recipient SET next_attempt_ms = 1 WHERE state = 'deferred'",
    "UPDATE content_staged SET started_ms = 1",
)
_WAITING = text(
    "SELECT COUNT(*) FROM recipient WHERE state IN ('ready', 'sending', 'deferred')"
    " OR (state = 'failed' AND reported_ms IS NULL)"
)
_LEFTOVERS = {
    "staged content": "SELECT COUNT(*) FROM content_staged",
    "content of nobody": "SELECT COUNT(*) FROM content c WHERE NOT EXISTS"
    " (SELECT 1 FROM submission s WHERE s.id = c.submission)",
    "leases": "SELECT COUNT(*) FROM recipient WHERE lease_by IS NOT NULL",
    "submissions left open": "SELECT COUNT(*) FROM submission s WHERE (s.finished_ms IS NULL) <>"
    " EXISTS (SELECT 1 FROM recipient r WHERE r.submission = s.id AND r.finished_ms IS NULL)",
    "submissions that were halved": "SELECT COUNT(*) FROM submission s WHERE s.recipients <>"
    " (SELECT COUNT(*) FROM recipient r WHERE r.submission = s.id)",
}


@dataclass
class Aftermath:
    """The books, as they were found."""

    rows: list = field(default_factory=list)
    copies: Counter = field(default_factory=Counter)
    duplicates: Counter = field(default_factory=Counter)

    def states(self, address):
        return [row.state for row in self.rows if row.address == address]


def until_quiet(gateway, seconds=PATIENCE_SECONDS, *, swept=True):
    """Waits until nothing is on its way any more; retries and terms fall due at once.

    `swept`: also until the program has swept what was staged and never accepted.
    """
    with gateway.store() as store:

        def quiet():
            def look(tx):
                for statement in _PASS_TIME:
                    tx.connection.execute(text(statement))
                return tx.connection.execute(_WAITING).scalar()

            waiting = store.write_now(look)
            return not waiting and not (swept and _left_over(store, "staged content"))

        wait_until(quiet, gateway, seconds)


def examine(gateway, upstream, *, acknowledged=(), lost_answers=0, parked=()):
    """The books; fails the test where they do not add up.

    `acknowledged` are addresses, one for each recipient of what was answered 250; `lost_answers`
    is how often upstream's answer about one copy may have been lost; `parked` are states that
    rows may stay in. No copy was ever sent but in an attempt that was written before.
    """
    with gateway.store() as store:
        rows = store.read_now(lambda tx: tx.connection.execute(_ROWS).all())
        for what in _LEFTOVERS:
            assert not _left_over(store, what), what
        assert list(ledger.inspect(store.read_now)) == []
    for row in rows:
        assert row.state in FINAL or row.state in parked, row
    there = Counter(row.address for row in rows)
    assert not Counter(acknowledged) - there, "acknowledged, and lost"
    delivered = Counter(row.address for row in rows if row.state == "delivered")
    got = copies(upstream)
    assert not delivered - got, "delivered in the books alone"
    duplicates = got - delivered
    assert max(duplicates.values(), default=0) <= lost_answers, duplicates
    attempts = Counter()
    for row in rows:
        attempts[row.address] += row.attempts
    assert not got - attempts, "sent without an attempt on record"
    assert upstream.violations == []
    return Aftermath(rows, got, duplicates)


def _left_over(store, what):
    return store.read_now(lambda tx: tx.connection.execute(text(_LEFTOVERS[what])).scalar())
