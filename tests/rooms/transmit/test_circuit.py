"""The circuit: when it opens, how upstream is probed, and how mail comes back to it."""

import asyncio

import pytest

from gatepost.flow.transmit import pool as pool_module
from gatepost.mail.outcome import Result, Scope
from support.patience import PATIENCE_SECONDS
from support.sending import Sending, make_copy, until
from support.upstream import EXTENSIONS, Drop, Reset, Script, Slow, Upstream

DELIVERED, DEFERRED, UNSENT = Result.DELIVERED, Result.DEFERRED, Result.UNSENT
FULL = "452 4.3.1 disk full"


def copies(count: int, name="r"):
    return [make_copy(f"{name}{n}@one.example") for n in range(count)]


def mails(up: Upstream) -> int:
    return sum(line.startswith("MAIL") for _, line in up.commands)


async def wanted(sending: Sending) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await sending.pool.wait_for_room()


@pytest.mark.parametrize(
    "steps",
    [
        {"MAIL": FULL},
        {"MAIL": "421 4.3.2 going down"},
        {"MAIL": Reset()},
        {"DATA": "451 4.3.0 broken"},
        {"DOT": FULL},
        {"RCPT": "530 5.7.0 log in"},
    ],
    ids=lambda steps: next(iter(steps)) + str(next(iter(steps.values())))[:3],
)
async def test_an_upstream_that_is_not_well_costs_a_few_attempts_and_not_all(steps):
    async with Upstream(Script(steps=steps)) as up, Sending(up) as sending:
        await sending.send(*copies(60))
        results = sending.results()
        assert results.count(DEFERRED) <= 2 * pool_module.BARREN_LIMIT  # pipelined ones count, too
        assert results.count(UNSENT) == 60 - results.count(DEFERRED)
        assert [healthy for healthy, _ in sending.health] == [False]
        assert up.connections <= pool_module.BARREN_LIMIT + 1


async def test_each_try_costs_one_copy_and_nobody_is_told_until_it_goes_well():
    steps = {"MAIL": FULL}
    async with Upstream(Script(steps=steps)) as up, Sending(up) as sending:
        await sending.send(*copies(20))
        for tries in range(3):
            await wanted(sending)
            assert sending.pool.on_trial
            assert not sending.pool.healthy
            assert sending.pool.room() == 1
            before = mails(up)
            ((outcome,),) = await sending.send(make_copy(f"try{tries}@one.example"))
            assert (outcome.result, outcome.scope) == (DEFERRED, Scope.UPSTREAM)
            assert mails(up) == before + 1
            assert sending.pool.room() == 0
        assert [healthy for healthy, _ in sending.health] == [False]
        steps.clear()
        await wanted(sending)
        ((outcome,),) = await sending.send(make_copy())
        assert outcome.result is DELIVERED
        assert [healthy for healthy, _ in sending.health] == [False, True]
        outcomes = await sending.send(*copies(20))
        assert {one.result for (one,) in outcomes} == {DELIVERED}


async def test_a_refused_mail_is_as_good_a_sign_as_one_that_was_taken():
    steps = {"MAIL": FULL}
    async with Upstream(Script(steps=steps)) as up, Sending(up) as sending:
        await sending.send(*copies(5))
        steps["MAIL"] = "550 5.7.1 not this sender"
        await wanted(sending)
        ((outcome,),) = await sending.send(make_copy())
        assert outcome.result is Result.FAILED
        assert sending.pool.healthy


async def test_on_trial_with_nothing_to_send_all_is_well_after_a_while():
    steps = {"MAIL": FULL}
    async with Upstream(Script(steps=steps)) as up, Sending(up, idle=0.05) as sending:
        await sending.send(*copies(5))
        await until(lambda: sending.pool.healthy)
        assert up.commands[-1][1] == "QUIT"
        assert [healthy for healthy, _ in sending.health] == [False, True]


async def test_on_trial_a_connection_that_upstream_closes_proves_nothing():
    steps = {"MAIL": FULL, "EHLO": [None] * 3}
    async with Upstream(Script(steps=steps)) as up, Sending(up) as sending:
        await sending.send(*copies(5))
        await wanted(sending)
        stood = up.connections
        for conversation in list(up._conversations):
            conversation.say("421 4.4.2 idle")
            conversation.close()
        await until(lambda: up.connections > stood)
        assert [healthy for healthy, _ in sending.health] == [False]


async def test_connections_come_back_one_two_four():
    """No herd: with each that has carried mail, one more is opened."""
    script = Script(steps={"CONNECT": ["421 4.3.2 later"], "DOT": Slow(0.03)})
    async with Upstream(script) as up, Sending(up, connections=8) as sending:
        await sending.send(make_copy())
        await wanted(sending)
        seen = []
        up.on_message = lambda message: seen.append((message.connection, up.open_connections))
        await sending.send(*copies(60))
        proven = set()
        for connection, standing in seen:
            assert standing <= max(1, 2 * len(proven))
            proven.add(connection)
        assert up.most_connections == 8


@pytest.mark.parametrize("reply", [FULL, "421 4.7.0 too many connections"])
async def test_a_connection_too_many_is_given_up_and_the_others_carry_on(reply):
    """Upstream takes mail over two connections, and says so only at MAIL."""
    script = Script(steps={"DOT": Slow(0.002)}, most_senders=2, busy=reply)
    async with Upstream(script) as up, Sending(up, connections=6, pause=60) as sending:
        outcomes = await sending.send(*copies(300))
        results = [one.result for (one,) in outcomes]
        assert results.count(DEFERRED) <= 4
        assert results.count(DELIVERED) == 300 - results.count(DEFERRED)
        assert up.connections <= 6
        assert sending.health == []


async def test_one_upstreams_circuit_is_not_anothers():
    async with (
        Upstream(Script(steps={"MAIL": Drop()})) as bad,
        Upstream() as good,
        Sending(bad) as to_bad,
        Sending(good) as to_good,
    ):
        await to_bad.send(*copies(10))
        assert not to_bad.pool.healthy
        outcomes = await to_good.send(*copies(10))
        assert {one.result for (one,) in outcomes} == {DELIVERED}
        assert to_good.health == []


@pytest.mark.parametrize("extensions", [EXTENSIONS, (*EXTENSIONS, "CHUNKING"), ()])
async def test_recipients_beyond_what_upstream_takes_go_with_the_next(extensions):
    """R5321-8: they lose no attempt, because others made it."""
    script = Script(extensions=extensions, most_recipients=2)
    async with Upstream(script) as up, Sending(up) as sending:
        left = [f"r{n}@one.example" for n in range(5)]
        for expected in ([UNSENT] * 3, [UNSENT], []):
            (outcomes,) = await sending.send(make_copy(*left))
            assert [one.result for one in outcomes[2:]] == expected
            assert {one.result for one in outcomes[:2]} == {DELIVERED}
            left = left[2:]
        assert up.connections == 1


async def test_a_full_mailbox_alone_is_put_off():
    full = Script(recipients={"a@one.example": "452 4.2.2 mailbox full"})
    async with Upstream(full) as up, Sending(up) as sending:
        ((outcome,),) = await sending.send(make_copy())
        assert (outcome.result, outcome.scope) == (DEFERRED, Scope.RECIPIENT)
