"""What `gatepost preview` shows is what goes out: the same copy, but for times, ids and tokens."""

import re
import smtplib
import time
from email import message_from_bytes
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gatepost.cli import app
from support.consents import granted
from support.program import CONFIG, Program
from support.upstream import UpstreamThread

READER = "anna@kund.example"
MAILS = sorted((Path(__file__).parents[1] / "mails").glob("*.eml"))[::7]
TOKEN = re.compile(rb"(?<=/[up]/)((?:=\r\n)?[A-Za-z0-9_-]){49}")
OWN = re.compile(rb"(?s)Received: from [^\n]*\(\[?127.*?\r\n(?=\S)|Date: [^\r]*\r\n|Message-ID: <[^>]*@relay[^>]*>\r\n")  # fmt: skip


def masked(copy):
    """The header, and the decoded content of each part, without what is new every time."""
    header, _, _ = copy.partition(b"\r\n\r\n")
    contents = [
        TOKEN.sub(b"TOKEN", part.get_payload(decode=True) or b"")
        for part in message_from_bytes(copy).walk()
        if not part.is_multipart()
    ]
    return OWN.sub(b"", TOKEN.sub(b"TOKEN", header + b"\r\n")), contents


def wait_for(upstream, count):
    for _ in range(6000):
        if len(upstream.taken) == count:
            return upstream.taken[-1].content
        time.sleep(0.02)
    raise AssertionError("no copy came")


@pytest.mark.parametrize("stream", ["newsletter", "receipts"])
def test_preview_and_copy_are_the_same(stream, tmp_path):
    config = CONFIG.replace('from = ["@acme.example"]', 'from = ["@acme.example", "@*.example"]')
    with (
        UpstreamThread() as upstream,
        Program(tmp_path, upstream_port=upstream.port, config=config) as gateway,
    ):
        gateway.record({READER: [granted()]})
        compared = 0
        for path in MAILS:
            count = len(upstream.taken)
            raw = b"X-Gatepost-Stream: %s\r\n" % stream.encode() + path.read_bytes()
            try:
                with smtplib.SMTP("127.0.0.1", gateway.smtp_port, timeout=60) as client:
                    options = ["BODY=8BITMIME", "SMTPUTF8"]
                    client.sendmail("news@acme.example", [READER], raw, options)
            except smtplib.SMTPDataError:
                continue  # not every mail of the corpus is one to be taken
            sent = wait_for(upstream, count + 1)
            file = tmp_path / path.name
            file.write_bytes(raw)
            words = ["preview", file, "--stream", stream, "--to", READER, "--raw"]
            shown = CliRunner().invoke(app, ["--config", str(gateway.config), *map(str, words)])
            shown = shown.stdout_bytes
            assert masked(shown) == masked(sent), path.name
            compared += 1
        assert compared > len(MAILS) // 2
