"""Link tokens: what was sealed opens, and nothing else does (promise 6)."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.consent.tokens import (
    ADDRESS_TOKEN_LENGTH,
    TOKEN_LENGTH,
    Claim,
    Purpose,
    Ring,
    stream_tag,
)

KEYS = {0: b"a" * 32, 7: b"b" * 32, 63: b"c" * 32}
RING = Ring(KEYS, 7)
CLAIM = Claim(2**63 - 1, stream_tag("newsletter"), 1)

claims = st.builds(
    Claim, st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
)
purposes = st.sampled_from(Purpose)
current = st.sampled_from(sorted(KEYS))


@given(purposes, claims, current)
def test_what_was_sealed_opens(purpose, claim, number):
    ring = Ring(KEYS, number)
    token = ring.seal(purpose, claim)
    assert len(token) == TOKEN_LENGTH
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")
    assert ring.seal_bytes(purpose, claim) == token.encode()
    assert RING.open(purpose, token) == claim  # a later current key does not matter


@given(purposes, claims, current)
def test_what_was_sealed_for_an_address_opens_in_any_case(purpose, claim, number):
    token = Ring(KEYS, number).seal_for_address(purpose, claim)
    assert len(token) == ADDRESS_TOKEN_LENGTH <= 62  # with a two-character mark within 64
    assert token == token.lower()
    assert token.isalnum()
    assert RING.open_from_address(purpose, token) == claim
    assert RING.open_from_address(purpose, token.upper()) == claim


@given(purposes, purposes, claims)
def test_purposes_never_stand_in_for_each_other(one, other, claim):
    opened = RING.open(other, RING.seal(one, claim))
    assert opened == (claim if one is other else None)
    opened = RING.open_from_address(other, RING.seal_for_address(one, claim))
    assert opened == (claim if one is other else None)


@given(st.integers(0, TOKEN_LENGTH - 1), st.characters())
def test_no_altered_token_opens(place, character):
    token = RING.seal(Purpose.UNSUBSCRIBE, CLAIM)
    altered = token[:place] + character + token[place + 1 :]
    assert RING.open(Purpose.UNSUBSCRIBE, altered) == (CLAIM if altered == token else None)


@given(
    st.integers(0, ADDRESS_TOKEN_LENGTH - 1), st.sampled_from(string.ascii_lowercase + "234567=1é")
)
def test_no_altered_address_token_opens(place, character):
    token = RING.seal_for_address(Purpose.BOUNCE, CLAIM)
    altered = token[:place] + character + token[place + 1 :]
    assert RING.open_from_address(Purpose.BOUNCE, altered) == (CLAIM if altered == token else None)


def test_the_spare_bits_of_an_address_token_are_no_way_around():
    token = RING.seal_for_address(Purpose.BOUNCE, CLAIM)
    others = {token[:-1] + character for character in string.ascii_lowercase + "234567"} - {token}
    assert not any(RING.open_from_address(Purpose.BOUNCE, other) for other in others)


@given(purposes, st.text(max_size=80) | st.text(string.ascii_letters, min_size=49, max_size=49))
def test_nothing_else_opens(purpose, text):
    assert RING.open(purpose, text) is None
    assert RING.open_from_address(purpose, text) is None


@given(purposes, claims)
def test_foreign_tokens_do_not_open(purpose, claim):
    foreign = Ring({7: b"x" * 32, 8: b"y" * 32}, 7)
    assert RING.open(purpose, foreign.seal(purpose, claim)) is None
    assert RING.open(purpose, Ring({8: b"y" * 32}, 8).seal(purpose, claim)) is None


@pytest.mark.parametrize("purpose", Purpose)
def test_a_compromised_key_only_lets_people_leave(purpose):
    token = RING.seal(purpose, CLAIM)
    address_token = RING.seal_for_address(purpose, CLAIM)
    ring = Ring(KEYS, 63, frozenset({7}))
    leaves = purpose in {Purpose.UNSUBSCRIBE, Purpose.MAILTO}
    assert ring.open(purpose, token) == (CLAIM if leaves else None)
    assert ring.open_from_address(purpose, address_token) == (CLAIM if leaves else None)
    assert ring.open(purpose, ring.seal(purpose, CLAIM)) == CLAIM


def test_a_token_is_always_the_same_and_each_claim_has_its_own():  # HR-5
    others = [Claim(1, 2, 3), Claim(2, 2, 3), Claim(1, 3, 3), Claim(1, 2, 4)]
    tokens = [RING.seal(Purpose.UNSUBSCRIBE, claim) for claim in others]
    assert len(set(tokens)) == len(others)
    assert tokens == [RING.seal(Purpose.UNSUBSCRIBE, claim) for claim in others]


@pytest.mark.parametrize(
    ("keys", "number", "compromised", "says"),
    [
        ({64: b"a" * 32}, 64, frozenset(), "0 to 63"),
        ({-1: b"a" * 32}, -1, frozenset(), "0 to 63"),
        ({1: b"a" * 16}, 1, frozenset(), "32 bytes"),
        ({1: b"a" * 32, 2: b"a" * 32}, 1, frozenset(), "two ids"),
        ({1: b"a" * 32}, 2, frozenset(), "missing"),
        ({1: b"a" * 32}, 1, frozenset({1}), "compromised"),
    ],
)
def test_a_ring_that_makes_no_sense_is_refused(keys, number, compromised, says):
    with pytest.raises(ValueError, match=says):
        Ring(keys, number, compromised)


@pytest.mark.parametrize("claim", [Claim(-1, 0, 0), Claim(2**64, 0, 0), Claim(0, 2**32, 0)])
def test_a_claim_that_does_not_fit_is_refused(claim):
    with pytest.raises(ValueError, match="fit"):
        RING.seal(Purpose.BOUNCE, claim)


def test_tokens_of_old_mails_stay_valid():
    """The format is for ever: these were made when it was fixed."""
    assert stream_tag("newsletter") == 0x120499A4
    assert (
        RING.seal(Purpose.UNSUBSCRIBE, Claim(1, 2, 3))
        == "HkD_7faBbt5LTgXYCJAfoFIFI2vEfpZi3msBRotbpsU3biSAW"
    )
    assert (
        RING.seal_for_address(Purpose.BOUNCE, Claim(1, 2, 3))
        == "a4jvsvjwkbjoqxxi7h5o4k4ldlxmdcauvz7zim6x4c5ostrnkkomg7xtsrzq"
    )
