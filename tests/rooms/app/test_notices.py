"""Reports and summaries: none waits for another that cannot be made."""

import os
from datetime import timedelta

import pytest
from sqlalchemy import delete, text

from gatepost.app.notices import Notices
from gatepost.app.wiring import wire
from gatepost.config import load
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.store.tables import mail as tables
from support.command import CONFIG
from support.submissions import DROP, accept, claim, mark, outcome, rows_of, submission


@pytest.fixture
def notices(store, tmp_path):
    def make(config=CONFIG):
        (tmp_path / "config.toml").write_text(config)
        wiring = wire(load(tmp_path / "config.toml", os.environ))
        nothing = timedelta(0)
        return Notices(store, lambda: wiring, gather_failures=nothing, summary_after=nothing)

    return make


def told(store):
    """Whom our own mails are for."""
    own = {
        row["id"]: row for row in rows_of(store, tables.submission) if row["client"] == "gatepost"
    }
    return sorted(
        (row["address"], own[row["submission"]]["smtputf8"])
        for row in rows_of(store, tables.recipient)
        if row["submission"] in own
    )


async def test_a_message_that_is_lost_is_reported_all_the_same(store, notices):
    personal = {"kind": Kind.PERSONAL, "stream": "office", "campaign": None}
    accept(
        store, submission("a@kund.example", **personal), submission("b@kund.example", **personal)
    )
    mark(store, *(outcome(row, State.FAILED, "550 5.1.1 no", report=True) for row in claim(store)))
    first = min(row["id"] for row in rows_of(store, tables.submission))
    which = tables.content.c.submission == first
    store.write_now(lambda tx: tx.connection.execute(delete(tables.content).where(which)))
    assert await notices().report_failures() == 2
    assert await notices().report_failures() == 0


async def test_a_report_that_cannot_be_made_holds_up_no_other(store, notices):
    personal = {"kind": Kind.PERSONAL, "stream": "office", "campaign": None}
    for name in "abc":
        accept(store, submission(f"{name}@kund.example", **personal))
    mark(store, *(outcome(row, State.FAILED, "550 5.1.1 no", report=True) for row in claim(store)))
    first, *_ = sorted(rows_of(store, tables.submission), key=lambda row: row["id"])
    refuse = (
        "CREATE TRIGGER refuse BEFORE UPDATE OF reported_ms ON recipient "
        f"WHEN NEW.submission = {first['id']} BEGIN SELECT RAISE(ABORT, 'no'); END"
        if store.is_embedded
        else "ALTER TABLE recipient ADD CONSTRAINT refuse "
        f"CHECK (submission <> {first['id']} OR reported_ms IS NULL)"
    )
    store.write_now(lambda tx: tx.connection.execute(text(refuse)))
    assert await notices().report_failures() == 2


async def test_a_summary_goes_to_any_address(store, notices):
    contact = 'contact = "kontakt@acme.example"'
    assert contact in CONFIG
    accept(store, submission("a@kund.example", verdicts={"a@kund.example": DROP}))
    made = notices(CONFIG.replace(contact, 'contact = "köntakt@acme.example"'))
    assert await made.sum_up() == 1
    assert told(store) == [("köntakt@acme.example", True)]
