"""Whole transactions on real sockets: what upstream gets, in each of the three ways."""

import asyncio

import pytest
import uvloop

from gatepost.flow.transmit.copy import Copy
from gatepost.flow.transmit.route import Timeouts
from gatepost.mail.address import parse
from gatepost.mail.envelope import Recipient
from gatepost.mail.outcome import Result, Scope
from support.sending import CONTENT, Sending, make_copy
from support.upstream import EXTENSIONS, Drip, Script, Slow, Upstream

SERIAL = tuple(one for one in EXTENSIONS if one != "PIPELINING")
CHUNKING = (*EXTENSIONS, "CHUNKING")
WAYS = {"serial": SERIAL, "pipelined": EXTENSIONS, "chunked": CHUNKING}
DELIVERED, DEFERRED, FAILED, UNSENT = (
    Result.DELIVERED, Result.DEFERRED, Result.FAILED, Result.UNSENT,
)  # fmt: skip


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


def script(way, **more) -> Script:
    return Script(extensions=WAYS[way], **more)


def verbs(up: Upstream) -> list[str]:
    return [line.partition(" ")[0].partition(":")[0] for _, line in up.commands]


def flat(outcomes) -> list[tuple[Result, int]]:
    return [(one.result, one.reply.code) for copy in outcomes for one in copy]


@pytest.mark.parametrize("dsn", [True, False])
async def test_rx_9_outcomes_say_whether_upstream_knows_of_dsn(way, dsn):
    offered = tuple(one for one in WAYS[way] if dsn or one != "DSN")
    async with Upstream(Script(extensions=offered)) as up, Sending(up) as sending:
        ((outcome,),) = await sending.send(make_copy("a@one.example"))
        assert (outcome.result, outcome.dsn_passed) == (DELIVERED, dsn)


async def test_copies_arrive_byte_for_byte_and_in_order(way):
    contents = [
        CONTENT,
        b"",
        b".",
        b"..\r\n.\r\n...\r\n",
        b"Subject: dots\r\n\r\n.\r\n.hidden\r\nend without newline",
        b"Subject: nul\r\n\r\n\0\xff\r\n",
        b"Subject: long\r\n\r\n" + b"x" * 200_000 + b"\r\n.\r\n" + b".y" * 5_000 + b"\r\n",
    ]
    expected = [c if c.endswith(b"\r\n") or not c else c + b"\r\n" for c in contents]
    async with Upstream(script(way)) as up, Sending(up) as sending:
        copies = [
            make_copy(f"r{n}@one.example", content=c, eight_bit=not c.isascii())
            for n, c in enumerate(contents)
        ]
        outcomes = await sending.send(*copies)
        assert [message.content for message in up.messages] == expected
        assert [message.recipients for message in up.messages] == [
            [f"r{n}@one.example"] for n in range(len(contents))
        ]
        assert flat(outcomes) == [(DELIVERED, 250)] * len(contents)
        assert [outcome[0].reply.text for outcome in outcomes] == [
            f"ok {n + 1}" for n in range(len(contents))
        ]
        assert up.connections == 1
        assert up.violations == []


async def test_large_content_goes_out_under_back_pressure(way):
    line = b"." * 70 + b"\r\n"
    content = b"Subject: large\r\n\r\n" + line * 60_000
    async with Upstream(script(way)) as up, Sending(up) as sending:
        outcomes = await sending.send(
            make_copy(), make_copy("b@one.example", content=content), make_copy("c@one.example")
        )
        assert flat(outcomes) == [(DELIVERED, 250)] * 3
        assert up.messages[1].content == content
        assert not up.messages[1].chunked
        assert up.violations == []


async def test_chunking_uses_bdat_and_nothing_else():
    async with Upstream(script("chunked")) as up, Sending(up) as sending:
        await sending.send(make_copy(), make_copy())
        assert all(message.chunked for message in up.messages)
        assert "DATA" not in verbs(up)


