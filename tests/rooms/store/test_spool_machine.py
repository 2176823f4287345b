"""Two gateways, an administrator and dying processes on one spool, in any order.

A model knows, from the outside, which recipients were accepted, who holds which, and until
when. Whatever happens: nobody accepted is lost, nobody is held by two, and every change of
state is a move of the table in `flow/spool/states.py`.
"""

import atexit
import shutil
import tempfile
from datetime import timedelta
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
)
from sqlalchemy import select

from gatepost.flow.spool.states import may_follow, successors
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.store import campaigns
from gatepost.store.engine import Store
from gatepost.store.spool import Lease, Marked, Ruling, quarantine, queue, recover, renew
from gatepost.store.tables import mail as tables
from gatepost.store.times import to_ms
from support.submissions import (
    DELIVER,
    DROP,
    HOLD,
    LEASE,
    REJECT,
    accept,
    change,
    claim,
    mark,
    submission,
)

GATEWAYS = ("gateway-1", "gateway-2")
OUTCOMES = (State.DELIVERED, State.DEFERRED, State.FAILED, State.READY, State.HELD)
RECIPIENT = tables.recipient.c
LONG = timedelta(hours=12)  # only a rule lets a lease run out, not a machine that stands still


def _all_rows(tx):
    rows = select(
        RECIPIENT.id, RECIPIENT.state, RECIPIENT.lease_by, RECIPIENT.finished_ms,
        RECIPIENT.submission,
        RECIPIENT.held_ms,
    )  # fmt: skip
    heads = select(tables.submission.c.id, tables.submission.c.finished_ms)
    execute = tx.connection.execute
    return execute(rows.order_by(RECIPIENT.id)).all(), execute(heads).all()


