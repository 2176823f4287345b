"""What is claimed while it is put: its bound, and who leaves before it is sent."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gatepost.app import gateway as program
from gatepost.app.gateway import Gateway
from gatepost.config import load
from gatepost.flow.accept.clients import peer_address
from gatepost.flow.inbound import LARGE
from gatepost.flow.outbound import Tag
from gatepost.flow.spool import hand
from gatepost.flow.transmit.copy import Copy
from gatepost.store import clock
from gatepost.store import people as ledger
from support.consents import granted
from support.outgoing import people, sized
from support.program import CONFIG
from support.submissions import submission
from support.upstream import Hang, Script, Upstream

ROOM = 30


@pytest.fixture
async def gateway(tmp_path, monkeypatch):
    """One whose upstream greets nobody, with little room."""
    for bound, rows in (("IN_HAND", ROOM // 3), ("AT_THE_DOOR", ROOM), ("AT_MOST", ROOM)):
        monkeypatch.setattr(hand, bound, rows)
    monkeypatch.setattr(program, "GRACE_SECONDS", 0.0)
    async with Upstream(Script(steps={"CONNECT": Hang()})) as upstream:
        text = CONFIG.format(
            smtp_port=0, http_port=0, admin_port=0, upstream_port=upstream.port, connections=1,
            store_url="",
        )  # fmt: skip
        path = tmp_path / "config.toml"
        path.write_text(text.replace("http://127.0.0.1:0", "http://127.0.0.1:8025"))
        made = Gateway(load(path, {}))
        await made.start()
        yield made
        await made.stop()


@pytest.mark.parametrize("octets", [1000, 2 * LARGE])
async def test_many_at_once_do_not_all_get_the_same_room(gateway, octets):
    """Large content goes ahead, and whoever waits for that has asked for no room yet."""
    client = gateway.wiring.clients.by_network(peer_address("127.0.0.1"))
    jobs = [submission(*people(f"n{n}.", ROOM), content=sized(octets)) for n in range(6)]
    answers = await asyncio.gather(
        *(
            gateway.inbound.take(
                replace(job.arrival, client=client, stream="receipts"), job.envelope, job.content
            )
            for job in jobs
        )
    )
    assert {answer.code for answer in answers} == {250}
    assert gateway.outbound.room("", urgent=True) == 0
    assert sum(gateway.outbound._hand._share("").counts) <= 2 * ROOM


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=2)], ids=["right", "put-right"])
async def test_who_leaves_is_held_back_whatever_the_clock_does(gateway, monkeypatch, ahead):
    """Copies in hand were decided by a clock that is two hours back when somebody leaves."""
    monkeypatch.setattr(clock.Clock, "now", lambda _: datetime.now(UTC) + ahead)
    offered = []
    monkeypatch.setattr(gateway.outbound, "offer", lambda *given: offered.append(given))
    (who,) = people("reader", 1)
    job = submission(who, content=b"From: a@acme.example\r\nSubject: News\r\n\r\nNews\r\n")
    subject = await gateway.store.write(
        lambda tx: ledger.record(tx, job.envelope.recipients[0].address, [granted()])
    )
    client = gateway.wiring.clients.by_network(peer_address("127.0.0.1"))
    arrival = replace(job.arrival, client=client, stream="newsletter")
    answer = await gateway.inbound.take(arrival, job.envelope, job.content)
    assert answer.code == 250
    ((rows, _, decided_at),) = offered
    copy = Copy(
        mail_from="", recipients=(rows[0].recipient,), content=b"", tag=Tag(tuple(rows), decided_at)
    )
    assert gateway.outbound.may_start(copy)
    monkeypatch.setattr(clock.Clock, "now", lambda _: datetime.now(UTC))
    await gateway.housekeeping.read_endings()
    assert gateway.outbound.may_start(copy)
    gateway._on_withdrawn(subject, "acme", "newsletter")
    assert not gateway.outbound.may_start(copy)
