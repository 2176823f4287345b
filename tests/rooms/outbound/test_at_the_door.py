"""What is claimed while it is put has its bound, however many put at once."""

import asyncio
from dataclasses import replace

import pytest

from gatepost.app import gateway as program
from gatepost.app.gateway import Gateway
from gatepost.config import load
from gatepost.flow.accept.clients import peer_address
from gatepost.flow.inbound import LARGE
from gatepost.flow.spool import hand
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
