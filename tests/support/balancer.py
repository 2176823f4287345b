"""HAProxy from Debian's package with the configuration of the guide, on loopback.

Only addresses, ports and the certificate are put in place of the guide's own.
"""

import shutil
import socket
import subprocess
import time

from support.certificates import make_certificate
from support.documents import TOP, in_section
from support.patience import PATIENCE_SECONDS
from support.ports import free_port

GUIDE = TOP / "docs" / "guides" / "several-gateways.md"
HERE = "127.0.0.1"  # where it listens, and from where it connects
HOST = "mail.example.org"
GATEWAYS = ("127.0.1.11", "127.0.1.12", "127.0.1.13")


class Balancer:
    """One instance; `smtp_port` and `http_port` are those of the gateways behind it."""

    def __init__(self, folder, smtp_port, http_port):
        self.port, self.pages_port = free_port(), free_port()
        self._folder = folder
        self._log = folder / "haproxy.log"
        self.certificate, key = make_certificate(folder, HOST)
        pair = folder / "pair.pem"
        pair.write_bytes(self.certificate.read_bytes() + key.read_bytes())
        (text,) = in_section(GUIDE, "HAProxy", "text")
        for theirs, ours in {
            "log /dev/log local0": "log stdout format raw local0",
            "bind :25": f"bind {HERE}:{self.port}",
            "bind :443 ssl crt /etc/haproxy/certs/": f"bind {HERE}:{self.pages_port} ssl crt {pair}",
            "port 8025": f"port {http_port}",
            "10.0.1.": "127.0.1.",
            ":2525\n": f":{smtp_port}\n",
            ":8025\n": f":{http_port}\n",
            "inter 2s": "inter 200ms",
        }.items():
            assert theirs in text, theirs
            text = text.replace(theirs, ours)
        self._file = folder / "haproxy.cfg"
        self._file.write_text(text)

    def __enter__(self):
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-db", "-f", self._file], stdout=log, stderr=log, cwd=self._folder
            )
        for _ in range(1200):
            assert self._process.poll() is None, self.log()
            with socket.socket() as probe:
                if probe.connect_ex((HERE, self.pages_port)) == 0:
                    return self
            time.sleep(0.05)
        raise AssertionError(f"HAProxy does not listen:\n{self.log()}")

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)

    def log(self):
        return self._log.read_text(errors="replace")