async def test_rx_2_content_and_next_commands_share_a_write():
    """Upstream answers the first end of data late; by then it has the next MAIL, RCPT, DATA."""
    slow = script("pipelined", steps={"DOT": [Slow(0.05), None]})
    async with Upstream(slow) as up, Sending(up) as sending:
        seen = []
        up.on_message = lambda message: seen.append((up.backlog(), message))
        await sending.send(make_copy(), make_copy("b@one.example"))
        assert seen[0][0].startswith(b"MAIL FROM:<s@acme.example>")
        assert seen[0][0].endswith(b"DATA\r\n")


async def test_each_recipient_has_its_own_outcome(way):
    recipients = {
        "no@one.example": "550 5.1.1 nobody",
        "later@one.example": "450 4.2.1 busy",
        "full@one.example": "552 5.5.3 too many",
    }
    async with Upstream(script(way, recipients=recipients)) as up, Sending(up) as sending:
        group = make_copy("a@one.example", *recipients, "b@one.example")
        outcomes, after = await sending.send(group, make_copy())
        assert flat([outcomes]) == [
            (DELIVERED, 250), (FAILED, 550), (DEFERRED, 450), (UNSENT, 552), (DELIVERED, 250),
        ]  # fmt: skip
        assert outcomes[1].reply.enhanced == "5.1.1"
        assert outcomes[1].scope is Scope.RECIPIENT
        assert up.messages[0].recipients == ["a@one.example", "b@one.example"]
        assert flat([after]) == [(DELIVERED, 250)]
        assert up.connections == 1


async def test_all_recipients_refused_and_the_next_copy_goes_on(way):
    recipients = {"no@one.example": "550 5.1.1 nobody"}
    async with Upstream(script(way, recipients=recipients)) as up, Sending(up) as sending:
        copies = [
            make_copy("no@one.example"),
            make_copy(),
            make_copy("no@one.example"),
            make_copy(),
        ]
        assert flat(await sending.send(*copies)) == [
            (FAILED, 550), (DELIVERED, 250), (FAILED, 550), (DELIVERED, 250),
        ]  # fmt: skip
        assert len(up.messages) == 2
        assert up.connections == 1
        assert up.violations == []


async def test_rx_2_354_although_nobody_is_valid_gets_a_lone_dot():
    stubborn = script(
        "pipelined", recipients={"no@one.example": "550 5.1.1 no"}, steps={"DATA": "354 go on"}
    )
    async with Upstream(stubborn) as up, Sending(up) as sending:
        outcomes = await sending.send(make_copy("no@one.example"), make_copy())
        assert flat(outcomes) == [(FAILED, 550), (DELIVERED, 250)]
        assert len(up.messages) == 1
        assert up.violations == []
        assert up.connections == 1


REFUSALS = [
    ("MAIL", "550 5.7.1 not you", (FAILED, 550)),
    ("MAIL", "451 4.3.0 not now", (DEFERRED, 451)),
    ("MAIL", "530 5.7.0 log in", (DEFERRED, 530)),
    ("RCPT", "553 5.1.3 what", (FAILED, 553)),
    ("RCPT", "452 4.5.3 enough", (DEFERRED, 452)),
    ("DATA", "451 4.3.0 not now", (DEFERRED, 451)),
    ("DATA", "554 5.7.1 no", (FAILED, 554)),
    ("DOT", "554 5.6.0 spam", (FAILED, 554)),
    ("DOT", "452 4.3.1 disk", (DEFERRED, 452)),
    ("DOT", "550 5.7.1 one\ntwo", (FAILED, 550)),
]


@pytest.mark.parametrize(
    ("way", "event", "reply", "expected"),
    [
        (way, *refusal)
        for way in WAYS
        for refusal in REFUSALS
        if (way, refusal[0]) != ("chunked", "DATA")  # BDAT has no DATA
    ],
)
async def test_refusals_end_one_copy_and_not_the_next(way, event, reply, expected):
    async with Upstream(script(way, steps={event: [reply]})) as up, Sending(up) as sending:
        outcomes = await sending.send(make_copy(), make_copy("b@one.example"))
        assert flat(outcomes) == [expected, (DELIVERED, 250)]
        assert up.taken[0].recipients == ["b@one.example"]
        await sending.send(make_copy("c@one.example"))
        about_itself = outcomes[0][0].scope is Scope.UPSTREAM
        assert up.connections == (2 if about_itself else 1)
        assert sending.health == []


