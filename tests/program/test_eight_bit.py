"""RQ-8: what has 8-bit content reaches an upstream that takes none, encoded and signed anew."""

import json
import smtplib
import time
from email import message_from_bytes

import dkim

from support.consents import granted
from support.program import Program
from support.treatments import HEAD, message, multipart, part
from support.upstream import Script, UpstreamThread

POOR = Script(extensions=("PIPELINING", "SIZE 52428800"))
TEXT = "Hej på dig, det här är ett brev.\r\n"
LETTER = message(TEXT.encode(), "text/plain; charset=utf-8", "8bit")
SIGNED = multipart(
    "signed",
    part(TEXT.encode(), "text/plain; charset=utf-8", "8bit"),
    part(b"x", "application/pgp-signature"),
    head=HEAD,
)


def submit(gateway, content, *recipients):
    with smtplib.SMTP("127.0.0.1", gateway.smtp_port, timeout=60) as client:
        client.sendmail("news@acme.example", recipients, content, mail_options=["BODY=8BITMIME"])


def until(condition):
    for _ in range(2400):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


def outcomes(gateway):
    (campaign,) = json.loads(gateway.run("campaign", "list", "--json").stdout)
    return {name: campaign["outcomes"][name] for name in ("delivered", "failed", "queued")}


def test_copies_are_converted_signed_and_delivered(tmp_path):
    with UpstreamThread(POOR) as up, Program(tmp_path, upstream_port=up.port) as gateway:
        made = json.loads(gateway.run("dkim", "generate", "acme.example", "--json").stdout)
        gateway.stop()
        gateway.config.write_text(f"{gateway.config.read_text()}\n{made['config']}\n")
        gateway.start()
        gateway.record({f"r{n}@kund.example": [granted()] for n in range(3)})
        submit(gateway, LETTER, *(f"r{n}@kund.example" for n in range(3)))
        until(lambda: len(up.taken) == 3)
        submit(gateway, SIGNED, "r0@kund.example")
        until(lambda: outcomes(gateway) == {"delivered": 3, "failed": 1, "queued": 0})
        records = {f"{made['name']}.".encode(): made["record"].encode()}
        for taken in up.taken[:3]:  # the report to the mailer comes behind them
            assert taken.content.isascii()
            assert "BODY" not in taken.mail_parameters
            assert dkim.verify(taken.content, dnsfunc=lambda name, timeout=5: records[name])
            text = message_from_bytes(taken.content).get_payload(decode=True).decode()
            assert text.startswith(TEXT)
            assert "/u/" in text
        until(lambda: "5.6.3" in gateway.log())
        assert not up.violations
