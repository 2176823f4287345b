"""`gatepost consent erase` and `gatepost retention run`, as an administrator uses them."""

from datetime import UTC, datetime, timedelta

import pytest

from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import parse
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.store import people
from gatepost.store.tables import mail as tables
from gatepost.store.written import note_file
from support.consents import granted, withdrawn
from support.submissions import accept, change, claim, mark, outcome, rows_of, submission

A = "anna.kund@kund.example"
LONG_AGO = datetime(2020, 2, 29, 12, tzinfo=UTC)
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
ENGAGED = Fact(kind=EventKind.ENGAGED, at=YESTERDAY, sender="acme", stream="newsletter")


def put(site, address, *facts):
    with site.store() as store:
        return store.write_now(lambda tx: people.record(tx, parse(address), list(facts)))


def erased(site, address=A, *words, status=0):
    answer = site.run("consent", "erase", address, "--json", *words)
    assert answer.status == status, answer
    return answer.json


def ran(site, *words):
    found = site.ok("retention", "run", "--json", *words).json
    return {(rule["rule"], rule["what"]): rule["count"] for rule in found["rules"] if rule["count"]}


def verified(site):
    return site.run("ledger", "verify", "--json").json["findings"]


def shown(site, address=A):
    return site.run("consent", "show", address, "--json").json


@pytest.mark.both_engines
def test_what_proves_a_consent_stays_until_its_date(site):
    """JU-24: an erasure request leaves what is needed to prove the consent, and nothing else."""
    put(site, A, granted(at=YESTERDAY), ENGAGED)
    found = erased(site)
    assert (found["extent"], found["rule"]) == ("rest", "request")
    assert (found["kept"]["events"], found["erased_events"]) == (1, 1)
    until = datetime.fromisoformat(found["kept"]["until"])
    assert until.replace(tzinfo=UTC) > YESTERDAY + timedelta(days=729)
    record = shown(site)
    assert [one["kind"] for one in record["events"]][:2] == ["granted", "engaged"]
    said = {(one["verdict"], one["reason"]) for one in record["standings"]}
    assert said == {("drop", "erased")}
    assert verified(site) == []
    assert ran(site) == {}


@pytest.mark.both_engines
def test_where_nothing_must_be_kept_all_of_it_goes_at_once(site):
    put(site, A, granted(at=LONG_AGO), withdrawn(at=LONG_AGO + timedelta(days=1)))
    assert erased(site)["extent"] == "all"
    with site.store() as store:
        known = store.read_now(lambda tx: people.history(tx, parse(A)))
    assert known.address == ""
    assert known.standings == ()
    assert verified(site) == []


def test_a_dry_run_changes_nothing(site):
    put(site, A, granted(at=YESTERDAY))
    site.ok("ledger", "head")
    before = shown(site)
    found = erased(site, A, "--dry-run")
    assert (found["done"], found["extent"]) == (False, "rest")
    assert shown(site) == before


def test_asking_twice_is_asking_once(site):
    put(site, A, granted(at=YESTERDAY))
    first = erased(site)
    again = erased(site)
    assert (first["already"], again["already"]) == (False, True)
    assert [one["kind"] for one in shown(site)["events"]].count("erased") == 1


def test_of_a_stranger_there_is_nothing_to_erase(site):
    assert "nothing is on record" in site.run("consent", "erase", A).out
    assert erased(site, status=1)["extent"] == ""


@pytest.mark.both_engines
def test_waiting_mail_is_ended_and_bears_no_address(site):
    subject = put(site, A, granted(at=YESTERDAY))
    with site.store() as store:
        accept(store, submission(A, "bo@kund.example"))
        change(store, tables.recipient, {"subject": subject}, address=A)
    found = erased(site)
    assert found["places"]["waiting copies ended"] == 1
    with site.store() as store:
        rows = {row["address"]: row for row in rows_of(store, tables.recipient)}
    assert set(rows) == {"", "bo@kund.example"}
    assert (rows[""]["state"], rows[""]["reason"]) == ("stopped", "erased")
    assert rows["bo@kund.example"]["state"] == "ready"


@pytest.mark.parametrize(
    ("words", "state"), [((), "ready"), (("--also-transactional",), "stopped")]
)
def test_orders_still_come_unless_they_are_not_wanted_either(site, words, state):
    put(site, A, granted(at=YESTERDAY))
    with site.store() as store:
        accept(store, submission(A, kind=Kind.TRANSACTIONAL, stream="receipts", campaign=None))
    erased(site, A, *words)
    erased(site, A, *words)
    with site.store() as store:
        (row,) = rows_of(store, tables.recipient)
    assert row["state"] == state
    receipts = [one for one in shown(site)["suppressions"] if one["scope"] == "all"]
    assert len(receipts) == (1 if words else 0)
    assert [one["kind"] for one in shown(site)["events"]].count("suppressed") == len(receipts)


