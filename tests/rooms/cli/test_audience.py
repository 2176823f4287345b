"""`gatepost audience check`: who would get it, and why the rest would not (SO-2 … SO-5)."""

import csv
import os
import threading

import pytest

from gatepost.cli import audience_work
from gatepost.flow import audience


@pytest.fixture(autouse=True)
def _people(site):
    site.add_source()
    site.grant("yes@kund.example")
    site.ok("consent", "withdraw", "left@kund.example", "--stream", "newsletter")


def check(site, text, *words, stream="newsletter"):
    return site.run("audience", "check", "--stream", stream, "-", *words, given=text)


def test_each_address_has_a_verdict_and_a_reason(site, monkeypatch):
    monkeypatch.setattr(audience, "SLICE", 2)
    answer = check(site, "yes@kund.example\nLEFT@kund.example\nnew@kund.example\n", "--json")
    assert answer.status == 1
    rows = answer.json
    assert all(set(row) >= {"address", "verdict", "reason", "since"} for row in rows)
    assert [(row["address"], row["verdict"], row["reason"]) for row in rows] == [
        ("yes@kund.example", "deliver", "consented"),
        ("LEFT@kund.example", "drop", "withdrawn"),
        ("new@kund.example", "drop", "no-consent"),
    ]
    assert rows[0]["since"].endswith("Z")
    assert rows[2]["since"] is None


def test_it_ends_with_0_if_everybody_would_get_it(site):
    assert check(site, "yes@kund.example\n").status == 0
    assert check(site, "left@kund.example\n", stream="receipts").status == 0


def test_people_see_the_counts(site):
    out = check(site, "yes@kund.example\na@kund.example\nb@kund.example\n").out
    lines = [line.split() for line in out.splitlines()]
    assert ["drop", "no-consent", "2"] in lines
    assert ["deliver", "consented", "1"] in lines


def test_the_eligible_are_written_to_a_file(site):
    wanted = site.folder / "eligible.csv"
    check(site, "yes@kund.example\nnew@kund.example\n", "--eligible", wanted)
    with wanted.open(newline="") as file:
        assert [row["address"] for row in csv.DictReader(file)] == ["yes@kund.example"]
    again = site.run("audience", "check", "--stream", "newsletter", wanted)
    assert again.status == 0


def test_a_csv_file_has_an_address_column(site):
    answer = check(site, "name;Address\nAnna;yes@kund.example\nBo;new@kund.example\n", "--json")
    assert [row["address"] for row in answer.json] == ["yes@kund.example", "new@kund.example"]


def test_what_is_no_address_is_told_and_is_a_no(site):
    answer = check(site, "yes@kund.example\n\nnobody\n", "--json")
    assert answer.status == 1
    assert "line 3: no address" in answer.err
    assert len(answer.json) == 1


def test_a_frozen_sender_mails_nobody(site):
    site.ok("sender", "freeze", "acme")
    assert check(site, "yes@kund.example\n", "--json").json[0]["reason"] == "sender-frozen"
    site.ok("sender", "thaw", "acme")
    assert check(site, "yes@kund.example\n").status == 0


def test_nothing_is_changed(site):
    before = site.ok("ledger", "head").out
    check(site, "new@kund.example\n")
    assert site.ok("ledger", "head").out == before
    assert site.run("consent", "show", "new@kund.example").status == 1


@pytest.mark.parametrize("text", ["", "\n\n", "address\n"])
def test_a_list_holds_somebody(site, text):
    answer = check(site, text)
    assert answer.status == 2
    assert "empty" in answer.err or "no address" in answer.err


def test_an_unknown_stream(site):
    answer = check(site, "yes@kund.example\n", stream="nothing")
    assert answer.status == 2
    assert "club, newsletter, receipts" in answer.err


def test_a_csv_file_without_an_address_column(site):
    answer = check(site, "name,age\nAnna,7\n")
    assert answer.status == 2
    assert "name, age" in answer.err


def test_a_long_list_is_judged_by_several_processes_in_its_order(site, monkeypatch):
    listed = [f"p{number}@kund.example" for number in range(25)]
    listed[3:3] = ["yes@kund.example", "nobody", "left@kund.example"]
    text = "\n".join(listed)
    alone = check(site, text, "--json", "--eligible", site.folder / "alone.csv")
    monkeypatch.setattr(audience_work, "LONG", 10)
    monkeypatch.setattr(audience_work.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(audience, "SLICE", 2)
    together = check(site, text, "--json", "--eligible", site.folder / "together.csv")
    assert (together.status, together.out) == (alone.status, alone.out)
    assert "drop no-consent: 25" in together.err
    assert "line 5: no address" in together.err
    written = [(site.folder / f"{name}.csv").read_bytes() for name in ("alone", "together")]
    assert written[0] == written[1]
    assert b"yes@kund.example" in written[0]


def test_the_list_may_be_a_pipe(site):
    pipe = site.folder / "list"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=["yes@kund.example\n"])
    writer.start()
    answer = site.run("audience", "check", "--stream", "newsletter", pipe, "--json")
    writer.join()
    assert [one["address"] for one in answer.json] == ["yes@kund.example"]


def test_the_list_is_never_written_over(site):
    people = site.file("list.txt", "yes@kund.example\n")
    said = site.refused("audience", "check", "--stream", "newsletter", people, "--eligible", people)
    assert "names the list that is read" in said
    assert people.read_text() == "yes@kund.example\n"
