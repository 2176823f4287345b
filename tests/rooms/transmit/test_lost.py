"""Connections that end badly: what becomes of each copy in flight, and nothing is lost."""

import pytest

from gatepost.flow.transmit.route import Timeouts
from gatepost.mail.outcome import Result, Scope
from support.sending import Sending, make_copy, until
from support.upstream import EXTENSIONS, Drip, Drop, Hang, Raw, Script, Upstream

CHUNKING = (*EXTENSIONS, "CHUNKING")
DELIVERED, DEFERRED, UNSENT = Result.DELIVERED, Result.DEFERRED, Result.UNSENT


def words(outcomes) -> list[tuple[Result, int]]:
    return [(one.result, one.reply.code) for copy in outcomes for one in copy]


@pytest.mark.parametrize("event", ["MAIL", "RCPT", "DATA", "CONTENT", "DOT"])
@pytest.mark.parametrize("extensions", [EXTENSIONS, ()], ids=["pipelined", "serial"])
@pytest.mark.parametrize("step", [Drop(), "421 4.3.2 bye", Raw(b"?\r\n")], ids=["drop", "421", "?"])
async def test_the_first_copy_is_deferred_and_the_next_is_sent(event, extensions, step):
    """Wherever a fresh connection ends within a transaction, that copy loses an attempt."""
    async with (
        Upstream(Script(extensions=extensions, steps={event: [step]})) as up,
        Sending(up) as sending,
    ):
        (first,) = await sending.send(make_copy())
        (second,) = await sending.send(make_copy("b@one.example"))
        code = 421 if isinstance(step, str) else 451
        assert words([first, second]) == [(DEFERRED, code), (DELIVERED, 250)]
        assert first[0].scope is Scope.CONNECTION
        assert up.connections == 2
        assert sending.health == []  # once is no reason to stop


async def test_rq_3_lost_after_the_dot_is_deferred_and_the_only_doubt():
    """The copy behind it had only its envelope on the wire: it loses no attempt."""
    async with Upstream(Script(steps={"DOT": [None, Drop()]})) as up, Sending(up) as sending:
        copies = [make_copy(f"r{n}@one.example") for n in range(4)]
        outcomes = await sending.send(*copies)
        assert words(outcomes) == [
            (DELIVERED, 250), (DEFERRED, 451), (UNSENT, 451), (DELIVERED, 250),
        ]  # fmt: skip
        assert [message.recipients[0] for message in up.messages] == [
            "r0@one.example", "r1@one.example", "r3@one.example",
        ]  # fmt: skip


async def test_rq_3_with_bdat_every_copy_that_is_out_is_in_doubt():
    script = Script(extensions=CHUNKING, steps={"DOT": [None, Drop()]})
    async with Upstream(script) as up, Sending(up) as sending:
        outcomes = await sending.send(*(make_copy(f"r{n}@one.example") for n in range(3)))
        assert words(outcomes) == [(DELIVERED, 250), (DEFERRED, 451), (DEFERRED, 451)]
        assert len(up.taken) == 2


async def test_rq_6_421_between_copies_costs_no_attempt():
    """A server that takes two messages per connection: the third goes over the next one."""
    script = Script(steps={"MAIL": [None, None, "421 4.7.0 enough", None, None]})
    async with Upstream(script) as up, Sending(up) as sending:
        copies = [make_copy(f"r{n}@one.example") for n in range(3)]
        outcomes = await sending.send(*copies)
        assert words(outcomes) == [(DELIVERED, 250), (DELIVERED, 250), (UNSENT, 421)]
        assert words(await sending.send(make_copy("r2@one.example"))) == [(DELIVERED, 250)]
        assert up.connections == 2
        assert sending.health == []


async def test_an_idle_connection_closed_by_upstream_harms_nobody():
    async with (
        Upstream(Script(steps={"DOT": [Drop("250 2.0.0 ok")]})) as up,
        Sending(up) as sending,
    ):
        assert words(await sending.send(make_copy())) == [(DELIVERED, 250)]
        await until(lambda: not sending.pool._sessions)
        assert words(await sending.send(make_copy())) == [(DELIVERED, 250)]
        assert up.connections == 2
        assert sending.health == []


async def test_recipients_already_refused_stay_refused_when_the_connection_is_lost():
    script = Script(recipients={"no@one.example": "550 5.1.1 no"}, steps={"DOT": [Drop()]})
    async with Upstream(script) as up, Sending(up) as sending:
        outcomes = await sending.send(make_copy("a@one.example", "no@one.example"))
        assert words(outcomes) == [(DEFERRED, 451), (Result.FAILED, 550)]


