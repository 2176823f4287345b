"""What is in hand: who is next, and for whom there is room."""

from gatepost.flow.spool.hand import IN_HAND, URGENT_RESERVE, Hand
from gatepost.mail.stream import Kind
from support.claimed import AT, rows, submission


def taken(hand, kind, count, number=1):
    claimed = rows(submission(number, kind), count)
    hand.take(claimed, AT, None)
    return claimed


async def test_mail_that_is_not_bulk_goes_first():
    hand = Hand()
    taken(hand, Kind.BULK, 3)
    taken(hand, Kind.TRANSACTIONAL, 1, number=2)
    assert [(await hand.next("")).submission.id for _ in range(2)] == [2, 1]


def test_other_mail_has_its_reserve_however_much_bulk_mail_there_is():
    """A claim and an acceptance at the same moment may both fill the hand."""
    hand = Hand()
    bulk = taken(hand, Kind.BULK, IN_HAND) + taken(hand, Kind.BULK, IN_HAND)
    assert hand.room("") == 0
    assert hand.room("", urgent=True) == URGENT_RESERVE
    other = taken(hand, Kind.TRANSACTIONAL, URGENT_RESERVE, number=2)
    assert hand.room("", urgent=True) == 0
    hand.release(other[:3])
    assert hand.room("", urgent=True) == 3
    hand.release(other[3:])
    hand.release(bulk)
    assert hand.is_empty("")
    assert hand.room("") == hand.room("", urgent=True) == IN_HAND


def test_an_upstream_has_a_hand_of_its_own():
    hand = Hand()
    taken(hand, Kind.BULK, IN_HAND)
    assert hand.room("other") == IN_HAND
