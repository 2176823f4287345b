"""The retry schedule (RQ-2)."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.flow.spool.schedule import STANDARD, UPSTREAMS_FAULT, Schedule, next_attempt

START = datetime(2027, 3, 1, tzinfo=UTC)
FIVE_DAYS = timedelta(days=5)
jitters = st.floats(0, 1, exclude_max=True)


def attempts_until_given_up(jitter: float, retry_for: timedelta) -> list[timedelta]:
    times, now = [timedelta(0)], START
    while (later := next_attempt(len(times), START, now, retry_for, jitter)) is not None:
        now = later
        times.append(now - START)
        assert len(times) < 1000
    return times


@given(jitters)
def test_rq_2_two_attempts_in_the_first_hour_then_every_two_to_three(jitter):
    times = attempts_until_given_up(jitter, FIVE_DAYS)
    assert sum(time < timedelta(hours=1) for time in times) == 2
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] >= timedelta(minutes=30)
    assert all(timedelta(hours=2) <= gap <= timedelta(hours=3) for gap in gaps[1:])


@given(jitters, st.integers(1, 10**6))
def test_gives_up_at_the_end_and_not_long_before(jitter, seconds):
    retry_for = timedelta(seconds=seconds)
    times = attempts_until_given_up(jitter, retry_for)
    assert times[-1] <= retry_for
    assert retry_for - times[-1] <= timedelta(hours=2)


def test_nothing_after_the_end():
    late = START + FIVE_DAYS
    assert next_attempt(1, START, late, FIVE_DAYS, 0.0) is None
    assert next_attempt(40, START, late + timedelta(days=1), FIVE_DAYS, 0.5) is None


def test_the_parameters_count():
    quick = Schedule(first=timedelta(seconds=1), steady=timedelta(seconds=4), spread=0)
    assert next_attempt(1, START, START, FIVE_DAYS, 0.9, schedule=quick) == START + quick.first
    assert next_attempt(2, START, START, FIVE_DAYS, 0.9, schedule=quick) == START + quick.steady


def test_where_upstream_was_at_fault_pauses_begin_with_seconds_and_double():
    pauses = [UPSTREAMS_FAULT.pause(attempts).total_seconds() for attempts in range(1, 13)]
    assert pauses[:5] == [15, 30, 60, 120, 240]
    assert pauses[9:] == [7200] * 3
    assert UPSTREAMS_FAULT.pause(10**9) == STANDARD.pause(10**9) == STANDARD.steady


@pytest.mark.parametrize(
    "bad",
    [{"first": timedelta(0)}, {"steady": timedelta(-1)}, {"spread": -0.1}, {"factor": 0}],
)
def test_impossible_parameters_are_refused_at_birth(bad):
    with pytest.raises(ValueError):
        Schedule(**bad)


def test_the_standard_is_the_one_of_rfc_5321():
    assert timedelta(minutes=30) == STANDARD.first
