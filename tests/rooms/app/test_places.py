"""A store full of one person's mail: after erasure neither address nor local part is anywhere.

docs/erasure.md names what is kept until the due date; after completion nothing is left, not even
in free pages and the log of the embedded file.
"""

import importlib
import os
import pkgutil
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlmodel import SQLModel

from gatepost.app.erasure import Eraser
from gatepost.app.retention import Retention
from gatepost.app.wiring import wire
from gatepost.config import load
from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.retention import Terms
from gatepost.mail.address import parse
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.store import campaigns, clock, ledger, people, places, tables, uses
from gatepost.store.engine import DATABASE
from gatepost.store.spool import Heading
from gatepost.store.tables import mail
from gatepost.store.written import note_file
from support.command import CONFIG
from support.consents import granted
from support.submissions import HOLD, accept, change, claim, mark, outcome, rows_of, submission

LOCAL = "zoe.quartermaine"
ADDRESS = f"{LOCAL}@kund.example"
OTHER = "bo@kund.example"
TRACES = re.compile(rb"zoe.quartermaine", re.IGNORECASE)
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
# What docs/erasure.md names as kept until the due date.
KEPT = {("subject", "address"), ("event_payload", "payload")}
# Messages to several go with their content's term, whoever of them is erased.
FOR_A_WEEK = {("content", "data")}
PAGE = Path(__file__).parents[3] / "docs" / "erasure.md"


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "config.toml").write_text(CONFIG)
    return wire(load(tmp_path / "config.toml", os.environ))


def all_tables():
    for module in pkgutil.iter_modules(tables.__path__, "gatepost.store.tables."):
        importlib.import_module(module.name)
    return SQLModel.metadata.sorted_tables


def traces(store):
    """(table, column) of every value that holds the local part."""
    found = set()
    for table in all_tables():
        for row in store.read_now(lambda tx, t=table: tx.connection.execute(select(t)).all()):
            for name, value in row._mapping.items():
                text = value if isinstance(value, bytes) else str(value).encode()
                if TRACES.search(text):
                    found.add((table.name, name))
    return found


def fill(store, folder):
    """Everything that a person can leave behind; the subject."""
    facts = [
        granted(at=YESTERDAY, ip="192.0.2.9", note=f"{ADDRESS} by phone"),
        Fact(kind=EventKind.ENGAGED, at=YESTERDAY, sender="acme", stream="newsletter",
             url=f"https://acme.example/?who={LOCAL}%40kund.example"),
    ]  # fmt: skip
    subject = store.write_now(lambda tx: people.record(tx, parse(ADDRESS), facts))
    heading = Heading(
        message_id=f"<{LOCAL}@acme.example>",
        subject=f"Hello {LOCAL}",
        header_from="news@acme.example",
        replaced=f"List-Unsubscribe: <https://acme.example/?m={LOCAL}%40kund.example>",
    )
    letter = f"To: {ADDRESS}\r\nSubject: Hello {LOCAL}\r\n\r\nDear {LOCAL}!\r\n".encode()
    more = {"heading": heading, "content": letter}
    accept(store, submission(ADDRESS, **more))
    accept(store, submission(ADDRESS, OTHER, **more))
    change(store, mail.recipient, {"subject": subject}, address=ADDRESS)
    for row in claim(store):
        if row.recipient.address.given == ADDRESS:
            reply = f"550 5.1.1 <{ADDRESS}> unknown, {LOCAL}"
            mark(store, outcome(row, State.FAILED, reply, report=True))
        else:
            mark(store, outcome(row, State.DELIVERED))
    accept(store, submission(ADDRESS, verdicts={ADDRESS: HOLD}, campaign=ADDRESS, **more))
    accept(store, submission(ADDRESS, OTHER, campaign="second", **more))
    accept(
        store,
        submission(
            "office@acme.example", kind=Kind.PERSONAL, stream="office", campaign=None,
            heading=Heading(header_from=ADDRESS, subject=f"From {LOCAL}"), content=b"\r\n",
        ),
    )  # fmt: skip
    change(store, mail.recipient, {"orcpt": f"rfc822;{ADDRESS}", "note": ADDRESS}, address=ADDRESS)
    store.write_now(lambda tx: campaigns.freeze(tx, "other", f"{ADDRESS} complained"))
    store.write_now(ledger.seal)
    rejects = folder / "list.csv.rejects.csv"
    rejects.write_text(f"line,reason,email\r\n2,no time,{ADDRESS}\r\n3,no time,{OTHER}\r\n")
    store.write_now(lambda tx: note_file(tx, rejects))
    return subject


