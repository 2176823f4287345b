"""The claims of the tour: each holds for what is right, and for nothing else."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gatepost.cli.demo import checks, samples
from gatepost.cli.demo.letter import Letter, Reply
from gatepost.cli.demo.mailing import Receipt
from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.verdict import Reason
from gatepost.store.ledger import Finding
from gatepost.store.people import History, Recorded

NOW = datetime(2026, 5, 1, tzinfo=UTC)
LINK = "http://127.0.0.1:8025/u/token"
LETTER = f"""\
From: news@acme.example
List-Id: <news.acme.example>
List-Unsubscribe: <{LINK}>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/plain

Hello!

Acme AB, Storgatan 1
{LINK}
--b
Content-Type: text/html

<p>Hello!</p><p>Acme AB, Storgatan 1</p><a href="{LINK}">Unsubscribe</a>
--b--
"""
PAGE = Reply(200, "OK", {}, "<form><button>Unsubscribe</button></form>")
DONE = Reply(200, "OK", {"content-type": "text/plain"}, "You are unsubscribed.")
EXPECTED = {"a@x.example": Reason.CONSENTED, "b@x.example": Reason.WITHDRAWN}


def letter(old="", new=""):
    assert old in LETTER
    return Letter(LETTER.replace(old, new).encode() if old else LETTER.encode())


def event(number, kind, block=1):
    return Recorded(number, kind, NOW, Fact(kind=kind, at=NOW), block)


def history(*events):
    return History(
        subject=1, address="a@x.example", created_at=NOW, erased_at=None,
        events=events, standings=(), suppressions=(),
    )  # fmt: skip


GRANTED, WITHDRAWN = event(1, EventKind.GRANTED), event(2, EventKind.WITHDRAWN)
BOTH = [EventKind.GRANTED, EventKind.WITHDRAWN]

HOLDING = {
    "accepted": checks.was_accepted(Receipt("250 2.0.0 id accepted", 0), 2),
    "counts": checks.counts_agree(EXPECTED, {"consented": 1, "withdrawn": 1}),
    "reasons": checks.reasons_agree(
        EXPECTED, {"a@x.example": "consented", "b@x.example": "withdrawn"}
    ),
    "copies": checks.copies_agree(["a@x.example"], ["a@x.example"]),
    "links": checks.links_are_personal([letter(), letter(LINK, f"{LINK}2")]),
    "fields": checks.has_list_fields(letter()),
    "footers": checks.has_footers(letter(), "Acme AB", "Storgatan 1"),
    "untouched": checks.is_untouched(letter(), "Hello!\n"),
    "looked at": checks.nothing_happened(PAGE, history(GRANTED), history(GRANTED)),
    "sealed meanwhile": checks.nothing_happened(
        PAGE, history(event(1, EventKind.GRANTED, None)), history(GRANTED)
    ),
    "let go": checks.has_let_go(DONE),
    "left once": checks.has_left_once(DONE, history(GRANTED, WITHDRAWN)),
    "remembers": checks.remembers_all(history(GRANTED, WITHDRAWN), BOTH),
    "whole": checks.is_whole([]),
}
FAILING = {
    "deferred": checks.was_accepted(Receipt("451 4.4.3 later", 0), 2),
    "some refused": checks.was_accepted(Receipt("250 2.0.0 accepted", 1), 2),
    "a count is short": checks.counts_agree(EXPECTED, {"consented": 1}),
    "a count too many": checks.counts_agree(EXPECTED, {"consented": 1, "withdrawn": 1, "expired": 1}),
    "the wrong ones, right counts": checks.reasons_agree(
        EXPECTED, {"a@x.example": "withdrawn", "b@x.example": "consented"}
    ),
    "no verdict": checks.reasons_agree(EXPECTED, {"a@x.example": "consented"}),
    "a stranger's verdict": checks.reasons_agree(
        {}, {"a@x.example": "consented"}
    ),
    "no copy": checks.copies_agree(["a@x.example"], []),
    "somebody else's copy": checks.copies_agree(["a@x.example"], ["a@x.example", "b@x.example"]),
    "two copies": checks.copies_agree(["a@x.example"], ["a@x.example", "a@x.example"]),
    "no links at all": checks.links_are_personal([]),
    "a shared link": checks.links_are_personal([letter(), letter()]),
    "a copy without a link": checks.links_are_personal([letter(), letter(f"<{LINK}>", "<mailto:u@x.example>")]),
    "no List-Id": checks.has_list_fields(letter("List-Id", "X-Id")),
    "no List-Unsubscribe": checks.has_list_fields(letter("List-Unsubscribe: ", "X-Unsubscribe: ")),
    "no One-Click": checks.has_list_fields(letter("=One-Click", "=Two-Clicks")),
    "only mailto": checks.has_list_fields(letter(f"<{LINK}>", "<mailto:u@x.example>")),
    "no address in HTML": checks.has_footers(letter("Storgatan 1</p>", "</p>"), "Acme AB", "Storgatan 1"),
    "no link in text": checks.has_footers(letter(f"\n{LINK}\n", "\n"), "Acme AB", "Storgatan 1"),
    "a link to nowhere": checks.has_footers(letter(f"<{LINK}>", "<>"), "Acme AB", "Storgatan 1"),
    "other words": checks.is_untouched(letter("\nHello!", "\nHallo!"), "Hello!\n"),
    "nothing to compare": checks.is_untouched(letter(), ""),
    "looking withdrew": checks.nothing_happened(PAGE, history(GRANTED), history(GRANTED, WITHDRAWN)),
    "looking failed": checks.nothing_happened(replace(PAGE, status=404), history(GRANTED), history(GRANTED)),
    "no button": checks.nothing_happened(replace(PAGE, body="Bye"), history(GRANTED), history(GRANTED)),
    "nobody on record": checks.nothing_happened(PAGE, None, None),
    "a redirect": checks.has_let_go(Reply(302, "Found", {"location": "/login"}, "")),
    "a cookie": checks.has_let_go(replace(DONE, headers={"set-cookie": "a=b"})),
    "a question": checks.has_let_go(replace(DONE, body="<form>Are you sure?</form>")),
    "never left": checks.has_left_once(DONE, history(GRANTED)),
    "left twice": checks.has_left_once(DONE, history(GRANTED, WITHDRAWN, event(3, EventKind.WITHDRAWN))),
    "the second click failed": checks.has_left_once(replace(DONE, status=500), history(GRANTED, WITHDRAWN)),
    "forgotten": checks.remembers_all(None, BOTH),
    "one act missing": checks.remembers_all(history(WITHDRAWN), BOTH),
    "not sealed": checks.remembers_all(history(GRANTED, replace(WITHDRAWN, block=None)), BOTH),
    "not readable": checks.remembers_all(history(GRANTED, replace(WITHDRAWN, fact=None)), BOTH),
    "changed": checks.is_whole([Finding(1, 2, "the payload is not the one committed to")]),
}  # fmt: skip


@pytest.mark.parametrize("name", HOLDING)
def test_a_claim_holds(name):
    assert HOLDING[name].holds, HOLDING[name].seen


@pytest.mark.parametrize("name", FAILING)
def test_a_claim_does_not_hold_and_says_what_was_seen(name):
    assert not FAILING[name].holds
    assert FAILING[name].seen


def test_of_many_wrongs_a_few_are_named():
    seen = checks.copies_agree([f"{n}@x.example" for n in range(9)], []).seen
    assert seen.count("nothing for") == 3
    assert seen.endswith("and 6 more")


def test_the_samples_are_a_thousand_different_people_in_every_state():
    expected = samples.expected()
    assert len(expected) == 1000 == sum(group.count for group in samples.GROUPS)
    of_the_message = {
        Reason.SENDER_FROZEN, Reason.PAUSED, Reason.CAMPAIGN_STOPPED, Reason.SENDER_MISMATCH,
        Reason.OPEN_RECIPIENTS, Reason.UNDECLARED_BULK, Reason.UNMODIFIABLE,
    }  # fmt: skip
    of_people = {reason for reason in Reason if not reason.is_positive} - of_the_message
    assert set(expected.values()) == of_people | {Reason.CONSENTED}
