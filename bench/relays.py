"""The peers: a plain Postfix, Haraka, and aiosmtpd joined to aiosmtplib without more ado.

None of them checks or changes anything. Postfix writes each message to disk before it answers;
the other two hand over while the client waits, and keep nothing.

Each is a context manager with `name`, `port` and `tree` (the processes that are accounted).

*Fails:* `RuntimeError` where a peer does not start; what it said is in the message.
"""

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from processes import Tree

from support import haraka
from support.ports import free_port
from support.postfix import Postfix

START_SECONDS = 20
EVERYBODY = "exports.hook_rcpt = (next) => next(OK)\n"


class PlainPostfix:
    """A relay with Debian's settings, one recipient in each transaction towards the sink."""

    name = "Postfix"

    def __init__(self, sink_port):
        self._postfix = Postfix(
            hostname="postfix.example.org",
            settings={
                "relayhost": f"[127.0.0.1]:{sink_port}",
                "default_destination_recipient_limit": 1,
            },
        )

    def __enter__(self):
        self._postfix.__enter__()
        self.port = self._postfix.port
        pid_file = self._postfix.folder / "queue" / "pid" / "master.pid"
        self.tree = Tree(int(pid_file.read_text()))
        return self

    def __exit__(self, *exception):
        self._postfix.__exit__(*exception)


class _Process:
    """A peer that is one command; it is up when its port answers with 220."""

    def __init__(self, sink_port):
        self.port, self._sink_port = free_port(), sink_port

    def command(self, folder):
        raise NotImplementedError

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="gatepost-bench-peer-")
        log = Path(self._folder.name) / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self.command(Path(self._folder.name)), stdout=output, stderr=output
            )
        self.tree = Tree(self._process.pid)
        try:
            _wait_for_greeting(self.port, self._process, log)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception):
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()


class Haraka(_Process):
    """Haraka with `queue/smtp_forward`, one process per core."""

    name = "Haraka"

    def __enter__(self):
        haraka.install()
        return super().__enter__()

    def command(self, folder):
        return haraka.lay_out(
            folder,
            port=self.port,
            plugins={"everybody": EVERYBODY, "queue/smtp_forward": None},
            settings={"smtp_forward.ini": f"host=127.0.0.1\nport={self._sink_port}\n"},
            nodes="cpus",
        )


class Naive(_Process):
    """`naive.py`: aiosmtpd's controller, and an aiosmtplib client for each session."""

    name = "aiosmtpd"

    def command(self, _folder):
        script = Path(__file__).with_name("naive.py")
        return [sys.executable, script, str(self.port), str(self._sink_port)]


def postfix_version():
    return subprocess.run(
        ["postconf", "-d", "-h", "mail_version"], capture_output=True, text=True, check=True
    ).stdout.strip()


def _wait_for_greeting(port, process, log):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as probe:
                probe.settimeout(2)
                if probe.recv(3) == b"220":
                    return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"a peer did not start: {log.read_text()[-2000:]}")