async def test_rx_9_parameters_reach_upstream_unchanged(way):
    recipient = Recipient(parse("B@one.example"), "NEVER", "rfc822;Bob+2Bx@One.example")
    copy = Copy("", (recipient,), CONTENT, eight_bit=True, envid="Qq+3D1", ret="FULL")
    async with Upstream(script(way)) as up, Sending(up) as sending:
        await sending.send(copy)
        message = up.messages[0]
        assert message.mail_from == ""
        size = len(CONTENT)
        assert message.mail_parameters == f"SIZE={size} BODY=8BITMIME RET=FULL ENVID=Qq+3D1"
        assert message.recipient_parameters == ["NOTIFY=NEVER ORCPT=rfc822;Bob+2Bx@One.example"]


async def test_what_upstream_cannot_take_fails_without_a_word_on_the_wire():
    async with Upstream(Script(extensions=("SIZE 100",))) as up, Sending(up) as sending:
        outcomes = await sending.send(
            make_copy(eight_bit=True),
            make_copy("åsa@one.example", smtputf8=True),
            make_copy(content=b"x" * 200),
            make_copy(content=b"small"),
        )
        assert [(o[0].result, o[0].reply.enhanced) for o in outcomes] == [
            (FAILED, "5.6.3"), (FAILED, "5.6.7"), (FAILED, "5.3.4"), (DELIVERED, "2.0.0"),
        ]  # fmt: skip
        assert verbs(up).count("MAIL") == 1


async def test_rq_8_a_copy_that_can_be_made_in_seven_bits_comes_back_for_that():
    async with Upstream(Script(extensions=())) as up, Sending(up) as sending:
        assert sending.pool.takes_eight_bit is None
        [[outcome]] = await sending.send(make_copy(eight_bit=True, convertible=True))
        assert (outcome.result, outcome.scope) == (Result.UNSENT, Scope.MESSAGE)
        assert sending.pool.takes_eight_bit is False
        assert "MAIL" not in verbs(up)


async def test_8bitmime_is_known_from_ehlo():
    async with Upstream() as up, Sending(up) as sending:
        await sending.send(make_copy(eight_bit=True))
        assert sending.pool.takes_eight_bit is True


async def test_may_start_is_asked_before_mail_and_again_before_content(way):
    async with Upstream(script(way)) as up, Sending(up) as sending:
        copy = make_copy()
        await sending.send(copy)
        assert sending.asked == [copy] * {"serial": 3, "pipelined": 2, "chunked": 1}[way]


async def test_a_copy_that_may_not_start_is_never_begun(way):
    async with Upstream(script(way)) as up, Sending(up) as sending:
        stopped = make_copy("stopped@one.example")
        sending.may_start = lambda copy: copy is not stopped
        outcomes = await sending.send(stopped, make_copy())
        assert [o[0].result for o in outcomes] == [UNSENT, DELIVERED]
        assert not any("stopped" in line for _, line in up.commands)


@pytest.mark.parametrize("way", ["serial", "pipelined"])
async def test_a_copy_stopped_between_mail_and_content_is_not_sent(way):
    """Serial: RSET on the same connection. Pipelined: DATA was accepted, so it is dropped."""
    async with Upstream(script(way)) as up, Sending(up) as sending:
        stopped = make_copy("stopped@one.example")
        sending.may_start = lambda copy: copy is not stopped or sending.asked.count(copy) < 2
        outcomes = await sending.send(stopped, make_copy())
        assert [o[0].result for o in outcomes] == [UNSENT, DELIVERED]
        assert [message.recipients for message in up.messages] == [["a@one.example"]]
        assert up.connections == (1 if way == "serial" else 2)
        assert ("RSET" in verbs(up)) is (way == "serial")
        assert sending.health == []


