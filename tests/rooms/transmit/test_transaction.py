"""The short way for ordinary replies ends where the long way does."""

import pytest

from gatepost.flow.transmit.commands import Offer, compose
from gatepost.flow.transmit.transaction import Mode, Transaction, Want
from support.sending import make_copy


def opened(*recipients, mode=Mode.PIPELINED, reset=False) -> Transaction:
    copy = make_copy(*(recipients or ("a@one.example",)))
    one = Transaction(copy, compose(copy, Offer(pipelining=True)), mode, reset=reset)
    one.write_all([])
    return one


def state(one: Transaction) -> dict[str, object]:
    return {name: getattr(one, name) for name in Transaction.__slots__ if name not in _GIVEN}


_GIVEN = {"copy", "wire"}


def test_an_opening_taken_at_once_is_one_taken_reply_by_reply():
    at_once, one_by_one = opened(), opened()
    assert at_once.is_simple
    at_once.take_opening()
    for code in (250, 250, 354):
        one_by_one.take(code, b"ok", used=True)
    assert state(at_once) == state(one_by_one)
    assert at_once.wants is Want.CONTENT


def test_only_one_recipient_without_reset_and_without_bdat_is_simple():
    assert not opened("a@one.example", "b@one.example").is_simple
    assert not opened(reset=True).is_simple
    assert not opened(mode=Mode.CHUNKED).is_simple
    begun = opened()
    begun.take(250, b"ok", used=True)
    assert not begun.is_simple


def test_the_end_is_awaited_when_all_content_is_written_for_somebody():
    one = opened()
    one.take_opening()
    assert not one.awaits_end
    one.content_sent, one.wants = True, Want.REPLY
    assert one.awaits_end
    for_nobody = opened()
    for code in (250, 550, 354):
        for_nobody.take(code, b"5.1.1 no", used=True)
    for_nobody.content_sent = True
    assert not for_nobody.awaits_end


@pytest.mark.parametrize("refused", [False, True], ids=["for all", "for some"])
@pytest.mark.parametrize(
    "text", [b"2.0.0 queued as 1", b"ok", b"5.0.0 odd", b"2.0.0", b"2.1.5 \xe5\x00\n2.0.0 b", b""]
)
def test_a_delivery_taken_at_once_is_one_taken_as_any_reply(text, refused):
    def sent():
        one = opened("a@one.example", "b@one.example")
        for code in (250, 250, 452 if refused else 250, 354):
            one.take(code, b"4.5.3 too many" if code == 452 else b"ok", used=True)
        one.content_sent, one.wants = True, Want.REPLY
        assert one.awaits_end
        return one

    at_once, as_any = sent(), sent()
    at_once.take_delivery(text)
    as_any.take(250, text, used=True)
    assert state(at_once) == state(as_any)
    assert at_once.wants is Want.NOTHING
