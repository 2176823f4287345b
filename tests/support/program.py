"""The real program: `gatepost serve` as a process of its own, on free ports of loopback.

with Program(tmp_path, upstream_port=up.port, more='[streams.offers]…') as gateway:
    gateway.smtp_port, gateway.http_port, gateway.admin_port
    gateway.run("consent", "withdraw", "a@example.org", "--all")
    gateway.kill()      # SIGKILL
    gateway.start()

At the end its log must hold no traceback.
"""

import os
import signal
import socket
import subprocess
import sys
import time

from gatepost.mail.address import parse
from gatepost.store import people
from gatepost.store.engine import Store
from support import engines
from support.patience import PATIENCE_SECONDS
from support.ports import free_port

# A stop is cut short after nine seconds; the rest is for a machine that others keep busy.
IN_TIME_SECONDS = 20

CONFIG = """
[server]
hostname = "relay.example.org"
public_url = "http://127.0.0.1:{http_port}"
data_dir = "./data"

[[smtp]]
port = {smtp_port}

[http]
port = {http_port}

[admin]
port = {admin_port}

[limits]
min_free_disk = "1 MB"

[store]
url = "{store_url}"

[upstream]
port = {upstream_port}
connections = {connections}

[clients.crm]
networks = ["127.0.0.0/30"]
streams = ["newsletter", "receipts", "office"]
default_stream = "newsletter"
trust_headers = true
may_override = true

[senders.acme]
name = "Acme AB"
postal_address = "Storgatan 1, 111 22 Stockholm, Sweden"
contact = "kontakt@acme.example"
from = ["@acme.example"]

[streams.newsletter]
kind = "bulk"
title = "Monthly newsletter"
sender = "acme"

[streams.receipts]
kind = "transactional"
sender = "acme"

[streams.office]
kind = "personal"

[log]
format = "json"
addresses = "plain"
"""


class Program:
    """One instance in `folder`."""

    def __init__(
        self,
        folder,
        *,
        upstream_port,
        more="",
        store_url=None,
        connections=10,
        config=CONFIG,
        options=(),
    ):
        self.folder = folder
        self.smtp_port, self.http_port, self.admin_port = free_port(), free_port(), free_port()
        self.config = folder / "config.toml"
        self.log_file = folder / "gatepost.log"
        self.store_url = engines.store_url(folder) if store_url is None else store_url
        self.options = options  # of `gatepost serve`
        self.process = None
        self.config.write_text(
            config.format(
                smtp_port=self.smtp_port,
                http_port=self.http_port,
                admin_port=self.admin_port,
                upstream_port=upstream_port,
                store_url=self.store_url,
                connections=connections,
            )
            + more
        )

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None:
            assert "Traceback" not in self.log(), self.log()

    def command(self):
        """What `start` runs."""
        words = ["-m", "gatepost", "--config", str(self.config), "serve", *self.options]
        return [sys.executable, *words]

    def start(self):
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=os.environ | {"PYTHONFAULTHANDLER": "1"},
            )
        self.wait_until_ready()

    def wait_until_ready(self, seconds=300):
        for _ in range(int(seconds * 20)):
            if self.process.poll() is not None:
                raise RuntimeError(f"gatepost ended with {self.process.returncode}:\n{self.log()}")
            if self.is_ready():
                return
            time.sleep(0.05)
        raise RuntimeError(f"gatepost is not ready:\n{self.log()}")

    def is_ready(self):
        """Whether mail is taken: the SMTP listener opens last."""
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.smtp_port)) == 0

    def stop(self, seconds=PATIENCE_SECONDS):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(seconds)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def log(self):
        return self.log_file.read_text() if self.log_file.exists() else ""

    def store(self):
        """The store of the running program, opened beside it."""
        return Store.open(self.store_url, self.folder / "data")

    def record(self, facts_by_address):
        """Records facts for addresses, in the ledger of the program."""
        with self.store() as store:
            store.write_now(
                lambda tx: people.record_many(
                    tx, [(parse(a), f) for a, f in facts_by_address.items()]
                )
            )

    def run(self, *arguments, check=True, text=None, seconds=300):
        """A gatepost command on the same configuration; its completed process."""
        outcome = subprocess.run(
            [sys.executable, "-m", "gatepost", "--config", self.config, *map(str, arguments)],
            capture_output=True,
            text=True,
            input=text,
            cwd=self.folder,
            timeout=seconds,
            check=False,
        )
        if check and outcome.returncode:
            raise AssertionError(
                f"gatepost {arguments}: {outcome.returncode}\n{outcome.stdout}{outcome.stderr}"
            )
        return outcome
