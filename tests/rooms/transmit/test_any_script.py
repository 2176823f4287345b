"""Random misbehaviour, and what must hold whatever happens: right copies, honest outcomes.

Thirty copies, each with a content of its own, over two connections. An upstream may answer as it
likes, at each command anew, and may close or cut the connection. Then

- whatever it was given as complete is exactly the copy of that recipient, and once;
- who is marked unsent is not at upstream;
- who is marked delivered was answered 2yz, and who is not was not, unless the answer was lost on
  its way.

The last cannot be asked where upstream says more, or something else, than it was asked.
"""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepost.mail.outcome import Result
from support.patience import PATIENCE_SECONDS
from support.scale import scale
from support.sending import Sending, make_copy
from support.upstream import EXTENSIONS, Drop, Raw, Reset, Script, Slow, Upstream

COUNT = 30
WAYS = [EXTENSIONS, (*EXTENSIONS, "CHUNKING"), ()]
ENDING = [None, None, None, "421 4.3.2 bye", Drop(), Reset(), Drop("421 4.3.2 bye")]
REFUSING = [
    *ENDING, Slow(0.002), Slow(0.002, Drop()), "450 4.2.1 later", "451 4.3.0 broken",
    "452 4.3.1 full", "503 5.5.1 what?", "530 5.7.0 log in", "550 5.1.1 no",
    "552 5.3.4 too large", "550 2.0.0 no", Slow(0.002, "450 4.2.1 later"),
]  # fmt: skip
TAKING = [*REFUSING, "250 2.0.0 ok", "251 2.1.5 ok", "250 2.0.0 one\ntwo"]
HONEST = {
    "MAIL": TAKING, "RCPT": TAKING, "DATA": REFUSING, "CONTENT": ENDING, "DOT": TAKING,
    "RSET": ENDING, "QUIT": TAKING,
}  # fmt: skip
LYING = [
    "354 what?", "220 hello", "221 bye", "334 more", Raw(b"what?\r\n"), Raw(b"\0\xff\r\n"),
    Raw(b"250-ok\r\n550 no\r\n"), Raw(b"250 ok\r\n250 ok\r\n"), Raw(b"354 go\r\n250 ok\r\n"),
    Raw(b"250 ok\r\n354 go\r\n"), Raw(b"250 ok\r\n550 5.1.1 no\r\n"), Raw(b"x" * 5000),
    Raw(b"250-\r\n" * 20_000), Drop("250 2.0.0 ok"), Drop("550 5.1.1 no"), Drop("354 go"),
]  # fmt: skip
OPENING = [None, None, None, "421 4.3.2 busy", Drop(), Reset()]
ANYTHING = {place: [None, None, None, *TAKING, *LYING] for place in HONEST}


@st.composite
def scripts(draw, answers):
    places = draw(st.sets(st.sampled_from(sorted(answers)), max_size=4))
    some = {
        place: st.lists(st.sampled_from(answers[place]), max_size=COUNT) for place in sorted(places)
    }
    opening = st.lists(st.sampled_from(OPENING), max_size=6)
    return draw(st.fixed_dictionaries(some)) | {"CONNECT": draw(opening)}


def content_of(number):
    return b"Subject: %d\r\n\r\n.\r\n..%d\r\n%s" % (number, number, b"." * number + b"\r\n")


async def play(steps, extensions):
    """Sends each copy once, again while it is unsent; the upstream and the last outcomes."""
    outcomes = {}
    script = Script(steps=steps, extensions=extensions)
    async with (
        Upstream(script) as up,
        Sending(up, connections=2, pause=0.001, longest_pause=0.002) as sending,
    ):
        left = list(range(COUNT))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while left:
                await sending.pool.wait_for_room()
                batch = left[: sending.pool.room()]
                made = [make_copy(f"r{n}@one.example", content=content_of(n)) for n in batch]
                for number, (outcome,) in zip(batch, await sending.send(*made), strict=True):
                    outcomes[number] = outcome
                    if outcome.result is Result.UNSENT:
                        assert f"r{number}@one.example" not in has(up)
                left = [number for number in left if outcomes[number].result is Result.UNSENT] + [
                    number for number in left if number not in outcomes
                ]
                left = list(dict.fromkeys(left))
    return up, outcomes


def has(up):
    """Whom upstream has taken a copy for, told or not."""
    return {message.recipients[0] for message in up.taken}


def check(up, outcomes):
    answered, seen = set(), set()
    for message in up.messages:
        (recipient,) = message.recipients
        number = int(recipient.partition("@")[0][1:])
        assert message.content == content_of(number)
        if message.reply.startswith("2"):
            assert number not in answered, "twice"
            answered.add(number)
            if message.connection not in up.resets:
                seen.add(number)
    assert len(outcomes) == COUNT
    return answered, seen


some_examples = settings(
    max_examples=scale(25, 1000), deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("extensions", WAYS, ids=["pipelined", "chunked", "serial"])
@some_examples
@given(steps=scripts(HONEST))
def test_an_upstream_in_any_trouble(extensions, steps):
    up, outcomes = asyncio.run(play(steps, extensions))
    answered, seen = check(up, outcomes)
    delivered = {number for number, one in outcomes.items() if one.result is Result.DELIVERED}
    assert seen <= delivered <= answered
    assert up.violations == []


@pytest.mark.parametrize("extensions", WAYS, ids=["pipelined", "chunked", "serial"])
@some_examples
@given(steps=scripts(ANYTHING))
def test_an_upstream_that_says_what_it_likes(extensions, steps):
    """Lies that follow each other well enough are believed; what they are told about is right."""
    up, outcomes = asyncio.run(play(steps, extensions))
    check(up, outcomes)
