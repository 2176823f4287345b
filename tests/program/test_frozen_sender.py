"""A frozen sender (WP-14, WP-15): new bulk mail is told to come again, queued mail waits."""

import json
import smtplib
import time

import pytest

from support.consents import granted
from support.program import Program
from support.upstream import UpstreamThread

MAIL = b"From: news@acme.example\r\nTo: news@acme.example\r\nSubject: Spring\r\n\r\nHello\r\n"


def test_frozen_mail_is_deferred_and_queued_mail_waits_for_the_thaw(tmp_path):
    with UpstreamThread() as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port)
        gateway.record({"a@example.org": [granted()], "b@example.org": [granted()]})
        with gateway:
            upstream.script.recipients = {"a@example.org": "450 4.2.1 come again"}
            send(gateway, "a@example.org")
            until(lambda: [row["state"] for row in queue(gateway)] == ["deferred"])
            gateway.run("sender", "freeze", "acme")
            upstream.script.recipients = {}

            with pytest.raises(smtplib.SMTPDataError) as refusal:
                send(gateway, "b@example.org")
            assert refusal.value.smtp_code == 450
            assert refusal.value.smtp_error.startswith(b"4.7.0")

            (row,) = queue(gateway)
            gateway.run("queue", "retry", row["id"])
            until(lambda: [row["state"] for row in queue(gateway)] == ["held"])
            assert upstream.taken == []

            gateway.run("sender", "thaw", "acme")
            until(lambda: [message.recipients for message in upstream.taken] == [["a@example.org"]])
            until(lambda: queue(gateway) == [])
            (campaign, *_) = json.loads(gateway.run("campaign", "list", "--json").stdout)
            assert campaign["reasons"].get("consented") == 1


def send(gateway, address):
    with smtplib.SMTP("127.0.0.1", gateway.smtp_port) as client:
        client.sendmail("news@acme.example", [address], MAIL)


def queue(gateway):
    return json.loads(gateway.run("queue", "list", "--json").stdout)


def until(holds, seconds=120):
    for _ in range(seconds * 5):
        if holds():
            return
        time.sleep(0.2)
    raise AssertionError("it did not happen")
