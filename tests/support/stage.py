"""Where the program is killed: a gateway on either engine, its upstream, and its people.

    people = People(tmp_path, nursery, None)            # or a `support.postgres.Server`
    with Stage(tmp_path, people, upstream) as stage:
        stage.start("accept/committed")                 # `support.deaths`
        stage.submit(GOOD[:3], "Spring")
        stage.die("accept/committed")
        stage.live_on()                                 # the books, which must add up

`People` are recorded once, and copied to every stage. On PostgreSQL the fate of a gateway may be
another than to be killed.
"""

import re
import shutil
import smtplib

from sqlalchemy import update

from gatepost.mail.address import parse
from gatepost.store import campaigns, people
from gatepost.store.tables import mail as tables
from support.aftermath import examine, until_quiet
from support.consents import granted, withdrawn
from support.dying import Mortal
from support.embedded import lay_down
from support.ports import free_port
from support.program import CONFIG
from support.submissions import accept, rows_of, submission
from support.watching import mail, send, wait_until

SHOP = "127.0.0.5"
MORE = """
[clients.shop]
networks = ["127.0.0.5"]
streams = ["newsletter", "offers", "strict", "receipts"]
default_stream = "newsletter"
trust_headers = true

[streams.offers]
kind = "bulk"
title = "Offers"
sender = "acme"
on_ineligible = "quarantine"

[streams.strict]
kind = "bulk"
title = "Strict"
sender = "acme"
on_ineligible = "reject"

[[smtp]]
port = {returns_port}
role = "returns"
"""
VERP = CONFIG.replace(
    "[senders.acme]", '[senders.acme]\nbounce_domain = "bounce.acme.example"'
).replace("[streams.newsletter]", '[streams.newsletter]\nreturn_path = "verp"')
GOOD = [f"reader{number}@good.example" for number in range(12)]
GONE = [f"gone{number}@good.example" for number in range(6)]
STRANGER = "stranger@good.example"
DENIED = "nobody@denied.example"
BUSY = "busy@denied.example"
LINK = re.compile(rb"List-Unsubscribe: <(http://127\.0\.0\.1:\d+/u/[\w-]{49})>")


class People:
    """A ledger with people in it, and the keys that belong to it, to be copied."""

    def __init__(self, folder, nursery, server):
        self.nursery, self.server = nursery, server
        self._url = server.database() if server else ""
        gateway = Mortal(folder, nursery, upstream_port=1, store_url=self._url)
        self._data = folder / "data"
        if not server:
            lay_down(self._data)
        everywhere = [granted(stream=stream) for stream in ("newsletter", "offers", "strict")]
        left = [withdrawn(stream=stream) for stream in ("newsletter", "offers", "strict")]
        gateway.record(
            dict.fromkeys([*GOOD, DENIED, BUSY], everywhere)
            | dict.fromkeys(GONE, everywhere + left)
        )

    def settle(self, folder):
        """Copies them for a gateway in `folder`; the URL of its store."""
        shutil.copytree(self._data, folder / "data")
        return self.server.database(like=self._url) if self.server else ""

    def leave(self, url):
        """Gives up what `settle` made."""
        if url:
            self.server.drop(url)


class Stage:
    """A gateway with its upstream, and what was acknowledged to its clients."""

    def __init__(
        self, folder, people, upstream, *, fate="killed", lost_answers=0, lease=0.0, port=0
    ):  # fmt: skip
        """`port` is where its first gateway finds the database, if not at that itself."""
        self.upstream = upstream
        self.acknowledged = []
        self.url = people.settle(folder)
        self._people, self._fate, self._lease = people, fate, lease
        self._lost_answers = lost_answers
        self.gateways = []
        self.gateway = self.another(folder, port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.gateways:
            if one.process is not None:
                one.kill()
        self._people.leave(self.url)

    def another(self, folder, port=0):
        """One more gateway on this store, which may know it by another port."""
        url = self.url.replace(f":{self._people.server.port}/", f":{port}/") if port else self.url
        if not (folder / "data").exists():
            keys = self.gateway.folder / "data" / "keys"
            (folder / "data").mkdir(mode=0o700, parents=True)
            shutil.copytree(keys, folder / "data" / "keys")
        port = free_port()
        gateway = Mortal(
            folder, self._people.nursery, upstream_port=self.upstream.port, connections=1, config=VERP,
            store_url=url, more=MORE.format(returns_port=port), lease=self._lease,
        )  # fmt: skip
        gateway.returns_port = port
        self.gateways.append(gateway)
        return gateway

    def start(self, death):
        """Starts the gateway, whose fate waits at that point."""
        server = self._people.server
        self.gateway.start(death, self._fate, server.data if server else "")

    def submit(self, recipients, subject, *header, body=b"", to=None):
        """Sends, and notes who was acknowledged; whether the program survived it."""
        content = mail(subject, *header) + body
        try:
            code, _ = send(to or self.gateway, recipients, content, source=SHOP)
        except (OSError, smtplib.SMTPException):
            return False
        if code == 250:
            self.acknowledged += recipients
        return True

    def die(self, point):
        """Waits until its fate has come, and nothing else."""
        gateway, last_words = self.gateway, f"{self._fate} at {point}"
        if self._fate in ("killed", "blackout"):
            gateway.wait_for_death()
            assert last_words in gateway.log() or " " in point
        else:
            wait_until(lambda: last_words in gateway.log(), gateway)
        if self._fate in ("bereft", "blackout"):
            self._people.server.up()

    def live_on(self, parked=()):
        """Starts again, waits for quiet, and looks at the books."""
        self.gateway.start()
        until_quiet(self.gateway)
        return self.look(parked)

    def look(self, parked=()):
        """The books when all is quiet; the gateways are over then."""
        found = examine(
            self.gateways[-1], self.upstream, acknowledged=self.acknowledged,
            lost_answers=self._lost_answers, parked=parked,
        )  # fmt: skip
        for one in self.gateways:
            one.kill()
            assert "Traceback" not in one.log(), one.log()[-4000:]
        return found


def facts(gateway, kind):
    """How many events of this kind there are about the first reader."""
    with gateway.store() as store:
        subject = store.write_now(lambda tx: people.ensure_subjects(tx, [parse(GOOD[0])]))
        (number,) = subject.values()
        history = store.read_now(lambda tx: people.history_of_subject(tx, number))
    return sum(event.fact is not None and event.fact.kind is kind for event in history.events)


def seed(store, *addresses, **more):
    """Puts rows into the spool, ready, as a gateway that is gone did."""
    values = {"client": "shop", "upstream": "", "content": mail("Seed")} | more
    accept(store, submission(*addresses, **values))


def states_of(gateway):
    """The state of each address's last row."""
    with gateway.store() as store:
        return {row["address"]: row["state"] for row in rows_of(store, tables.recipient)}


def stop_campaign(gateway):
    """A campaign that is stopped before its mail comes."""
    wish = campaigns.Wish("shop", "newsletter", True, "name:stopped", "acme", "stopped")
    with gateway.store() as store:
        entered = store.write_now(lambda tx: campaigns.enter(tx, [wish]))
        store.write_now(lambda tx: campaigns.stop(tx, entered[wish].id))


def end_leases(gateway):
    """Lets the time of all leases pass."""
    row = tables.recipient
    due = update(row).where(row.c.lease_until_ms.is_not(None)).values(lease_until_ms=1)
    with gateway.store() as store:
        store.write_now(lambda tx: tx.connection.execute(due))
