"""The relay of the tour: the real `gatepost serve`, as a process of its own.

In: a folder and the upstream's port. Out: a written config.toml, a running program on free
ports of loopback, its log in a file.

*Fails:* `RelayError`, with the last lines of the log, where the program does not start.
*Known limits:* ports are chosen before the program takes them; if somebody else is faster,
it says that the address is in use. A tour that is killed outright leaves its relay behind.
"""

import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from gatepost.cli.demo.samples import CATEGORY, SENDER, STREAM

LEGAL_NAME = "Acme AB"
POSTAL_ADDRESS = "Storgatan 1, 111 22 Stockholm, Sweden"
HOST = "127.0.0.1"

_READY_SECONDS = 30.0
_STOP_SECONDS = 15.0
_LOG_LINES = 8
_CONFIG = f"""\
# The configuration of the demo. `gatepost init` writes one with everything explained.

[server]
hostname = "relay.example.org"
public_url = "http://{HOST}:{{http}}"
data_dir = "./data"

[[smtp]]                    # your mailer connects here
address = "{HOST}"
port = {{smtp}}

[http]                      # the links in the copies lead here
address = "{HOST}"
port = {{http}}

[admin]
address = "{HOST}"
port = {{admin}}

[limits]
min_free_disk = "50 MB"

[upstream]                  # the demo's inbox
host = "{HOST}"
port = {{upstream}}

[clients.mailer]
networks = ["{HOST}/32"]
streams = ["{STREAM}"]
default_stream = "{STREAM}"

[senders.{SENDER}]
name = "{LEGAL_NAME}"
postal_address = "{POSTAL_ADDRESS}"
contact = "kontakt@acme.example"
privacy_url = "https://acme.example/privacy"
from = ["@acme.example"]

[streams.{STREAM}]
kind = "bulk"
title = "Acme news"
description = "News and offers, once a month"
sender = "{SENDER}"
language = "en"
requires = "explicit"       # a purchase alone is not enough …
soft_opt_in = true          # … unless the customer was told and could decline
categories = ["{CATEGORY}"]
max_inactive = "2 years"
"""


class RelayError(Exception):
    """The relay does not run; the message says what its log says."""


class Relay:
    """The program in `folder`; a context manager that starts and stops it."""

    def __init__(self, folder: Path, upstream_port: int) -> None:
        self.smtp_port, self.http_port, self.admin_port = free_ports(3)
        self.config = folder / "config.toml"
        self.data_dir = folder / "data"
        self._log = folder / "gatepost.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.config.write_text(
            _CONFIG.format(
                smtp=self.smtp_port,
                http=self.http_port,
                admin=self.admin_port,
                upstream=upstream_port,
            ),
            encoding="utf-8",
        )

    @property
    def pages(self) -> str:
        """Where the recipients' pages are."""
        return f"http://{HOST}:{self.http_port}"

    def __enter__(self) -> Self:
        """Starts the program and waits until it takes mail. Raises `RelayError`."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own program
                [sys.executable, "-m", "gatepost", "--config", str(self.config), "serve"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.config.parent,
                start_new_session=True,  # Ctrl-C is for the tour, which then ends the relay
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stops the program."""
        self.stop()

    def stop(self) -> None:
        """Ends the program in order, or by force if it takes too long."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def check_alive(self) -> None:
        """Raises `RelayError` if the program has ended."""
        status = None if self._process is None else self._process.poll()
        if status is not None:
            raise RelayError(f"gatepost serve ended with status {status}:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines of the program's log."""
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        return "\n".join(text.splitlines()[-_LOG_LINES:]) or "(it wrote no log)"

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            self.check_alive()
            with socket.socket() as probe:  # the SMTP listener opens last
                probe.settimeout(1.0)
                if probe.connect_ex((HOST, self.smtp_port)) == 0:
                    return
            time.sleep(0.05)
        raise RelayError(
            f"gatepost serve takes no mail after {_READY_SECONDS:.0f} seconds:\n{self.log_tail()}"
        )


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on, each another."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
