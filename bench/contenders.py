"""The contenders: Gatepost as it is meant to be run, and a plain Postfix relay.

Both keep their data in folders of one file system, both write each accepted message to disk
before they answer, both hand over to the same sink. Gatepost checks the consent of each
recipient in a filled ledger, adds headers and footer, and gives each copy links of its own.
"""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from processes import Tree

from gatepost.store import ledger
from support.consents import granted
from support.postfix import Postfix
from support.program import Program

CONFIG = """
[server]
hostname = "relay.example.org"
public_url = "https://mail.example.org"
data_dir = "./data"
workers = {workers}

[[smtp]]
port = {{smtp_port}}

[http]
port = {{http_port}}

[admin]
port = {{admin_port}}

[limits]
min_free_disk = "1 MB"

[store]
url = "{{store_url}}"

[upstream]
port = {{upstream_port}}
connections = {{connections}}

[clients.crm]
networks = ["127.0.0.0/8"]
streams = ["newsletter", "offers"]
default_stream = "newsletter"

[senders.acme]
name = "Acme AB"
postal_address = "Storgatan 1, 111 22 Stockholm, Sweden"
contact = "kontakt@acme.example"
from = ["@acme.example"]

[senders.signed]
name = "Signed AB"
postal_address = "Storgatan 2, 111 22 Stockholm, Sweden"
contact = "kontakt@signed.example"
from = ["@signed.example"]

[[senders.signed.dkim]]
domain = "signed.example"
selector = "bench"
key = "dkim.pem"

[streams.newsletter]
kind = "bulk"
title = "Monthly newsletter"
sender = "acme"

[streams.offers]
kind = "bulk"
title = "Offers"
sender = "signed"

[[classify]]
from = "*@signed.example"
stream = "offers"

[log]
format = "json"
"""


class Gatepost:
    """`gatepost serve` with an embedded store."""

    name = "Gatepost"

    def __init__(self, folder, sink_port, *, recipient, people, workers=1):
        self._folder = folder
        folder.mkdir()
        _write_key(folder / "dkim.pem")
        self._program = Program(
            folder, upstream_port=sink_port, config=CONFIG.format(workers=workers)
        )
        self._recipient, self._people = recipient, people

    def __enter__(self):
        at = datetime.now(UTC) - timedelta(days=30)
        self._program.record(
            {
                self.person(number): [
                    granted(at=at, sender="acme", stream="newsletter"),
                    granted(at=at, sender="signed", stream="offers"),
                ]
                for number in range(self._people)
            }
        )
        with self._program.store() as store:  # sealing so much is not part of any round
            while store.write_now(ledger.seal):
                pass
        self._program.start()
        self.port, self.http_port = self._program.smtp_port, self._program.http_port
        self.tree = Tree(self._program.process.pid)
        return self

    def __exit__(self, *exception):
        self._program.stop()

    def person(self, number):
        """The address of one of its people."""
        return f"{number}{self._recipient}"

    def store(self):
        """Its store, opened beside it."""
        return self._program.store()


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


def postfix_version():
    return subprocess.run(
        ["postconf", "-d", "-h", "mail_version"], capture_output=True, text=True, check=True
    ).stdout.strip()


def _write_key(path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
