"""The chain of blocks: any change of any part changes the seal (promise 5)."""

import hashlib
import hmac

import pytest

from gatepost.consent.chain import GENESIS, block_digest, event_digest

KEY = b"k" * 32
EVENT = {"number": 1, "subject": 2, "kind": "granted", "recorded_ms": 3, "commitment": b"c" * 32}
ONE, TWO = b"1" * 32, b"2" * 32
BLOCK = (KEY, GENESIS, 1, 1000, (ONE, TWO))


@pytest.mark.parametrize(
    "change",
    [
        {"number": 2},
        {"subject": 3},
        {"kind": "granter"},
        {"recorded_ms": 4},
        {"commitment": b"d" * 32},
    ],
)
def test_an_event_digest_covers_every_part(change):
    assert len(event_digest(**EVENT)) == 32
    assert event_digest(**EVENT) != event_digest(**EVENT | change)


@pytest.mark.parametrize(
    "other",
    [
        (b"K" * 32, *BLOCK[1:]),
        (KEY, ONE, 1, 1000, (ONE, TWO)),
        (KEY, GENESIS, 2, 1000, (ONE, TWO)),
        (KEY, GENESIS, 1, 1001, (ONE, TWO)),
        (KEY, GENESIS, 1, 1000, (TWO, ONE)),
        (KEY, GENESIS, 1, 1000, (ONE,)),
        (KEY, GENESIS, 1, 1000, (ONE, TWO, TWO)),
        (KEY, GENESIS, 1, 1000, ()),
    ],
)
def test_a_seal_covers_every_part(other):
    assert block_digest(*BLOCK) != block_digest(*other)


def test_a_seal_is_an_hmac():
    head = b"".join(number.to_bytes(8, "big") for number in (1, 1000, 2))
    text = b"gatepost ledger block\x00" + GENESIS + head + ONE + TWO
    assert block_digest(*BLOCK) == hmac.digest(KEY, text, hashlib.sha256)


def test_events_may_come_one_by_one():
    assert block_digest(*BLOCK[:4], iter(BLOCK[4])) == block_digest(*BLOCK)


@pytest.mark.parametrize("change", [{"number": -1}, {"subject": 2**64}, {"commitment": b"c"}])
def test_an_event_that_does_not_fit_is_refused(change):
    with pytest.raises(ValueError):
        event_digest(**EVENT | change)


@pytest.mark.parametrize(
    "block",
    [
        (b"short", GENESIS, 1, 1, ()),
        (KEY, b"", 1, 1, ()),
        (KEY, GENESIS, -1, 1, ()),
        (KEY, GENESIS, 1, 1, (b"x",)),
    ],
)
def test_a_block_that_does_not_fit_is_refused(block):
    with pytest.raises(ValueError):
        block_digest(*block)
