"""`gatepost apikey` and `gatepost webhook`."""

import pytest

from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import parse
from gatepost.store import api_keys, ledger, onward, people
from gatepost.store.ids import to_text
from gatepost.store.onward import Failure, Wanted
from support.command import Site

HOOK = """
[webhooks.crm]
url = "https://localhost:9/hook"
secret = "0123456789abcdef0123456789abcdef"
allow_private = true
"""


@pytest.fixture
def hooked(tmp_path):
    return Site(tmp_path, HOOK)


def test_a_key_is_shown_once_and_opens_what_was_said(site):
    made = site.run("apikey", "add", "crm", "--scopes", "audience:check,campaigns:read",
                    "--senders", "acme", "--expires", "90 days")  # fmt: skip
    assert made.status == 0
    key = made.out.strip()
    with site.store() as store:
        found = store.read_now(lambda tx: api_keys.find(tx, key))
    assert (found.scopes, found.senders) == (("audience:check", "campaigns:read"), ("acme",))
    listed = site.run("apikey", "list", "--json")
    assert [row["name"] for row in listed.json] == ["crm"]
    assert key[-20:] not in listed.out
    assert site.run("apikey", "revoke", "crm").status == 0
    with site.store() as store:
        assert store.read_now(lambda tx: api_keys.find(tx, key)) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scopes", "everything"], "no scope"), (["--senders", "nobody"], "no sender"),
        (["--expires", "soon"], "no time"), (["--expires", "2020-01-01"], "expired"),
    ],
)  # fmt: skip
def test_what_makes_no_key(site, words, said):
    answer = site.run("apikey", "add", "crm", *words)
    assert (answer.status, said in answer.err) == (2, True), answer.err


def test_names_are_for_one_key(site):
    assert site.run("apikey", "add", "crm").status == 0
    assert site.run("apikey", "add", "crm").status == 2
    assert site.run("apikey", "revoke", "other").status == 1


def dead_delivery(site):
    """The id of a delivery that was given up."""

    def write(tx):
        onward.take_lease(tx, "crm", "gw")
        fact = Fact(kind=EventKind.WITHDRAWN, at=tx.now, sender="acme", stream="newsletter")
        subject = people.record(tx, parse("anna@kund.example"), [fact])
        ledger.seal(tx)
        (sealed,) = onward.news(tx, 0, [EventKind.WITHDRAWN]).events
        onward.put(tx, "crm", "gw", 1, [Wanted(sealed.event, subject, tx.now)])
        (one,) = onward.waiting(tx, "crm")
        onward.settle(tx, "crm", arrived=(), failures=[Failure(one.id, tx.now, "answered 404")],
                      now=tx.now, give_up_after=tx.now - tx.now)  # fmt: skip
        return to_text(one.id)

    with site.store() as store:
        return store.write_now(write)


def test_what_was_given_up_is_listed_tried_again_and_forgotten(hooked):
    number = dead_delivery(hooked)
    (row,) = hooked.run("webhook", "list", "--json").json
    assert (row["name"], row["configured"], row["dead"], row["waiting"]) == ("crm", True, 1, 0)
    (dead,) = hooked.run("webhook", "list", "--dead", "--json").json
    assert (dead["id"], dead["event"], dead["last_error"]) == (number, "withdrawn", "answered 404")
    assert hooked.run("webhook", "retry", number).out == "tried again: 1\n"
    assert hooked.run("webhook", "retry", number).status == 1
    assert hooked.run("webhook", "list", "--json").json[0]["waiting"] == 1


def test_what_was_given_up_is_forgotten(hooked):
    dead_delivery(hooked)
    assert hooked.run("webhook", "delete", "--name", "crm").out == "forgotten: 1\n"
    assert hooked.run("webhook", "list", "--dead").out == "nothing was given up\n"
    assert hooked.run("webhook", "delete").status == 2
    assert hooked.run("webhook", "retry", "what").status == 2


def test_trying_a_webhook_says_what_came_back(hooked):
    answer = hooked.run("webhook", "test", "crm")
    assert (answer.status, "no connection" in answer.err) == (3, True)
    assert hooked.run("webhook", "test", "nobody").status == 2
    assert hooked.run("webhook", "list").out.split()[-4:] == ["0", "0", "0", "0"]
