"""Promise 1: what was acknowledged survives SIGKILL, and a copy comes twice only if its answer
was lost."""

import smtplib
import time
from collections import Counter

from support.consents import granted, withdrawn
from support.program import Program
from support.upstream import Script, Slow, UpstreamThread

RECIPIENTS = [f"reader{n}@example.org" for n in range(1000)]
GONE = RECIPIENTS[::100]  # withdrew before the mailing
MAIL = (
    b"From: Acme <news@acme.example>\r\nTo: news@acme.example\r\nSubject: Spring\r\n"
    b"Message-ID: <spring@acme.example>\r\nDate: Mon, 01 Mar 2027 09:00:00 +0000\r\n\r\nHello\r\n"
)


def test_kill_9_in_the_middle_of_a_mailing(tmp_path):
    script = Script(steps={"DOT": Slow(0.02, "250 2.0.0 taken")})
    with UpstreamThread(script) as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port, connections=4)
        gateway.record(
            {a: [granted()] for a in RECIPIENTS} | {a: [granted(), withdrawn()] for a in GONE}
        )
        with gateway:
            with smtplib.SMTP("127.0.0.1", gateway.smtp_port) as client:
                assert client.sendmail("news@acme.example", RECIPIENTS, MAIL) == {}
            _wait_for(upstream, 200)
            gateway.kill()
            _wait_until(lambda: not upstream.open_connections, gateway)  # what was under way is in
            before = Counter(_recipients(upstream))
            assert 200 <= before.total() < 990, "the kill came in the middle"

            gateway.start()
            _wait_until(lambda: set(_recipients(upstream)) >= set(RECIPIENTS) - set(GONE), gateway)
            _wait_until(lambda: not gateway_queue(gateway), gateway)

        copies = Counter(_recipients(upstream))
    assert set(copies) == set(RECIPIENTS) - set(GONE)
    twice = {address for address, count in copies.items() if count > 1}
    assert max(copies.values()) <= 2
    assert twice <= set(before), "only what upstream had already taken can come again"
    assert len(twice) <= 4 * 64, "only what was in flight"


def test_a_message_that_was_not_acknowledged_may_be_lost_but_not_halved(tmp_path):
    with UpstreamThread() as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port)
        gateway.record({a: [granted()] for a in RECIPIENTS[:50]})
        with gateway:
            client = smtplib.SMTP("127.0.0.1", gateway.smtp_port)
            client.ehlo()
            client.mail("news@acme.example")
            for address in RECIPIENTS[:50]:
                client.rcpt(address)
            client.docmd("DATA")
            client.send(MAIL)  # and no final dot
            gateway.kill()
            gateway.start()
            time.sleep(1)
            assert gateway_queue(gateway) == []
        assert upstream.messages == []


def gateway_queue(gateway):
    from gatepost.store.spool.queue import list_queue

    with gateway.store() as store:
        return store.read_now(list_queue)


def _recipients(upstream):
    return [
        address
        for message in list(upstream.messages)
        if message.taken
        for address in message.recipients
    ]


def _wait_for(upstream, count, seconds=120):
    for _ in range(seconds * 100):
        if len(upstream.messages) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"only {len(upstream.messages)} of {count} came")


def _wait_until(holds, gateway, seconds=120):
    for _ in range(seconds * 10):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError(gateway.log()[-3000:])