@pytest.mark.both_engines
def test_a_stranger_who_was_mailed_is_remembered_by_hash_alone(site):
    with site.store() as store:
        accept(store, submission(A))
    assert erased(site)["places"]["rows of mail blanked"] == 1
    with site.store() as store:
        known = store.read_now(lambda tx: people.history(tx, parse(A)))
        assert (known.address, known.erased_at is None) == ("", False)
        put_again = granted(at=YESTERDAY)
        store.write_now(lambda tx: people.record(tx, parse(A), [put_again]))
    assert site.standing(A)["reason"] == "erased"


def test_a_rejects_file_out_of_reach_is_named(site, tmp_path):
    put(site, A, granted(at=YESTERDAY))
    folder = tmp_path / "list.csv.rejects.csv"
    folder.mkdir()
    with site.store() as store:
        store.write_now(lambda tx: note_file(tx, folder))
    answer = site.run("consent", "erase", A)
    assert answer.status == 1
    assert str(folder) in answer.err


def test_an_import_enters_its_rejects_so_that_erasure_reaches_them(site):
    site.add_source()
    sheet = site.file("list.csv", f"address,basis\n{A},no-such-basis\nbo@kund.example,nor-this\n")
    site.run("consent", "import", sheet, "--source", "web", "--stream", "newsletter")
    rejects = sheet.with_name("list.csv.rejects.csv")
    assert A in rejects.read_text()
    put(site, A, granted(at=YESTERDAY))
    assert erased(site)["places"]["rows of files removed"] == 1
    assert A not in rejects.read_text()
    assert "bo@kund.example" in rejects.read_text()


def test_a_copy_on_the_wire_loses_its_address_when_it_has_arrived(site):
    put(site, A, granted(at=YESTERDAY))
    with site.store() as store:
        accept(store, submission(A))
        (copy,) = claim(store)
    found = erased(site)
    assert found["places"]["copies still on their way"] == 1
    with site.store() as store:
        mark(store, outcome(copy, State.DELIVERED, f"250 {A} taken"))
        (row,) = rows_of(store, tables.recipient)
        assert row["address"] == A
    site.ok("retention", "run")
    with site.store() as store:
        (row,) = rows_of(store, tables.recipient)
    assert (row["address"], row["last_reply"]) == ("", "250")


def test_the_sender_must_be_the_only_one(two_senders):
    foreign = granted(at=YESTERDAY, sender="other", stream="foreign")
    put(two_senders, A, granted(at=YESTERDAY), foreign)
    said = two_senders.refused("consent", "erase", A, "--sender", "acme", status=1)
    assert "other has records" in said
    assert two_senders.ok("consent", "erase", A, "--json").json["extent"] == "rest"


@pytest.mark.both_engines
def test_the_retention_run_completes_what_was_asked_for_on_its_date(site, monkeypatch):
    put(site, A, granted(at=YESTERDAY))
    due = datetime.fromisoformat(erased(site)["kept"]["until"])
    later(monkeypatch, due - timedelta(seconds=60))
    assert ran(site, "--dry-run") == {}
    later(monkeypatch, due + timedelta(seconds=1))
    assert ran(site, "--dry-run") == {("request", "people"): 1}
    assert ran(site) == {("request", "people"): 1}
    assert ran(site) == {}
    record = shown(site)
    assert [one["kind"] for one in record["events"]].count("erased") == 2
    assert verified(site) == []


def test_a_consent_in_force_is_kept_for_ever_and_one_that_ended_is_not(site):
    """JU-23: purge is refused before the date."""
    put(site, A, granted(at=LONG_AGO))
    put(site, "bo@kund.example", granted(at=LONG_AGO, basis="purchase"))
    put(site, "cleo@kund.example", withdrawn(at=YESTERDAY))
    preview = site.ok("retention", "run", "--dry-run", "--json").json
    (rule,) = [one for one in preview["rules"] if one["rule"] == "evidence-term"]
    assert (rule["count"], rule["setting"], rule["term"]) == (1, "retention.evidence", "2 years")
    assert rule["first"] == "2022-02-28T12:00:00.000Z"
    assert "retention.evidence = 2 years" in site.ok("retention", "run").out
    assert site.standing(A)["verdict"] == "deliver"
    with site.store() as store:
        gone = store.read_now(lambda tx: people.history(tx, parse("bo@kund.example")))
    assert gone.address == ""
    assert verified(site) == []


def later(monkeypatch, moment):
    """Lets the store's clock stand at `moment`."""
    from gatepost.store import clock

    monkeypatch.setattr(clock.Clock, "now", lambda _self: moment.astimezone(UTC))
