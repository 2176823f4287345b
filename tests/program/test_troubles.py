"""Upstream says no, later, or nothing: retries, expiry, delivery reports, an upstream away."""

import asyncio
import os
import time
from email import message_from_bytes

import pytest
from sqlalchemy import text

from gatepost.app.gateway import Gateway
from gatepost.config import load
from support.consents import granted
from support.ports import free_port
from support.program import Program
from support.upstream import Script, Slow, UpstreamThread
from support.watching import copies, mail, rows, send, states, wait_until

MORE = """
[upstreams.brief]
port = {port}
retry_for = "10 minutes"

[streams.brief]
kind = "transactional"
sender = "acme"
upstream = "brief"

[clients.till]
networks = ["127.0.0.5"]
streams = ["brief"]
"""
TILL = {"source": "127.0.0.5"}
OFFICE = "X-Gatepost-Stream: office"
NOBODY = "550 5.1.1 nobody of that name"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    replies = {
        "nobody@example.org": NOBODY,
        "noone@example.org": NOBODY,
        "later@example.org": ["450 4.2.1 later", "450 4.2.1 later"],
        "full@example.org": "452 4.2.2 mailbox full",
    }
    with UpstreamThread(Script(recipients=replies)) as upstream:
        gateway = Program(
            tmp_path_factory.mktemp("troubles"),
            upstream_port=upstream.port,
            more=MORE.format(port=upstream.port),
        )
        with gateway:
            yield gateway, upstream


def reports(upstream, after):
    """The delivery reports among the messages that came since."""
    return [m for m in list(upstream.messages)[after:] if m.mail_from == ""]


def test_a_deferred_copy_is_tried_again(world):
    gateway, upstream = world
    before = len(upstream.messages)
    assert send(gateway, ["later@example.org"], mail("Later", OFFICE))[0] == 250
    for attempts in (1, 2):
        wait_until(lambda n=attempts: queued(gateway) == ("deferred", n), gateway)
        minutes = (next_attempt(gateway) - time.time()) / 60
        assert (25 if attempts == 1 else 110) < minutes < (46 if attempts == 1 else 181)
        gateway.run("queue", "retry", "--all")
    wait_until(lambda: rows(gateway)[-1][1] == "delivered", gateway)
    assert len(upstream.messages) == before + 1
    assert not reports(upstream, before)


def queued(gateway):
    row = last_row(gateway)
    return row.state, row.attempts


def next_attempt(gateway):
    return last_row(gateway).next_attempt_ms / 1000


def last_row(gateway):
    return everything(gateway)[-1]


def everything(gateway):
    query = text("SELECT * FROM recipient ORDER BY id")
    with gateway.store() as store:
        return store.read_now(lambda tx: tx.connection.execute(query).all())


def test_the_failures_of_one_submission_are_told_in_one_report(world):
    gateway, upstream = world
    before = len(upstream.messages)
    people = ["nobody@example.org", "anna@example.org", "noone@example.org"]
    send(gateway, people, mail("Report", OFFICE), mail_options=["ENVID=e1", "RET=HDRS"])
    wait_until(lambda: reports(upstream, before), gateway)
    (report,) = reports(upstream, before)
    assert report.recipients == ["news@acme.example"]
    message = message_from_bytes(report.content)
    assert message.get_content_type() == "multipart/report"
    status = message.get_payload()[1]
    whole, *each = status.get_payload()
    assert whole["Original-Envelope-Id"] == "e1"
    assert [part["Final-Recipient"] for part in each] == [
        "rfc822; nobody@example.org",
        "rfc822; noone@example.org",
    ]
    assert {part["Action"] for part in each} == {"failed"}
    assert {part["Status"] for part in each} == {"5.1.1"}
    assert "nobody of that name" in each[0]["Diagnostic-Code"]
    assert "<spring@acme.example>" in report.content.decode()


def test_nobody_is_told_who_does_not_want_to_be(world):
    gateway, upstream = world
    before = len(upstream.messages)
    for mail_from, options in (
        ("", []),
        ("news@acme.example", ["NOTIFY=NEVER"]),
        ("news@acme.example", ["NOTIFY=DELAY"]),
    ):
        code, _ = send(
            gateway, ["nobody@example.org"], mail("Quiet", OFFICE),
            mail_from=mail_from, rcpt_options=options,
        )  # fmt: skip
        assert code == 250
    wait_until(lambda: not untold(gateway), gateway)
    assert [state for _, state, _ in rows(gateway)[-3:]] == ["failed"] * 3
    assert len(upstream.messages) == before