def run(store, settings):
    return Retention(store, settings.settings, settings.policy.bases).run()


def eraser(store, settings):
    kept = settings.settings.retention
    terms = Terms(evidence=kept.evidence, unconfirmed=kept.unconfirmed)
    return Eraser(store, terms, settings.policy.bases)


def deliver_all(store):
    mark(store, *(outcome(row, State.DELIVERED) for row in claim(store)))


def test_only_what_must_be_kept_is_left_and_then_nothing(
    store, engine, settings, tmp_path, monkeypatch
):
    subject = fill(store, tmp_path)
    full = traces(store)
    assert {name for name, _ in full} >= {
        "subject", "event_payload", "recipient", "submission", "content", "campaign", "sender_state",
    }  # fmt: skip
    done = eraser(store, settings).erase(parse(ADDRESS))
    assert (done.extent, done.unreachable) == ("rest", ())
    assert done.places["waiting copies ended"] == 2
    assert done.places["rows of files removed"] == 1
    deliver_all(store)
    run(store, settings)
    assert traces(store) <= KEPT | FOR_A_WEEK
    assert ("subject", "address") in traces(store)

    week = store.now() + timedelta(days=8)
    monkeypatch.setattr(clock.Clock, "now", lambda _self: week)
    run(store, settings)
    assert traces(store) == KEPT
    assert store.read_now(ledger.verify) == []

    monkeypatch.setattr(clock.Clock, "now", lambda _self: done.due + timedelta(seconds=1))
    report = run(store, settings)
    assert {step.rule: step.count for step in report.steps}["request"] == 1
    assert traces(store) == set()
    assert store.read_now(ledger.verify) == []
    assert store.read_now(lambda tx: uses.uses_of(tx, subject)) == []
    if engine == "sqlite":
        for path in sorted((tmp_path / "data").glob(f"{DATABASE}*")):
            assert not TRACES.search(path.read_bytes()), path
    assert not TRACES.search((tmp_path / "list.csv.rejects.csv").read_bytes())


def test_erasure_leaves_the_others_of_a_mailing_alone(store, settings, tmp_path):
    fill(store, tmp_path)
    before = [row for row in rows_of(store, mail.recipient) if row["address"] == OTHER]
    eraser(store, settings).erase(parse(ADDRESS))
    after = [row for row in rows_of(store, mail.recipient) if row["address"] == OTHER]
    assert before == after
    deliver_all(store)
    states = {row["state"] for row in rows_of(store, mail.recipient) if row["address"] == OTHER}
    assert states == {"delivered"}


def test_who_was_erased_comes_back_by_an_act_of_their_own(store, settings, tmp_path):
    subject = fill(store, tmp_path)
    eraser(store, settings).erase(parse(ADDRESS))
    again = granted(at=store.now() + timedelta(seconds=1))
    assert store.write_now(lambda tx: people.record(tx, parse(ADDRESS), [again])) == subject
    known = store.read_now(lambda tx: people.history_of_subject(tx, subject))
    assert known.address == ADDRESS
    assert run(store, settings).steps
    assert store.read_now(lambda tx: people.history_of_subject(tx, subject)).address == ADDRESS


def test_every_table_has_a_place_and_a_line_in_the_documentation():
    names = {table.name for table in all_tables()}
    assert {place.table for place in places.PLACES} == names
    text = PAGE.read_text()
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []
