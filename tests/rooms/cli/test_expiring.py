"""`gatepost consent expiring`: who soon may not be mailed any more, in order, and nobody else."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import parse
from gatepost.store import people, standings
from support.command import CONFIG, Site

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def site(tmp_path):
    implied = CONFIG.replace(
        'title = "Monthly newsletter"\n',
        'title = "Monthly newsletter"\nrequires = "implied"\nmax_inactive = "12 months"\n',
    )
    return Site(tmp_path, config=implied)


def given(site, address, days, *, basis="purchase", **more):
    fact = Fact(
        kind=EventKind.GRANTED, at=NOW - timedelta(days=days), sender="acme", stream="newsletter",
        basis=basis, source="shop", **more,
    )  # fmt: skip
    with site.store() as store:
        store.write_now(lambda tx: people.record(tx, parse(address), [fact]))


def engaged(site, address, days):
    fact = Fact(
        kind=EventKind.ENGAGED, at=NOW - timedelta(days=days), sender="acme", stream="newsletter"
    )
    with site.store() as store:
        store.write_now(lambda tx: people.record(tx, parse(address), [fact]))


def test_they_are_listed_by_reason_and_date_with_basis_and_source(site):
    for address, days in (("later@k.example", 690), ("Soon@k.example", 720), ("safe@k.example", 5)):
        given(site, address, days)
        engaged(site, address, 5)
    given(site, "quiet@k.example", 350)
    answer = site.ok("consent", "expiring", "--within", "60 days", "--json")
    assert [(one["reason"], one["address"]) for one in answer.json] == [
        ("dormant", "quiet@k.example"),
        ("expired", "Soon@k.example"),
        ("expired", "later@k.example"),
    ]
    first = answer.json[1]
    assert (first["basis"], first["source"], first["stream"]) == ("purchase", "shop", "newsletter")
    until = datetime.fromisoformat(first["until"])
    assert timedelta(0) < until - NOW < timedelta(days=12)
    assert "4 looked at; within 60 days: dormant 1, expired 2" in answer.err


def test_csv_and_a_shorter_look_ahead(site):
    given(site, "soon@k.example", 725)
    engaged(site, "soon@k.example", 1)
    given(site, "later@k.example", 690)
    engaged(site, "later@k.example", 1)
    answer = site.ok("consent", "expiring", "--within", "10 days", "--csv")
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert [row["address"] for row in rows] == ["soon@k.example"]


def test_nobody_is_an_answer_too_and_changes_nothing(site):
    assert site.ok("consent", "expiring", "--json").json == []
    assert "nobody" in site.ok("consent", "expiring", "--stream", "club").err


def test_wrong_words_are_told(site):
    assert "write a number and a unit" in site.refused("consent", "expiring", "--within", "soon")
    assert "needs no consent" in site.refused("consent", "expiring", "--stream", "receipts")
    assert "exclude" in site.refused("consent", "expiring", "--json", "--csv")


def test_everybody_is_seen_once_portion_by_portion(site):
    for number in range(7):
        given(site, f"p{number}@k.example", 725)
    seen, after = [], 0
    with site.store() as store:
        while after is not None:
            known, after = store.read_now(
                lambda tx, after=after: standings.portion(
                    tx, "newsletter", "acme", after=after, limit=3
                )
            )
            assert len(known) <= 3
            seen += [address.given for address, _ in known]
    assert sorted(seen) == [f"p{number}@k.example" for number in range(7)]
