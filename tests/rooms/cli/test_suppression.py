"""`gatepost suppression`, `ledger` and `hash-password`."""

import sqlite3

import pytest

from gatepost.flow.accept.passwords import verify

ANNA = "anna@kund.example"


def rows(site, *words):
    return site.ok("suppression", "list", "--json", *words).json


@pytest.mark.both_engines
def test_an_address_is_suppressed_once_and_lifted(site):
    site.ok("suppression", "add", ANNA, "--note", "by telephone")
    assert "already" in site.ok("suppression", "add", ANNA).out
    (row,) = rows(site)
    assert row.pop("since")
    assert row == {"address": ANNA, "sender": "acme", "scope": "all", "reason": "manual"}
    assert site.kinds(ANNA) == ["suppressed"]
    site.ok("suppression", "remove", ANNA)
    assert rows(site) == []
    site.refused("suppression", "remove", ANNA, status=1)
    site.ok("suppression", "add", ANNA)
    assert len(rows(site)) == 1


@pytest.mark.parametrize("reason", ["complaint", "hard-bounce", "unsubscribed"])
def test_staff_does_not_lift_what_is_the_persons(site, reason):
    """E4."""
    site.ok("suppression", "add", ANNA, "--reason", reason, "--scope", "bulk")
    site.ok("suppression", "add", ANNA)
    said = site.refused("suppression", "remove", ANNA, status=1)
    assert f"{reason} (bulk) stays" in said
    assert [row["reason"] for row in rows(site)] == [reason]  # the manual one is gone


def test_a_scope_is_lifted_alone(site):
    site.ok("suppression", "add", ANNA)
    site.ok("suppression", "add", ANNA, "--scope", "bulk")
    site.ok("suppression", "remove", ANNA, "--scope", "all")
    assert [row["scope"] for row in rows(site)] == ["bulk"]


def test_senders_are_told_apart(two_senders):
    two_senders.refused("suppression", "add", ANNA)
    two_senders.ok("suppression", "add", ANNA, "--sender", "acme")
    two_senders.ok("suppression", "add", ANNA, "--sender", "*")
    assert {row["sender"] for row in rows(two_senders)} == {"acme", "*"}
    assert [row["sender"] for row in rows(two_senders, "--sender", "*")] == ["*"]
    assert rows(two_senders, "--sender", "other") == []
    assert two_senders.standing(ANNA, "foreign")["reason"] == "suppressed"


def test_what_was_exported_is_imported_elsewhere(site, tmp_path):
    site.ok("suppression", "add", ANNA, "--scope", "bulk", "--reason", "complaint")
    site.ok("suppression", "add", "bo@kund.example", "--sender", "*")
    out = tmp_path / "out.csv"
    site.ok("suppression", "export", out)
    for row in rows(site):
        assert row["address"] in out.read_text()
    (tmp_path / "data").rename(tmp_path / "old")
    said = site.ok("suppression", "import", out).out
    assert "suppressed: 2" in said
    assert {(r["address"], r["sender"], r["scope"], r["reason"]) for r in rows(site)} == {
        (ANNA, "acme", "bulk", "complaint"),
        ("bo@kund.example", "*", "all", "manual"),
    }
    assert "suppressed: 0; were so already: 2" in site.ok("suppression", "import", out).out


def test_an_export_goes_to_stdout_too(site):
    site.ok("suppression", "add", ANNA)
    lines = site.ok("suppression", "export", "-").out.splitlines()
    assert lines[0] == "address,sender,scope,reason,since"
    assert lines[1].startswith(f"{ANNA},acme,all,manual,2")


def test_a_plain_list_is_imported_and_wrong_lines_are_told(site):
    listed = site.file("list.txt", "a@kund.example\nnobody\nb@kund.example\na@kund.example\n")
    answer = site.run("suppression", "import", listed, "--scope", "bulk")
    assert answer.status == 1
    assert "line 2" in answer.err
    assert [row["scope"] for row in rows(site)] == ["bulk", "bulk"]


def test_wrong_words_in_an_import_are_told(site):
    listed = site.file("l.csv", "address,scope,reason\na@kund.example,some,\nb@kund.example,,x\n")
    answer = site.run("suppression", "import", listed)
    assert answer.status == 1
    assert "all, bulk" in answer.err
    assert "manual" in answer.err
    assert rows(site) == []


def test_only_of_an_address(site):
    site.ok("suppression", "add", ANNA)
    site.ok("suppression", "add", "bo@kund.example")
    assert len(rows(site, "--address", "ANNA@kund.example")) == 1
    assert ANNA in site.ok("suppression", "list").out


def test_the_ledger_is_whole_until_somebody_changes_it(site, tmp_path):
    site.ok("suppression", "add", ANNA)
    kept = site.ok("ledger", "head").out.strip()
    site.ok("suppression", "remove", ANNA)
    assert "whole: 2 blocks" in site.ok("ledger", "verify", "--head", kept).out
    assert site.ok("ledger", "verify", "--json").json["findings"] == []
    with sqlite3.connect(tmp_path / "data" / "gatepost.db") as database:
        database.execute("UPDATE event SET kind = 'granted' WHERE id = 1")
    answer = site.run("ledger", "verify", "--json")
    assert answer.status == 1
    assert not answer.json["ok"]
    assert answer.json["findings"][0]["block"] == 1
    assert "changed" in site.run("ledger", "verify").out


def test_a_tail_that_was_cut_off_is_found_by_the_head(site, tmp_path):
    site.ok("suppression", "add", ANNA)
    site.ok("suppression", "remove", ANNA)
    kept = site.ok("ledger", "head", "--json").json["head"]
    with sqlite3.connect(tmp_path / "data" / "gatepost.db") as database:
        database.execute("DELETE FROM event_payload WHERE event = 2")
        database.execute("DELETE FROM event WHERE id = 2")
        database.execute("DELETE FROM block WHERE height = 2")
        database.execute("UPDATE suppression SET lifted_ms = NULL")
    assert site.run("ledger", "verify").status == 0
    answer = site.run("ledger", "verify", "--head", kept)
    assert answer.status == 1
    assert "cut off" in answer.out


def test_a_head_is_one(site):
    assert "ledger head" in site.refused("ledger", "verify", "--head", "seven")


def test_a_password_from_a_pipe(site):
    hashed = site.ok("hash-password", given="s3cret pass\nmore\n").out.strip()
    assert verify(b"s3cret pass", hashed)
    assert "empty" in site.refused("hash-password", given="\n")
