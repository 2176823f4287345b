"""What a gateway has in hand: who left is held back, and what a copy rests on is on record."""

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from gatepost.app import gateway as program
from gatepost.app.gateway import Gateway
from gatepost.config import load
from gatepost.consent.evidence import EventKind
from gatepost.flow.accept.clients import peer_address
from gatepost.flow.outbound import Tag
from gatepost.flow.spool.fresh import FreshWithdrawals
from gatepost.flow.transmit.copy import Copy
from gatepost.mail.address import parse
from gatepost.mail.verdict import Disposition, Reason, Verdict
from gatepost.store import clock
from gatepost.store import people as ledger
from gatepost.store.campaigns import FROZEN
from gatepost.store.spool import PUT, quarantine
from gatepost.store.spool.queue import UNCONFIGURED
from gatepost.store.tables import mail as tables
from gatepost.store.times import to_ms
from support.consents import granted, withdrawn
from support.patience import PATIENCE_SECONDS
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
    (row,) = await finished(gateway)
    assert (row["state"], row["reason"], row["since_ms"]) == ("delivered", "consented", to_ms(back))


async def test_who_leaves_after_an_override_was_given_has_left(gateway):
    """It passes what was known when it was given, by a header or by a release (promise 3)."""
    override = Verdict(Disposition.DELIVER, Reason.OVERRIDE, "eligible", SINCE, "recall 7")
    held = Verdict(Disposition.QUARANTINE, Reason.NO_CONSENT, "consent-lacking", None)
    verdicts = {"before@a.example": override, "after@a.example": override, "held@a.example": held,
                "gone@a.example": held}  # fmt: skip
    job = submission(*verdicts, upstream="", needs_standing=True, verdicts=verdicts)

    def happens(tx):
        def leaves(name, *, earlier=timedelta(0)):
            who = parse(f"{name}@a.example")
            ledger.record(tx, who, [withdrawn(at=tx.now - earlier)])

        leaves("before", earlier=timedelta(days=1))
        leaves("held", earlier=timedelta(days=1))
        PUT.run(tx, [job])
        quarantine.release(tx, [one.id for one in quarantine.list_quarantine(tx)], "recall 7")
        leaves("after")
        leaves("gone")

    await gateway.store.write(happens)
    gateway.outbound.wake()
    states = {row["address"]: (row["state"], row["reason"]) for row in await finished(gateway)}
    assert states == {
        "before@a.example": ("delivered", "override"),
        "held@a.example": ("delivered", "override"),
        "after@a.example": ("dropped", "withdrawn"),
        "gone@a.example": ("dropped", "withdrawn"),
    }


async def test_a_release_stands_as_of_when_it_was_given_also_after_it_waited(gateway):
    """Who had left before it would else have left after it, at the next attempt."""
    held = Verdict(Disposition.QUARANTINE, Reason.WITHDRAWN, "withdrawn", None)
    job = submission(READER, upstream="", needs_standing=True, verdicts={READER: held})

    def happens(tx):
        who = job.envelope.recipients[0].address
        ledger.record(tx, who, [withdrawn(at=tx.now - timedelta(days=1))])
        PUT.run(tx, [job])
        quarantine.release(tx, [one.id for one in quarantine.list_quarantine(tx)], "recall 7")
        tx.connection.execute(update(tables.recipient).values(rule=FROZEN))
        return tx.now_ms

    released = await gateway.store.write(happens)
    gateway.outbound.wake()
    (row,) = await finished(gateway)
    assert (row["state"], row["rule"], row["since_ms"]) == ("delivered", "eligible", released)


async def test_our_postmaster_gets_what_was_held_for_the_configuration(gateway):
    """R5321-2: nobody has a standing there, so no verdict could be found anew."""
    to = "postmaster@relay.example.org"
    given = Verdict(Disposition.DELIVER, Reason.PERSONAL, UNCONFIGURED)
    job = submission(to, upstream="", needs_standing=True, verdicts={to: given})
    await asyncio.to_thread(accept, gateway.store, job)
    gateway.outbound.wake()
    (row,) = await finished(gateway)
    assert (row["state"], row["rule"]) == ("delivered", "postmaster")


async def test_who_looks_for_what_may_go_on_keeps_no_writer(gateway):
    """All that is set aside is read for it, which may be a large quarantine."""
    over = threading.Event()
    busy = asyncio.ensure_future(gateway.store.write(lambda _: over.wait(PATIENCE_SECONDS)))
    async with asyncio.timeout(PATIENCE_SECONDS / 2):
        await gateway.housekeeping._release_held()
    assert not busy.done()
    over.set()
    await busy


async def test_copies_of_before_a_reload_wait_with_the_others(gateway, tmp_path, monkeypatch):
    """Their links would leave a mailing of the stream's new sender, and hold back none of these."""
    looks = []
    with monkeypatch.context() as blind:
        blind.setattr(FreshWithdrawals, "is_current", lambda *_: looks.append(1))
        to = [f"r{number}@example.org" for number in range(40)]
        job = submission(*to, upstream="", needs_standing=True)
        told = [(recipient.address, [granted(at=SINCE)]) for recipient in job.envelope.recipients]
        await gateway.store.write(lambda tx: ledger.record_many(tx, told))
        await asyncio.to_thread(accept, gateway.store, job)
        gateway.outbound.wake()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not looks:  # copies are made, and wait to begin  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        text = (tmp_path / "config.toml").read_text()
        gone = text.replace("senders.acme", "senders.beta").replace('"acme"', '"beta"')
        (tmp_path / "config.toml").write_text(gone)
        await gateway.reload(load(tmp_path / "config.toml", {}))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(row["state"] != "held" for row in rows_of(gateway.store, tables.recipient)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    (tmp_path / "config.toml").write_text(text)
    await gateway.reload(load(tmp_path / "config.toml", {}))
    assert {row["state"] for row in await finished(gateway)} == {"delivered"}


async def finished(gateway):
    """The rows of recipients, once all are finished."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(not row["finished_ms"] for row in rows_of(gateway.store, tables.recipient)):  # noqa: ASYNC110  it happens in the store
            await asyncio.sleep(0.01)
    return rows_of(gateway.store, tables.recipient)
