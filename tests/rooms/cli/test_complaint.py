"""`gatepost complaint`: cases listed, shown, answered and closed."""

import pytest

from gatepost.mail.address import parse
from gatepost.store import complaint_cases, people
from gatepost.store.returned import Copy

ANNA = "anna@kund.example"


def complain(site, address=ANNA, sender="acme"):
    def record(tx):
        subject = people.ensure_subjects(tx, [parse(address)])[parse(address).key]
        return complaint_cases.open_or_join(tx, Copy(subject, sender, 0), "newsletter", "abuse")

    with site.store() as store:
        return store.write_now(record)


def rows(site, *words):
    return site.ok("complaint", "list", "--json", *words).json


def test_nothing_to_list(site):
    assert "no complaint case" in site.ok("complaint", "list").out
    assert "no open complaint case" in site.ok("complaint", "list", "--open").out
    assert rows(site) == []


@pytest.mark.both_engines
def test_a_case_from_its_complaint_to_its_end(site):
    number = complain(site)
    (row,) = rows(site, "--open")
    assert (row["id"], row["sender"], row["address"]) == (number, "acme", ANNA)
    assert (row["state"], row["complaints"]) == ("waiting", 1)
    assert row["due_at"][8:10] != row["received_at"][8:10]  # a day later
    out = site.ok("complaint", "list").out
    assert ANNA in out
    assert "due_at" in out
    site.ok("complaint", "answer", number, "--note", "an old list")
    shown = site.ok("complaint", "show", number, "--json").json
    assert (shown["state"], shown["answer"], shown["due_at"]) == ("answered", "an old list", None)
    assert "has an answer" in site.refused(
        "complaint", "answer", number, "--note", "more", status=1
    )
    site.ok("complaint", "close", number, "--note", "they were told")
    assert rows(site, "--open") == []
    assert "they were told" in site.ok("complaint", "show", number).out
    for word in ("answer", "close"):
        said = site.refused("complaint", word, number, "--note", "more", status=1)
        assert f"complaint case {number} is closed" in said


def test_of_one_sender(two_senders):
    complain(two_senders)
    complain(two_senders, sender="other")
    assert [row["sender"] for row in rows(two_senders, "--sender", "acme")] == ["acme"]
    assert "no sender 'nobody'" in two_senders.refused("complaint", "list", "--sender", "nobody")


@pytest.mark.parametrize(
    "words", [("show", 4), ("answer", 4, "--note", "x"), ("close", 4, "--note", "x")]
)
def test_a_number_that_is_none(site, words):
    said = site.refused("complaint", *words, status=1)
    assert said == "there is no complaint case 4\n"


@pytest.mark.parametrize("number", ["0", "seven", "9" * 20])
def test_what_is_no_number(site, number):
    site.refused("complaint", "show", number)


@pytest.mark.parametrize("word", ["answer", "close"])
def test_words_are_needed(site, word):
    number = complain(site)
    site.refused("complaint", word, number)
    assert "--note" in site.refused("complaint", word, number, "--note", "  ")
    assert rows(site)[0]["state"] == "waiting"
