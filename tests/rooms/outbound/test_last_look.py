"""What a gateway has in hand: who left is held back, and what a copy rests on is on record."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gatepost.app import gateway as program
from gatepost.app.gateway import Gateway
from gatepost.config import load
from gatepost.consent.evidence import EventKind
from gatepost.flow.accept.clients import peer_address
from gatepost.flow.outbound import Tag
from gatepost.flow.transmit.copy import Copy
from gatepost.store import clock
from gatepost.store import people as ledger
from gatepost.store.tables import mail as tables
from gatepost.store.times import to_ms
from support.consents import granted, withdrawn
from support.program import CONFIG
from support.submissions import DELIVER, SINCE, accept, rows_of, submission
from support.upstream import Upstream

READER = "reader@example.org"


@pytest.fixture
async def gateway(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "GRACE_SECONDS", 0.0)
    async with Upstream() as upstream:
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


async def test_who_leaves_is_held_back_though_the_clock_was_put_back(gateway, monkeypatch):
    """Copies in hand were decided by a clock that is two hours back when somebody leaves."""
    monkeypatch.setattr(clock.Clock, "now", lambda _: datetime.now(UTC) + timedelta(hours=2))
    offered = []
    monkeypatch.setattr(gateway.outbound, "offer", lambda *given: offered.append(given))
    job = submission(READER, content=b"From: a@acme.example\r\nSubject: News\r\n\r\nNews\r\n")
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
    monkeypatch.setattr(clock.Clock, "now", lambda _: datetime.now(UTC))
    await gateway.housekeeping.read_endings()
    assert gateway.outbound.may_start(copy)
    gateway._on_withdrawn(subject, "acme", "newsletter")
    assert not gateway.outbound.may_start(copy)


async def test_a_copy_is_recorded_with_the_consent_that_it_left_on(gateway):
    """Accepted on a consent that was withdrawn since; they came back before its turn."""
    job = submission(
        READER, upstream="", needs_standing=True,
        verdicts={READER: replace(DELIVER, rule="eligible")},
    )  # fmt: skip
    who, back = job.envelope.recipients[0].address, SINCE + timedelta(days=2)
    told = [
        granted(at=SINCE),
        withdrawn(at=SINCE + timedelta(days=1)),
        replace(granted(at=back), kind=EventKind.RESUBSCRIBED),
    ]
    await gateway.store.write(lambda tx: ledger.record(tx, who, told))
    await asyncio.to_thread(accept, gateway.store, job)
    gateway.outbound.wake()
    async with asyncio.timeout(300):
        while (row := rows_of(gateway.store, tables.recipient)[0])["state"] != "delivered":  # noqa: ASYNC110  it happens in the store
            await asyncio.sleep(0.01)
    assert (row["reason"], row["since_ms"]) == ("consented", to_ms(back))