async def test_large_content_is_not_finished_by_whoever_lost_the_copy_meanwhile():
    """Larger than all socket buffers, so that it pauses; the lease runs out in the middle."""
    content = b"Subject: x\r\n\r\n" + (b"x" * 998 + b"\r\n") * 30_000
    async with Upstream() as up, Sending(up) as sending:
        lost = make_copy("lost@one.example", content=content)
        sending.may_start = lambda copy: copy is not lost or sending.asked.count(copy) < 3
        outcomes = await sending.send(lost, make_copy())
        assert [o[0].result for o in outcomes] == [UNSENT, DELIVERED]
        assert [message.recipients for message in up.messages] == [["a@one.example"]]
        assert sending.health == []


async def test_while_nothing_may_begin_copies_wait_and_are_neither_begun_nor_given_back(way):
    async with Upstream(script(way)) as up, Sending(up, connections=2) as sending:
        await sending.send(make_copy())
        begun = len(up.commands)
        sending.may_begin = lambda: False
        waiting = [make_copy(f"r{number}@one.example") for number in range(20)]
        for copy in waiting:
            sending.pool.put(copy)
        await asyncio.sleep(0.2)  # some looks of the pool
        assert len(up.commands) == begun
        assert sending.pool.in_hand == 20
        sending.may_begin = lambda: True
        outcomes = await sending.wait(*waiting)
        assert {one.result for copy in outcomes for one in copy} == {DELIVERED}
        assert len(up.messages) == 21


async def test_large_content_that_has_begun_goes_on_when_nothing_more_may_begin():
    content = b"Subject: x\r\n\r\n" + (b"x" * 998 + b"\r\n") * 30_000
    async with Upstream() as up, Sending(up) as sending:
        large, next_one = make_copy(content=content), make_copy("next@one.example")
        sending.may_begin = lambda: sending.asked.count(large) < 2
        sending.pool.put(large)
        sending.pool.put(next_one)
        (outcome,) = await sending.wait(large)
        assert outcome[0].result is DELIVERED
        assert next_one not in sending.done
        sending.may_begin = lambda: True
        await sending.wait(next_one)
        assert up.connections == 1


async def test_an_owner_who_raises_stops_the_copy_and_not_the_connection():
    def broken(copy):
        raise KeyError(copy)

    async with Upstream(Script()) as up, Sending(up) as sending:
        reported = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        sending.may_start = broken
        assert flat(await sending.send(make_copy()))[0][0] is UNSENT
        sending.may_start = lambda copy: True
        assert flat(await sending.send(make_copy()))[0][0] is DELIVERED
        assert [type(error) for error in reported] == [KeyError]


async def test_multi_line_and_split_replies(way):
    steps = {"MAIL": ["250-2.1.0 a\n250-2.1.0 b\n250 2.1.0 c"], "DOT": ["250 2.0.0 x\ny\nz"]}
    async with Upstream(script(way, steps=steps)) as up, Sending(up) as sending:
        ((outcome,),) = await sending.send(make_copy())
        assert (outcome.result, outcome.reply.text) == (DELIVERED, "x\ny\nz")


async def test_replies_that_drip(way):
    steps = {"RCPT": [Drip("250 2.1.5 ok", 0.002)], "DOT": [Drip("250 2.0.0 at last", 0.002)]}
    async with Upstream(script(way, steps=steps)) as up, Sending(up) as sending:
        ((outcome,),) = await sending.send(make_copy())
        assert (outcome.result, outcome.reply.text) == (DELIVERED, "at last")


async def test_an_old_server_that_knows_only_helo():
    old = Script(steps={"EHLO": "500 5.5.1 what?"})
    async with Upstream(old) as up, Sending(up) as sending:
        assert flat(await sending.send(make_copy(), make_copy())) == [(DELIVERED, 250)] * 2
        assert up.violations == []
        assert "HELO" in verbs(up)


def test_on_uvloop(way):
    async def main():
        async with Upstream(script(way)) as up, Sending(up, timeouts=Timeouts()) as sending:
            big = b"Subject: big\r\n\r\n" + b".\r\n" * 200_000
            copies = [make_copy(content=big), *(make_copy() for _ in range(50))]
            outcomes = await sending.send(*copies)
            assert flat(outcomes) == [(DELIVERED, 250)] * 51
            assert up.messages[0].content == big

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
