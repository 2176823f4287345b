"""The head of the ledger, mailed to the contacts of those who send bulk mail."""

import asyncio
import os
import re
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest

from gatepost.app import head_mail
from gatepost.app.head_mail import HeadMail
from gatepost.app.wiring import wire
from gatepost.config import load
from gatepost.store import ledger
from gatepost.store.engine import Store
from gatepost.store.tables import mail as tables
from support.command import CONFIG, OTHER
from support.ledgers import PEOPLE, fact, record, seal
from support.submissions import rows_of

QUIET = """
[senders.quiet]
name = "Quiet AB"
postal_address = "Storgatan 2, 111 22 Stockholm, Sweden"
contact = "quiet@acme.example"
from = ["@quiet.example"]
"""


def wired(folder, more=""):
    path = folder / "config.toml"
    path.write_text(CONFIG + more)
    wiring = wire(load(path, os.environ))
    return lambda: wiring


def sealed(store, day=0):
    record(store, PEOPLE[0], fact("granted", day))
    seal(store)


def mails(store):
    contents = {row["submission"]: row["data"] for row in rows_of(store, tables.content)}
    return [
        message_from_bytes(contents[row["submission"]], policy=policy.default)
        for row in sorted(rows_of(store, tables.recipient), key=lambda row: row["address"])
    ]


@pytest.fixture
def at(monkeypatch):
    """Sets the day that a store's clock tells."""

    def set_day(day):
        moment = datetime.fromisoformat(day).replace(tzinfo=UTC)
        monkeypatch.setattr(Store, "now", lambda _store: moment)

    return set_day


async def test_nothing_is_mailed_while_there_is_nothing_to_keep(store, tmp_path):
    assert await HeadMail(store, wired(tmp_path)).send() == 0
    sealed(store)
    assert await HeadMail(store, wired(tmp_path)).send() == 1


async def test_each_contact_of_bulk_mail_gets_it_once(store, tmp_path, at):
    """Nobody who sends none, and nobody twice; `ledger verify --head` takes what it says."""
    at("2026-11-25")  # no week begins in the midst of it
    sealed(store)
    same = OTHER.replace("post@other.example", "Kontakt@acme.example").replace("other", "third")
    chore = HeadMail(store, wired(tmp_path, OTHER + QUIET + same.replace("foreign", "more")))
    assert await chore.send() == 2
    assert await chore.send() == 0
    first, second = mails(store)
    assert (first["To"], second["To"]) == ("kontakt@acme.example", "post@other.example")
    assert first["Auto-Submitted"] == "auto-generated"
    height, digest = store.read_now(ledger.head)
    text = first.get_content().replace("\r\n", "\n")
    assert f"    {height}:{digest}\n" in text
    assert f"gatepost ledger verify --head {height}:{digest}\n" in text
    found = re.search(r"--head (\d+):([0-9a-f]{64})", text)
    kept = int(found[1]), found[2]
    assert store.read_now(lambda tx: ledger.verify(tx, kept)) == []


@pytest.mark.parametrize(
    ("every", "days", "sent"),
    [("weekly", ["2026-11-22", "2026-11-23", "2026-11-29", "2026-11-30"], [1, 1, 0, 1]),
     ("weekly", ["2026-12-28", "2027-01-03", "2027-01-04"], [1, 0, 1]),
     ("monthly", ["2026-11-01", "2026-11-30", "2026-12-01"], [1, 0, 1]),
     ("never", ["2026-11-01", "2027-11-01"], [0, 0])],
)  # fmt: skip
async def test_once_in_a_period(store, tmp_path, at, *, every, days, sent):
    sealed(store)
    wiring = wired(tmp_path, f'\n[ledger]\nmail_head = "{every}"\n')
    for day, expected in zip(days, sent, strict=True):
        at(day)
        assert await HeadMail(store, wiring).send() == expected, day  # as after a restart


async def test_of_several_gateways_one_mails(store_url, tmp_path, at):
    at("2026-11-25")
    wiring = wired(tmp_path)
    with (
        Store.open(store_url, tmp_path / "d") as one,
        Store.open(store_url, tmp_path / "d") as other,
    ):
        sealed(one)
        made = await asyncio.gather(*[HeadMail(each, wiring).send() for each in (one, other) * 4])
        assert sum(made) == 1
        assert len(mails(one)) == 1


async def test_a_failure_while_mailing_leaves_no_note_behind(store, tmp_path, monkeypatch):
    """Note and mail are one transaction: what was not mailed is mailed the next time."""
    sealed(store)
    chore = HeadMail(store, wired(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(head_mail, "put", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await chore.send()
    assert mails(store) == []
    assert await chore.send() == 1
