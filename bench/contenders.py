"""Gatepost as it is meant to be run: all checks, all edits, links of its own in each copy, and
every message on disk before it is answered. `relays` has what it is compared with.
"""

import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from processes import Tree

from gatepost.store import ledger
from support.consents import granted
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

[store]
url = "{{store_url}}"

[upstream]
port = {{upstream_port}}
connections = {{connections}}

[clients.crm]
networks = ["127.0.0.0/8"]
streams = [{streams}]
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

[streams.receipts]
kind = "transactional"
sender = "acme"

[[classify]]
from = "*@signed.example"
stream = "offers"

[[classify]]
from = "receipts@acme.example"
stream = "receipts"

[log]
format = "json"
"""


STREAMS = ("newsletter", "offers", "receipts")


class Gatepost:
    """`gatepost serve`; with an embedded store, unless `store_url` names another.

    `ledger = False` leaves the ledger as it is: another gateway on the same store has filled it.
    """

    name = "Gatepost"

    def __init__(
        self,
        folder,
        sink_port,
        *,
        recipient,
        people,
        workers=1,
        store_url="",
        ledger=True,
        more="",
        streams=(),
    ):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        _write_key(folder / "dkim.pem")
        self._program = Program(
            folder,
            upstream_port=sink_port,
            config=CONFIG.format(
                workers=workers,
                streams=", ".join(f'"{name}"' for name in (*STREAMS, *streams)),
            ),
            more=more,
            store_url=store_url,
        )
        self._recipient, self._people = recipient, people
        self._fills = ledger

    def __enter__(self):
        if self._fills:
            self.fill_ledger()
        self._program.start()
        self.port, self.http_port = self._program.smtp_port, self._program.http_port
        self.tree = Tree(self._program.process.pid)
        return self

    def fill_ledger(self):
        """Puts its people on record, before it is started."""
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

    def __exit__(self, *exception):
        self._program.stop()

    def use_keys_of(self, other):
        """Gateways that share a store share its keys."""
        shutil.copytree(other.folder / "data" / "keys", self.folder / "data" / "keys")

    def person(self, number):
        """The address of one of its people."""
        return f"{number}{self._recipient}"

    def run_command(self, *words, seconds=60):
        """A command of gatepost, on its configuration; it may take so long."""
        return self._program.run(*words, seconds=seconds)

    def store(self):
        """Its store, opened beside it."""
        return self._program.store()


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
