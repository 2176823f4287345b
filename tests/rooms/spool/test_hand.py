"""What is in hand: who is next, and for whom there is room."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.flow.spool.hand import (
    AT_MOST,
    AT_THE_DOOR,
    IN_HAND,
    LANES,
    LARGE,
    TOP_UP,
    Hand,
    Lane,
    lane_of,
)
from gatepost.flow.spool.rotation import TURN, Rotation, Work
from gatepost.mail.stream import Kind
from support.claimed import AT, rows, submission

BULK, URGENT = Lane(urgent=False, large=False), Lane(urgent=True, large=False)


def taken(hand, kind, count, number=1, **more):
    claimed = rows(replace(submission(number, kind), **more), count)
    hand.take(claimed, AT, None)
    return claimed


def work(count=1, number=1, **more):
    given = replace(submission(number), **more)
    return Work(given, rows(given, count), AT)


async def test_each_lane_has_work_of_its_own():
    hand = Hand()
    for number, (kind, size) in enumerate([
        (Kind.TRANSACTIONAL, LARGE), (Kind.PERSONAL, LARGE + 1),
        (Kind.BULK, LARGE), (Kind.BULK, LARGE + 1),
    ]):  # fmt: skip
        taken(hand, kind, 1, number=number, size=size)
    assert [(await hand.next("", lane)).submission.id for lane in LANES] == [0, 1, 2, 3]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await hand.next("", BULK)


async def test_who_waits_for_work_gets_it_when_it_comes():
    hand = Hand()
    waiting = [asyncio.create_task(hand.next("", BULK)) for _ in range(2)]
    await asyncio.sleep(0)
    taken(hand, Kind.BULK, 20)
    assert sorted([len((await one).rows) for one in waiting]) == [4, 16]


def test_bulk_mail_and_other_mail_take_no_room_from_each_other():
    """A claim and an acceptance at the same moment may both fill the hand."""
    hand = Hand()
    bulk = taken(hand, Kind.BULK, IN_HAND) + taken(hand, Kind.BULK, IN_HAND)
    assert hand.room("", urgent=False) == 0
    assert hand.room("", urgent=True) == IN_HAND
    assert (hand.is_low("", urgent=False), hand.is_low("", urgent=True)) == (False, True)
    other = taken(hand, Kind.TRANSACTIONAL, IN_HAND, number=2)
    assert hand.room("", urgent=True) == 0
    hand.release(other[:3])
    assert hand.room("", urgent=True) == 3
    hand.release(other[3:])
    hand.release(bulk)
    assert hand.is_empty("")
    assert hand.room("", urgent=False) == hand.room("", urgent=True) == IN_HAND


def test_what_comes_in_by_the_door_leaves_room_for_what_waits_in_the_store():
    hand = Hand()
    taken(hand, Kind.BULK, AT_THE_DOOR)
    assert hand.room_at_door("", urgent=False) == 0
    assert hand.room_on_top("", urgent=False) == TOP_UP
    assert hand.room_at_door("", urgent=True) == AT_THE_DOOR
    taken(hand, Kind.BULK, AT_MOST - AT_THE_DOOR)
    assert hand.room_on_top("", urgent=False) == 0


def test_an_upstream_has_a_hand_of_its_own():
    hand = Hand()
    taken(hand, Kind.BULK, IN_HAND)
    assert hand.room("other", urgent=False) == IN_HAND


async def test_a_small_mailing_takes_turns_with_a_large_one():
    hand = Hand()
    taken(hand, Kind.BULK, 1000)
    taken(hand, Kind.BULK, 40, number=2, campaign=2)
    order = [(await hand.next("", BULK)).submission.id for _ in range(10)]
    assert order == [1, 2, 1, 2, 1, 2, 1, 1, 1, 1]


async def test_a_turn_is_as_long_for_a_mailing_of_many_messages():
    hand = Hand()
    taken(hand, Kind.BULK, 160)
    for number in range(2, 42):
        taken(hand, Kind.BULK, 1, number=number, campaign=2)
    seen = [(await hand.next("", BULK)) for _ in range(1 + TURN + 1 + TURN)]
    assert [one.submission.campaign for one in seen] == [1] + [2] * TURN + [1] + [2] * TURN
    assert [one.submission.id for one in seen[1 : 1 + TURN]] == list(range(2, 2 + TURN))


@pytest.mark.parametrize("more", [{"client": "shop"}, {"stream": "orders"}])
async def test_a_flood_of_one_client_or_stream_lets_others_pass(more):
    hand = Hand()
    for number in range(2, 100):
        taken(hand, Kind.TRANSACTIONAL, 1, number=number, campaign=None)
    taken(hand, Kind.TRANSACTIONAL, 1, campaign=None, **more)
    first = [(await hand.next("", URGENT)).submission.id for _ in range(TURN + 1)]
    assert first[-1] == 1


async def test_what_is_cut_off_comes_first_again_in_its_mailing():
    hand = Hand()
    claimed = taken(hand, Kind.BULK, 20)
    first = hand.cut(await hand.next("", BULK), 3)
    assert list(first.rows) == claimed[:3]
    assert list((await hand.next("", BULK)).rows) == claimed[3:16]
    assert list((await hand.next("", BULK)).rows) == claimed[16:]


def test_emptying_takes_out_everything_of_one_upstream():
    hand = Hand()
    taken(hand, Kind.BULK, 20)
    taken(hand, Kind.TRANSACTIONAL, 2, number=2, size=LARGE + 1)
    works = hand.empty("")
    assert Counter(lane_of(one.submission) for one in works) == {
        BULK: 2, Lane(urgent=True, large=True): 1,
    }  # fmt: skip
    assert hand.empty("") == []
    for one in works:
        hand.release(one.rows)
    assert hand.is_empty("")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 20)), max_size=40), st.data())
def test_whatever_comes_and_goes_nobody_waits_for_more_than_a_turn_of_each(given, data):
    rotation, waiting = Rotation(), {}
    for number, (campaign, count) in enumerate(given):
        rotation.add(work(count, number=number, campaign=campaign))
        waiting.setdefault(campaign, []).append(number)
        if data.draw(st.booleans()):
            one = rotation.next()
            assert waiting[one.submission.campaign].pop(0) == one.submission.id
    since = Counter()  # recipients of others, since a mailing had its turn
    while rotation:
        one = rotation.next()
        campaign = one.submission.campaign
        assert waiting[campaign].pop(0) == one.submission.id
        since[campaign] = 0
        for other, left in waiting.items():
            if other != campaign and left:
                since[other] += len(one.rows)
                assert since[other] <= 3 * (TURN - 1 + 20)
    assert not any(waiting.values())
