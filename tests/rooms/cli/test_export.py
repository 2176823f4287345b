"""Handing a sender's data over: one archive, which comes to the same somewhere else."""

import csv
import hashlib
import io
import json
import zipfile
from dataclasses import replace

import pytest

from gatepost.consent.evidence import EventKind
from gatepost.mail.address import parse
from gatepost.store import people
from support.command import OTHER, Site
from support.consents import complained, granted


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.delenv("GATEPOST_CONFIG", raising=False)
    (tmp_path / "here").mkdir()
    site = Site(tmp_path / "here", OTHER)
    site.add_source("web", "--streams", "newsletter,club")
    return site


@pytest.fixture
def there(tmp_path, here):
    (tmp_path / "there").mkdir()
    site = Site(tmp_path / "there", OTHER)
    site.add_source("web", "--streams", "newsletter,club")
    return site


def fill(site):
    """People in every state there is."""
    site.ok(
        "consent", "import",
        site.file(
            "people.csv",
            "address,basis,event_at,confirmed_at,withdrawn_at,stream,explanation,categories\n"
            "plain@kund.example,form-checkbox,2024-01-01T10:11:12.345Z,,,newsletter,,shoes|hats\n"
            "asked@kund.example,double-opt-in,2024-01-01,,,club,,\n"
            "both@kund.example,double-opt-in,2024-01-01,2024-01-02,,club,,\n"
            "left@kund.example,form-checkbox,2024-01-01,,2024-03-01,newsletter,,\n"
            "back@kund.example,,,,2024-03-01,newsletter,,\n"
            "back@kund.example,form-checkbox,2024-04-01,,,newsletter,at the fair,\n"
            "never@kund.example,purchased-list,2024-01-01,,,newsletter,,\n"
            "old@kund.example,purchase,2020-01-01,,,newsletter,,\n"
            "contract@kund.example,customer,2026-01-01,,,newsletter,,\n",
        ),
        "--source", "web",
    )  # fmt: skip
    site.ok("consent", "grant", "bought@kund.example", "--source", "web", "--stream", "newsletter",
            "--basis", "customer", "--bought", "--informed", "--could-decline")  # fmt: skip
    site.ok("suppression", "add", "bounced@kund.example", "--sender", "acme",
            "--reason", "hard-bounce")  # fmt: skip
    site.ok("consent", "withdraw", "gone@kund.example", "--all", "--sender", "acme")


WHO = (
    "bought",
    "contract",
    "plain",
    "asked",
    "both",
    "left",
    "back",
    "never",
    "old",
    "bounced",
    "gone",
)


def decisions(site):
    listed = "".join(f"{who}@kund.example\n" for who in WHO)
    return [
        site.run("audience", "check", "--stream", stream, "-", "--json", given=listed).json
        for stream in ("newsletter", "club", "receipts")
    ]


def archive(site, *words, name="acme.zip"):
    site.ok("consent", "export", "--sender", "acme", "-o", site.folder / name, *words)
    return zipfile.ZipFile(site.folder / name)


def take_over(there, exported):
    for name in ("suppressions.csv", "consents.csv"):
        there.file(name, exported.read(name))
    there.ok("suppression", "import", there.folder / "suppressions.csv")
    there.ok("consent", "import", there.folder / "consents.csv")
    if exported.read("customers.csv").count(b"\n") > 1:
        there.file("customers.csv", exported.read("customers.csv"))
        there.ok("consent", "import", there.folder / "customers.csv",
                 "--bought", "--informed", "--could-decline")  # fmt: skip


def test_what_is_exported_comes_to_the_same_somewhere_else(here, there):
    fill(here)
    take_over(there, archive(here))
    assert decisions(there) == decisions(here)
    back = there.standing("back@kund.example")
    assert (back["verdict"], there.kinds("back@kund.example")) == (
        "deliver", ["withdrawn", "resubscribed"],
    )  # fmt: skip


def test_who_came_back_by_a_link_comes_back(here, there):
    fill(here)
    with here.store() as store:
        returned = replace(
            granted(at=store.now()), kind=EventKind.RESUBSCRIBED, basis="", source="web"
        )
        store.write_now(lambda tx: people.record(tx, parse("left@kund.example"), [returned]))
    take_over(there, archive(here))
    mine, theirs = decisions(here), decisions(there)
    assert [[one["verdict"] for one in rows] for rows in mine] == [
        [one["verdict"] for one in rows] for rows in theirs
    ]