@cache
def _empty_store():
    """A folder with an empty store, made once and copied for each run."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    Store.open("", folder / "data").close()
    return folder / "data"


class Spool(RuleBasedStateMachine):
    """Rules are what can happen; invariants are what must hold."""

    rows = Bundle("rows")

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copytree(_empty_store(), self.folder, dirs_exist_ok=True)
        self.store = Store.open("", self.folder)
        self.accepted = 0
        self.states = {}
        self.holders = {}
        self.expired = set()

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.folder)

    @rule(
        target=rows,
        verdicts=st.lists(st.sampled_from([DELIVER, DELIVER, DROP, HOLD, REJECT]), min_size=1,
                          max_size=5),
        kind=st.sampled_from([Kind.BULK, Kind.TRANSACTIONAL]),
        at_once=st.booleans(),
        gateway=st.sampled_from(GATEWAYS),
    )  # fmt: skip
    def accept(self, verdicts, kind, at_once, gateway):
        addresses = [f"user{self.accepted + n}@example.org" for n in range(len(verdicts))]
        (result,) = accept(
            self.store,
            submission(
                *addresses,
                verdicts=dict(zip(addresses, verdicts, strict=True)),
                kind=kind,
                claim=at_once,
                lease=Lease(gateway, LONG, LEASE.retry_after) if at_once else None,
            ),
        )
        self.accepted += len(verdicts)
        self._hand_out(result.claimed, gateway)
        return multiple(*range(self.accepted - len(verdicts) + 1, self.accepted + 1))

    @rule(
        gateway=st.sampled_from(GATEWAYS),
        limit=st.integers(1, 6),
        rulings=st.lists(st.sampled_from([None, None, DROP, HOLD]), min_size=6, max_size=6),
    )
    def claim(self, gateway, limit, rulings):
        chosen = iter(rulings)
        states = {DROP: State.DROPPED, HOLD: State.QUARANTINED}

        def decide(review):
            verdicts = [next(chosen) for _ in review.rows]
            for row, verdict in zip(review.rows, verdicts, strict=True):
                if verdict:
                    self._let_go(row.id)
            return [verdict and Ruling(verdict, states[verdict]) for verdict in verdicts]

        claimed = claim(self.store, holder=gateway, limit=limit, decide=decide, lease=LONG)
        assert len(claimed) <= limit
        self._hand_out(claimed, gateway)

    @rule(
        row=rows, gateway=st.sampled_from(GATEWAYS), state=st.sampled_from(OUTCOMES),
        minutes=st.sampled_from([-1, 60]),
    )  # fmt: skip
    def mark(self, row, gateway, state, minutes):
        later = self.store.now() + timedelta(minutes=minutes)
        counted = state is not State.READY
        outcome = Marked(row, state, "some reply", later, counted=counted)
        lost = mark(self.store, outcome, holder=gateway)
        assert (lost == []) is (self.holders.get(row) == gateway)
        if not lost:
            self._let_go(row)

    @rule(row=rows)
    def lease_runs_out(self, row):
        """Its holder hangs, or is dead and does not know."""
        past = to_ms(self.store.now()) - 1
        change(
            self.store, tables.recipient, {"lease_until_ms": past, "next_attempt_ms": past},
            id=row, state="sending",
        )  # fmt: skip
        if row in self.holders:
            self.expired.add(row)

    @rule(row=rows, gateway=st.sampled_from(GATEWAYS))
    def renew(self, row, gateway):
        lost = self.store.write_now(lambda tx: renew(tx, gateway, [row], LONG))
        assert (lost == frozenset()) is (self.holders.get(row) == gateway)
        if not lost:
            self.expired.discard(row)

    @rule(gateway=st.sampled_from(GATEWAYS))
    def die_and_recover(self, gateway):
        theirs = [row for row, holder in self.holders.items() if holder == gateway]
        assert self.store.write_now(lambda tx: recover(tx, [gateway])) == len(theirs)
        for row in theirs:
            self._let_go(row)

    @rule(row=rows, act=st.sampled_from([queue.retry, queue.hold, queue.delete]))
    def administer(self, row, act):
        self.store.write_now(lambda tx: act(tx, [row]))
        if act is queue.hold and row in self.expired:
            self._let_go(row)

    @rule(row=rows)
    def release(self, row):
        self.store.write_now(lambda tx: quarantine.release(tx, [row], "asked for it"))

    @rule(row=rows)
    def drop_from_quarantine(self, row):
        self.store.write_now(lambda tx: quarantine.delete(tx, [row]))

    @rule(data=st.data())
    def stop_a_campaign(self, data):
        known = self.store.read_now(
            lambda tx: list(tx.connection.execute(select(tables.campaign.c.id)).scalars())
        )
        if known and data.draw(st.integers(0, 4)) == 0:
            campaign = data.draw(st.sampled_from(known))
            self.store.write_now(lambda tx: campaigns.stop(tx, campaign))

    @rule()
    def restart_the_process(self):
        self.store.close()
        self.store = Store.open("", self.folder)

    @invariant()
    def nothing_is_lost_and_nobody_held_twice(self):
        rows, heads = self.store.read_now(_all_rows)
        assert [row.id for row in rows] == list(range(1, self.accepted + 1))
        for row in rows:
            state, before = State(row.state), self.states.get(row.id, State.RECEIVED)
            assert state is before or may_follow(before, state), (before, state)
            self.states[row.id] = state
            assert (row.held_ms is not None) is (state in (State.HELD, State.QUARANTINED))
            assert (row.finished_ms is not None) is (not successors(state))
        sending = {row.id: row.lease_by for row in rows if row.state == State.SENDING}
        assert sending == self.holders
        is_open = {row.submission for row in rows if row.finished_ms is None}
        for number, finished in heads:
            assert (finished is None) is (number in is_open)

    def _hand_out(self, claimed, gateway):
        """Nobody is handed out who is held, unless the lease had run out."""
        for row in claimed:
            assert self.states.get(row.id) in (
                None, State.READY, State.DEFERRED, State.SENDING,
            )  # fmt: skip
            assert row.id not in self.holders or row.id in self.expired
            self._let_go(row.id)
            self.holders[row.id] = gateway

    def _let_go(self, row):
        self.holders.pop(row, None)
        self.expired.discard(row)


Spool.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
TestSpool = Spool.TestCase