async def test_refusals_heard_out_of_step_fail_nobody():
    """Upstream forgets the reply to MAIL: what we take for RCPT's 550 may be another's."""
    script = Script(
        recipients={"no@one.example": "550 5.1.1 no"}, steps={"MAIL": [Raw(b"")], "DATA": Hang()}
    )
    async with Upstream(script) as up, Sending(up, timeouts=Timeouts.all(1.0)) as sending:
        outcomes = await sending.send(make_copy("a@one.example", "no@one.example"))
        assert words(outcomes) == [(DEFERRED, 451), (DEFERRED, 451)]


@pytest.mark.parametrize(
    ("event", "bytes_"),
    [
        ("MAIL", b"250 ok\r\n250 one too many\r\n"),
        ("RCPT", b"250 ok\r\n250 one too many\r\n"),
        ("RCPT", b"354 not yet\r\n"),
        ("DATA", b"250 that is no 354\r\n"),
        ("DOT", b"354 again\r\n"),
        ("MAIL", b"250 " + b"x" * 10_000 + b"\r\n"),
        ("MAIL", b"250-" + b"x" * 10_000),
        ("DOT", b"\0\xff\r\n"),
    ],
)
async def test_replies_out_of_step_drop_the_connection(event, bytes_):
    async with Upstream(Script(steps={event: [Raw(bytes_)]})) as up, Sending(up) as sending:
        (outcomes,) = await sending.send(make_copy())
        assert words([outcomes]) == [(DEFERRED, 451)]
        assert outcomes[0].reply.enhanced == "4.5.0"
        assert words(await sending.send(make_copy())) == [(DELIVERED, 250)]
        assert up.connections == 2


async def test_a_reply_too_many_at_rest_drops_the_connection():
    script = Script(steps={"DOT": [Raw(b"250 2.0.0 ok\r\n250 2.0.0 and more\r\n")]})
    async with Upstream(script) as up, Sending(up) as sending:
        assert words(await sending.send(make_copy(), make_copy()))[0] == (DELIVERED, 250)
        assert words(await sending.send(make_copy())) == [(DELIVERED, 250)]
        assert up.connections == 2


@pytest.mark.parametrize("missing", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_a_reply_too_few_times_out(missing):
    script = Script(steps={missing: [Raw(b"")]})
    async with Upstream(script) as up, Sending(up, timeouts=Timeouts.all(1.0)) as sending:
        (outcomes,) = await sending.send(make_copy())
        assert words([outcomes]) == [(DEFERRED, 451)]
        assert outcomes[0].reply.enhanced in {"4.4.2", "4.5.0"}
        assert words(await sending.send(make_copy())) == [(DELIVERED, 250)]


@pytest.mark.parametrize("event", ["MAIL", "RCPT", "DATA", "CONTENT", "DOT"])
@pytest.mark.parametrize("step", [Hang(), Drip("250-" + "x" * 90, 0.01)], ids=["hang", "drip"])
async def test_rq_1_each_wait_has_its_time_limit(event, step):
    limits = {
        "MAIL": Timeouts(mail=0.1), "RCPT": Timeouts(rcpt=0.1), "DATA": Timeouts(data=0.1),
        "CONTENT": Timeouts(dot=0.1), "DOT": Timeouts(dot=0.1),
    }  # fmt: skip
    async with (
        Upstream(Script(steps={event: [step]})) as up,
        Sending(up, timeouts=limits[event]) as sending,
    ):
        (outcomes,) = await sending.send(make_copy())
        assert words([outcomes]) == [(DEFERRED, 451)]
        assert "within 0.1 s" in outcomes[0].reply.text


async def test_rq_1_content_that_upstream_does_not_read_times_out():
    """Larger than all socket buffers, and the reader sleeps."""
    content = b"Subject: x\r\n\r\n" + b"x" * 998 * 30_000
    async with (
        Upstream(Script(steps={"CONTENT": [Hang()]}), reads_while_hanging=False) as up,
        Sending(up, timeouts=Timeouts(block=0.2)) as sending,
    ):
        (outcomes,) = await sending.send(make_copy(content=content))
        assert words([outcomes]) == [(DEFERRED, 451)]
        assert "content" in outcomes[0].reply.text


async def test_a_refusal_in_the_middle_of_content_counts():
    content = b"Subject: x\r\n\r\n" + b"x" * 998 * 30_000
    script = Script(steps={"CONTENT": [Raw(b"552 5.3.4 too big for us\r\n")]})
    async with Upstream(script) as up, Sending(up) as sending:
        (outcomes,) = await sending.send(make_copy(content=content))
        assert words([outcomes]) == [(Result.FAILED, 552)]
        assert words(await sending.send(make_copy())) == [(DELIVERED, 250)]