def test_nothing_of_others_is_in_it(here):
    fill(here)
    with here.store() as store:
        facts = [granted(sender="other", stream="foreign"), complained(sender="other")]
        store.write_now(lambda tx: people.record(tx, parse("theirs@kund.example"), facts))
    exported = archive(here)
    for name in exported.namelist():
        assert b"theirs@kund.example" not in exported.read(name)
        assert b"foreign" not in exported.read(name)


def test_events_can_be_checked_by_anybody(here):
    """The README says how a commitment is computed; the chain holds it."""
    fill(here)
    lines = [json.loads(line) for line in archive(here).read("events.jsonl").splitlines()]
    with here.store() as store:
        held = store.read_now(
            lambda tx: {bytes(row[0]) for row in tx.cursor.execute("SELECT commitment FROM event")}
        )
    for line in lines:
        payload = json.dumps(
            line["payload"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()
        covered = bytes.fromhex(line["salt"]) + bytes.fromhex(line["address_hash"]) + payload
        assert hashlib.sha256(b"gatepost event\x00" + covered).digest() in held
    assert {line["address"] for line in lines} == {f"{who}@kund.example" for who in WHO}


def test_sources_come_with_their_words_and_pictures(here):
    picture = here.file("form.png", b"\x89PNG\r\n\x1a\n" + b"0" * 100)
    here.run("source", "add", "shop", "--sender", "acme", "--kind", "shop",
             "--text-file", here.folder / "text.txt", "--picture", picture)  # fmt: skip
    exported = archive(here)
    said = [
        json.loads(exported.read(name)) for name in exported.namelist() if name.endswith("e.json")
    ]
    assert sorted(one["name"] for one in said) == ["shop", "web"]
    assert any(exported.read(name) == picture.read_bytes() for name in exported.namelist())
    assert json.loads(exported.read("manifest.json"))["counts"]["sources"] == 2


def test_the_erased_are_in_no_table(here):
    fill(here)
    here.ok("consent", "erase", "plain@kund.example")
    exported = archive(here)
    with io.TextIOWrapper(exported.open("consents.csv")) as file:
        assert "plain@kund.example" not in {row["address"] for row in csv.DictReader(file)}


def test_two_exports_are_the_same(here):
    fill(here)
    first, second = archive(here), archive(here, name="again.zip")
    assert first.namelist() == second.namelist()
    for name in first.namelist():
        if name != "manifest.json":
            assert first.read(name) == second.read(name)
    assert (here.folder / "acme.zip").stat().st_mode & 0o777 == 0o600
    assert not list(here.folder.glob(".*draft"))


def test_an_export_needs_a_place_and_a_sender(here):
    assert "say which sender" in here.refused("consent", "export", "-o", here.folder / "x.zip")
    nowhere = here.folder / "no" / "x.zip"
    said = here.refused("consent", "export", "--sender", "acme", "-o", nowhere)
    assert str(nowhere) in said


def test_a_sender_is_removed_when_it_is_frozen(here, there):
    fill(here)
    before = decisions(here)
    exported = archive(here)
    assert "freeze" in here.refused("sender", "remove", "acme", "--yes", status=1)
    here.ok("sender", "freeze", "acme")
    assert "events of 11 people" in here.ok("sender", "remove", "acme", "--yes").out
    here.ok("ledger", "verify")
    here.ok("sender", "thaw", "acme")
    kept = here.run(
        "audience",
        "check",
        "--stream",
        "newsletter",
        "-",
        "--json",
        given="plain@kund.example\nleft@kund.example\nbounced@kund.example\n",
    ).json
    assert [one["reason"] for one in kept] == ["no-consent", "withdrawn", "suppressed"]
    take_over(there, exported)
    assert decisions(there) == before


def test_a_receipt_says_what_was_agreed_to_and_how_to_end_it(here):
    fill(here)
    text = here.ok("consent", "receipt", "plain@kund.example").out
    for part in (
        "What:       Monthly newsletter, of Acme AB\n",
        "2024-01-01 10:11:12Z",
        "kontakt@acme.example",
    ):
        assert part in text
    assert "I want the newsletter" in text
    file = here.folder / "receipt.json"
    here.ok("consent", "receipt", "plain@kund.example", "--stream", "newsletter", "-o", file)
    (consent,) = json.loads(file.read_text())["consents"]
    assert consent["text"].startswith("I want the newsletter")
    assert here.run("consent", "receipt", "plain@kund.example", "--stream", "club").status == 1
    assert here.run("consent", "receipt", "nobody@kund.example").status == 1
