"""A small ledger with everything in it, and a way to look at it through plain sqlite3.

build(store)                  # every kind of event, both erasures, suppressions, a text, a picture
with by_hand(path) as tx:     # a Tx on a connection that checks no foreign keys
    tx.cursor.execute("UPDATE …"); ledger.verify(tx)
"""

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import StaticPool, create_engine

from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.mail.address import parse
from gatepost.store import keys, ledger, people, sources
from gatepost.store.transaction import Tx

T0 = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = [parse(f"p{number}@kund.example") for number in range(5)]
ATTESTED = sources.Attestations(
    voluntary=True, informed=True, specific=True, states_withdrawal=True
)


def fact(kind, day=0, **more):
    values = {"sender": "acme", "stream": "news", **more}
    return Fact(kind=EventKind(kind), at=T0 + timedelta(days=day), **values)


def erased(day, extent="all", rule="request", due=None):
    return fact("erased", day, stream="", sender="", rule=rule, extent=extent, due=due)


def record(store, address, *facts):
    return store.write_now(lambda tx: people.record(tx, address, facts))


def seal(store):
    while store.write_now(ledger.seal):
        pass


def add_source(store, name="web"):
    def add(tx):
        sources.add_source(tx, name, sender="acme", kind="form", streams=["news"])
        version = sources.add_text(tx, name, "Yes, write to me.", attestations=ATTESTED)
        sources.add_picture(
            tx, name, version, name="form.png", media_type="image/png", content=b"\x89PNG"
        )

    store.write_now(add)


def build(store):
    """Three blocks, and events that wait for the sealer."""
    add_source(store)
    grant = {"basis": "newsletter-form", "source": "web", "text_version": "1"}
    record(
        store, PEOPLE[0],
        fact("text-shown", 0, source="web", text_version="1"), fact("requested", 0, **grant),
        fact("confirmed", 1, text_state=TextState.VALID, actor="recipient", ip="192.0.2.1", **grant),
        fact("welcomed", 1), fact("engaged", 2), fact("bounced", 3), fact("transferred", 4),
    )  # fmt: skip
    record(store, PEOPLE[1], fact("granted", 0, **grant), fact("withdrawn", 5, stream=""))
    seal(store)
    record(
        store, PEOPLE[1],
        fact("suppression-lifted", 6, stream="", scope="bulk", suppression="unsubscribed"),
        fact("resubscribed", 6, basis="written", explanation="by letter", actor="staff"),
    )  # fmt: skip
    record(store, PEOPLE[2], fact("granted", 0, **grant), fact("engaged", 1), fact("complained", 2))
    record(store, PEOPLE[3], fact("granted", 0, **grant))
    seal(store)
    due = T0 + timedelta(days=740)
    record(store, PEOPLE[2], erased(9, "rest", due=due))
    record(store, PEOPLE[3], erased(9), fact("suppressed", 9, scope="all", suppression="manual"))
    seal(store)
    record(store, PEOPLE[4], fact("granted", 0, **grant))


@contextlib.contextmanager
def by_hand(database, key_dir):
    """A transaction on a file, or on a whole database as bytes; nothing is kept of it."""
    if isinstance(database, Path):
        raw = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    else:
        raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        raw.deserialize(database)
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    now = datetime(2026, 6, 1, tzinfo=UTC)
    try:
        with engine.connect() as connection:
            cursor = connection.connection.cursor()
            cursor.execute("BEGIN")
            yield Tx(
                connection, cursor, now, int(now.timestamp() * 1000),
                keys.load(key_dir, create=False), "sqlite",
            )  # fmt: skip
    finally:
        raw.close()
