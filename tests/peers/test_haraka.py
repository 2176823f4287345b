"""A real Haraka behind Gatepost: it takes LF . CR LF for the end of data, and gets one message.

It is installed from npm by `.ci/haraka`, at the versions and hashes in `haraka/`.
"""

import json
import os
import shutil
import subprocess

import pytest

from support.haraka import install, lay_out
from support.ports import free_port
from support.program import Program
from support.smtp_lines import Lines
from support.smuggling import SEPARATORS, smuggled
from support.watching import wait_until

if not shutil.which("npm") and not os.environ.get("CI"):
    pytest.skip("npm is not installed", allow_module_level=True)

KEEP = """
const fs = require('node:fs')
exports.hook_rcpt = (next) => next(OK)
exports.hook_queue = (next, connection) => {
  const { mail_from, rcpt_to, message_stream } = connection.transaction
  message_stream.get_data((data) => {
    const envelope = [mail_from.address(), rcpt_to.map((one) => one.address())]
    fs.appendFileSync('%s', JSON.stringify([...envelope, data.toString('latin1')]) + '\\n')
    next(OK)
  })
}
"""


class Haraka:
    """One instance that writes down what it takes."""

    def __init__(self, folder):
        self.port, self.folder, self._taken = free_port(), folder, folder / "taken"
        self._command = lay_out(folder, port=self.port, plugins={"keep": KEEP % self._taken})

    def __enter__(self):
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(lambda: self.greets() or self.process.poll() is not None)
        assert self.process.poll() is None, (self.folder / "log").read_text()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)

    def greets(self):
        try:
            with Lines(self.port, seconds=20):
                return True
        except OSError:
            return False

    def taken(self):
        """Each message as (sender, recipients, content)."""
        if not self._taken.exists():
            return []
        return [json.loads(line) for line in self._taken.read_text().split("\n")[:-1]]


@pytest.fixture(scope="module")
def haraka(tmp_path_factory):
    install()
    with Haraka(tmp_path_factory.mktemp("haraka")) as running:
        yield running


def submit(port, content):
    """One transaction; the reply to its end of data."""
    with Lines(port) as lines:
        for said in ("EHLO mailer.example", "MAIL FROM:<a@acme.example>", "RCPT TO:<b@shop.example>",
                     "DATA"):  # fmt: skip
            lines.say(said)
            lines.hear()
        lines.send_raw(content)
        return lines.hear()


def test_left_to_itself_it_is_deceived(haraka):
    """Otherwise the next test would show nothing."""
    before = len(haraka.taken())
    submit(haraka.port, smuggled(SEPARATORS["LF.CRLF"]))
    wait_until(lambda: len(haraka.taken()) == before + 2)
    assert haraka.taken()[-1][:2] == ["ceo@acme.example", ["victim@shop.example"]]


def test_rs1_behind_gatepost_every_trick_is_one_message(haraka, tmp_path):
    before = len(haraka.taken())
    sent = {name: trick for name, trick in SEPARATORS.items() if "NUL" not in name}

    gateway = Program(tmp_path, upstream_port=haraka.port)
    gateway.config.write_text(
        gateway.config.read_text().replace(
            'default_stream = "newsletter"', 'default_stream = "office"'
        )
    )
    with gateway:
        for name, trick in sent.items():
            assert submit(gateway.smtp_port, smuggled(trick)).startswith("250"), name
        wait_until(lambda: len(haraka.taken()) >= before + len(sent), gateway)
        gateway.stop()  # nothing else is on its way
    arrived = haraka.taken()[before:]
    assert len(arrived) == len(sent)
    for sender, recipients, content in arrived:
        assert (sender, recipients) == ("a@acme.example", ["b@shop.example"])
        assert "Subject: honest" in content
        assert "MAIL FROM:<ceo@acme.example>" in content
