"""Ids and times: there and back."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.store import ids
from gatepost.store.times import from_ms, to_ms


@given(st.integers(min_value=1, max_value=2**63 - 1))
def test_an_id_survives_being_written_down(number):
    text = ids.to_text(number)
    assert len(text) == 13
    assert ids.from_text(text) == ids.from_text(text.upper()) == number


def test_letters_that_people_confuse_are_forgiven():
    assert ids.from_text("000000000000l") == ids.from_text("000000000000i") == 1
    assert ids.from_text("00000000000o1") == 1


@pytest.mark.parametrize("text", ["", "1", "0" * 13, "z" * 13, "000000000000u", "0" * 12 + "é"])
def test_what_is_no_id_is_refused(text):
    with pytest.raises(ValueError):
        ids.from_text(text)


@pytest.mark.parametrize("number", [0, -1, 2**63])
def test_no_text_for_what_is_no_id(number):
    with pytest.raises(ValueError):
        ids.to_text(number)


def test_new_ids_are_large_and_different():
    made = {ids.new_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(0 < number < 2**63 for number in made)


def test_ids_of_people_who_come_together_lie_together():
    made = [ids.new_ids(1000) for _ in range(20)]
    assert len({number for run in made for number in run}) == 20_000
    for run in made:
        assert run == sorted(run)
        assert 0 < run[0] < run[-1] < 2**63
        assert run[-1] - run[0] < 1000 << 21
    assert ids.new_ids(0) == []


FIRST = datetime(1970, 1, 1)  # noqa: DTZ001  Hypothesis adds the zone


@given(st.datetimes(min_value=FIRST, timezones=st.just(UTC)))
def test_times_are_kept_to_the_millisecond(moment):
    kept = from_ms(to_ms(moment))
    assert timedelta() <= moment - kept < timedelta(milliseconds=1)
    assert kept.tzinfo is UTC


def test_a_time_elsewhere_is_the_same_time():
    stockholm = datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=1)))
    assert to_ms(stockholm) == to_ms(datetime(2026, 3, 1, 12, tzinfo=UTC))