def untold(gateway):
    """How many rows are not finished, or failed without a note that this was told."""
    query = text(
        "SELECT count(*) FROM recipient WHERE finished_ms IS NULL"
        " OR (state = 'failed' AND reported_ms IS NULL)"
    )
    with gateway.store() as store:
        return store.read_now(lambda tx: tx.connection.execute(query).scalar_one())


def test_a_report_that_cannot_be_delivered_is_not_reported(world):
    gateway, upstream = world
    before = len(upstream.messages)
    send(gateway, ["nobody@example.org"], mail("Loop", OFFICE), mail_from="noone@example.org")
    wait_until(
        lambda: rows(gateway)[-1][0] == "noone@example.org" and last_row(gateway).reported_ms,
        gateway,
    )
    assert rows(gateway)[-1][:2] == ("noone@example.org", "failed")
    assert len(upstream.messages) == before


def test_a_copy_expires_and_its_report_says_so(world):
    """RQ-2: after `retry_for` a temporary refusal has become a final one."""
    gateway, upstream = world
    before = len(upstream.messages)
    assert send(gateway, ["full@example.org"], mail("Expires"), **TILL)[0] == 250
    wait_until(lambda: reports(upstream, before), gateway)
    (report,) = reports(upstream, before)
    (each,) = message_from_bytes(report.content).get_payload()[1].get_payload()[1:]
    assert each["Status"] == "5.4.7"
    assert "mailbox full" in each["Diagnostic-Code"]


def test_an_upstream_that_comes_late_gets_all_and_nobody_is_told_anything(tmp_path):
    port, people = free_port(), [f"reader{n}@example.org" for n in range(300)]
    gateway = Program(tmp_path, upstream_port=port)
    gateway.record({address: [granted()] for address in people})
    with gateway:
        assert send(gateway, people, mail("Early"))[0] == 250
        assert send(gateway, ["anna@example.org"], mail("Order", OFFICE))[0] == 250
        wait_until(lambda: "upstream is away" in gateway.log(), gateway)
        wait_until(lambda: states(gateway) == {"ready": 301}, gateway)
        with UpstreamThread(port=port) as upstream:
            wait_until(lambda: states(gateway) == {"delivered": 301}, gateway)
            assert copies(upstream).total() == 301
            assert "upstream takes mail" in gateway.log()
        assert attempts(gateway) == {1}


def attempts(gateway):
    query = text("SELECT DISTINCT attempts FROM recipient")
    with gateway.store() as store:
        return set(store.read_now(lambda tx: tx.connection.execute(query).scalars().all()))


def test_one_slow_upstream_keeps_nobody_else_waiting(tmp_path):
    """Five thousand rows for an upstream that thinks, and one for an upstream that works."""
    people = [f"reader{n}@example.org" for n in range(5000)]
    with (
        UpstreamThread(Script(steps={"DOT": Slow(600)})) as slow,
        UpstreamThread() as quick,
    ):
        more = MORE.format(port=quick.port)
        gateway = Program(tmp_path, upstream_port=slow.port, more=more, connections=2)
        gateway.record({address: [granted()] for address in people})
        with gateway:
            assert send(gateway, people, mail("Slow"))[0] == 250
            wait_until(lambda: slow.messages, gateway)
            assert send(gateway, ["anna@example.org"], mail("Receipt"), **TILL)[0] == 250
            wait_until(lambda: quick.messages, gateway)
            gateway.kill()


async def test_what_waits_for_an_upstream_that_never_comes_is_given_up(tmp_path):
    """In this process, so that the chore that runs every five minutes can be run now."""
    port = free_port()
    gateway = Program(tmp_path, upstream_port=1, more=MORE.format(port=port))
    settings = gateway.config.read_text().replace('"10 minutes"', '"1 s"')
    gateway.config.write_text(settings)
    running = Gateway(load(gateway.config, os.environ))
    await running.start()
    try:
        code, _ = await asyncio.to_thread(
            send, gateway, ["anna@example.org"], mail("Never"), **TILL
        )
        assert code == 250
        await asyncio.sleep(1.1)
        await running.housekeeping.apply_terms()
        (given_up, *_) = await asyncio.to_thread(everything, gateway)  # a report may be there, too
        assert (given_up.address, given_up.state) == ("anna@example.org", "failed")
        assert given_up.last_reply.startswith("554 5.4.7")
    finally:
        await running.stop()
