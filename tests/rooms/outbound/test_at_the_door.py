"""What is claimed while it is put has its bound, however many put at once."""

import asyncio
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from gatepost.app.wiring import wire
from gatepost.config import load
from gatepost.flow.accept.clients import peer_address
from gatepost.flow.inbound import LARGE, Inbound
from gatepost.flow.spool import hand
from support.outgoing import Outgoing, people, sized
from support.program import CONFIG as PROGRAM
from support.submissions import submission

CONFIG = PROGRAM.format(
    smtp_port=2525, http_port=8025, admin_port=8026, upstream_port=25, connections=1, store_url=""
)
ROOM = 30


@pytest.mark.parametrize("octets", [1000, 2 * LARGE])
async def test_many_at_once_do_not_all_get_the_same_room(store, tmp_path, monkeypatch, octets):
    """Large content goes ahead, and whoever waits for that has asked for no room yet."""
    monkeypatch.setattr(hand, "AT_THE_DOOR", ROOM)
    (tmp_path / "config.toml").write_text(CONFIG)
    wiring = wire(load(tmp_path / "config.toml", os.environ))
    way = Outgoing(store, {"": SimpleNamespace(port=1)})
    way.outbound._pools = way.pools  # it takes mail, and sends none
    door = Inbound(
        store=store, queue=way.queue, onward=way.outbound, policy=lambda: wiring.policy,
        sorting=lambda: wiring.sorting, quarantine_until=lambda now: now,
    )  # fmt: skip
    client = wiring.clients.by_network(peer_address("127.0.0.1"))
    jobs = [submission(*people(f"n{n}.", ROOM), content=sized(octets)) for n in range(6)]
    answers = await asyncio.gather(
        *(
            door.take(
                replace(job.arrival, client=client, stream="receipts"), job.envelope, job.content
            )
            for job in jobs
        )
    )
    assert {answer.code for answer in answers} == {250}
    assert way.outbound.room("", urgent=True) == 0
    assert sum(way.outbound._hand._share("").counts) <= 2 * ROOM
