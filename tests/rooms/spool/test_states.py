"""The table of states: complete, connected, and the home of every verdict and outcome."""

import pytest

from gatepost.flow.spool.states import (
    MOVES,
    STATES,
    VERDICTS,
    after_review,
    after_verdict,
    may_follow,
    successors,
)
from gatepost.mail.recipient_state import FINAL, QUEUED, State
from gatepost.mail.verdict import Disposition, Reason, Verdict

VERDICTS_OF_ALL_REASONS = [
    Verdict(disposition, reason, "rule") for disposition in Disposition for reason in Reason
]


def test_every_state_has_one_row_that_says_something():
    assert [row.state for row in STATES] == list(State)
    assert all(row.meaning and row.after_a_crash for row in STATES)


def test_moves_are_said_once_and_have_a_cause():
    pairs = [(move.origin, move.target) for move in MOVES]
    assert len(pairs) == len(set(pairs))
    assert all(move.cause for move in MOVES)


@pytest.mark.parametrize("state", State)
def test_nothing_follows_a_final_state_and_something_follows_every_other(state):
    assert (successors(state) == frozenset()) is (state in FINAL) is state.is_final


@pytest.mark.parametrize("state", State)
def test_every_state_is_reached_and_ends(state):
    reached = {State.RECEIVED}
    while more := {target for origin in reached for target in successors(origin)} - reached:
        reached |= more
    assert state in reached
    onward = {state}
    while more := {target for origin in onward for target in successors(origin)} - onward:
        onward |= more
    assert onward & FINAL


def test_only_the_queue_and_the_quarantine_are_open():
    assert {state for state in State if state.is_queued} == QUEUED
    assert set(State) - FINAL - QUEUED == {State.RECEIVED, State.QUARANTINED}


def test_no_row_is_sent_from_anywhere_but_sending():
    assert {move.origin for move in MOVES if move.target is State.DELIVERED} == {State.SENDING}


def test_nothing_leaves_the_quarantine_for_the_wire_without_a_new_decision():
    assert not may_follow(State.QUARANTINED, State.SENDING)
    assert not may_follow(State.HELD, State.SENDING)


@pytest.mark.parametrize("verdict", VERDICTS_OF_ALL_REASONS, ids=str)
def test_every_verdict_has_a_legal_state_at_acceptance_and_at_a_claim(verdict):
    entered = after_verdict(verdict)
    assert may_follow(State.RECEIVED, entered)
    assert (entered is State.READY) is verdict.delivers
    reviewed = after_review(verdict)
    for waiting in (State.READY, State.DEFERRED, State.SENDING):
        assert may_follow(waiting, reviewed)
    assert (reviewed is State.SENDING) is verdict.delivers
    assert reviewed is not State.REJECTED, "the mailer has had its 250"


def test_a_stopped_campaign_ends_in_stopped():
    stopped = Verdict(Disposition.DROP, Reason.CAMPAIGN_STOPPED, "campaign-stopped")
    assert after_verdict(stopped) is after_review(stopped) is State.STOPPED


def test_every_disposition_has_one_row():
    assert sorted(row.disposition for row in VERDICTS) == sorted(Disposition)


def test_the_reason_changes_nothing_but_for_a_stopped_campaign():
    rows = {row.disposition: row for row in VERDICTS}
    for verdict in VERDICTS_OF_ALL_REASONS:
        if verdict.reason is not Reason.CAMPAIGN_STOPPED:
            row = rows[verdict.disposition]
            assert (after_verdict(verdict), after_review(verdict)) == (row.accepted, row.claimed)
