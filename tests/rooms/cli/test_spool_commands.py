"""`gatepost quarantine`, `queue`, `campaign` and `sender`: what became of mail."""

import pytest

from support.submissions import DELIVER, DROP, HOLD, SINCE, accept, submission

pytestmark = pytest.mark.both_engines

A, B, C = "a@kund.example", "b@kund.example", "c@kund.example"
EXPIRES = SINCE.replace(year=2099)


@pytest.fixture
def mailing(site):
    """One submission: a is queued, b held in quarantine, c dropped."""
    job = submission(
        A, B, C, verdicts={A: DELIVER, B: HOLD, C: DROP}, expires=EXPIRES,
        content=b"Subject: Hej\x1b[31m\r\n\r\n" + b"line\r\n" * 100,
    )  # fmt: skip
    with site.store() as store:
        accept(store, job)
    return site


def listed(site, noun):
    return site.ok(noun, "list", "--json").json


def test_the_shape_of_the_quarantine(mailing):
    (row,) = listed(mailing, "quarantine")
    assert row["recipient"] == B
    assert row["stream"] == "newsletter"
    assert row["reason"] == "unconfirmed"
    assert row["expires_at"] == "2099-03-01T12:00:00.000Z"
    assert row["held_at"]
    assert len(row["submission"]) == 13
    assert B in mailing.ok("quarantine", "list").out
    assert mailing.ok("quarantine", "list", "--stream", "club", "--json").json == []


def test_a_held_message_is_shown_without_painting_on_the_terminal(mailing):
    (row,) = listed(mailing, "quarantine")
    out = mailing.ok("quarantine", "show", row["id"]).out
    assert "Subject: Hej\ufffd[31m" in out
    assert "lines more" in out
    assert mailing.ok("quarantine", "show", row["id"], "--raw").out.count("line") == 100
    assert mailing.ok("quarantine", "show", row["id"], "--json").json["size"] == 621
    assert "not in quarantine" in mailing.refused("quarantine", "show", 999, status=1)


def test_a_release_needs_a_reason(mailing):
    (row,) = listed(mailing, "quarantine")
    assert "--reason" in mailing.refused("quarantine", "release", row["id"])
    assert "--reason" in mailing.refused("quarantine", "release", row["id"], "--reason", " ")
    mailing.ok("quarantine", "release", row["id"], "--reason", "they called")
    assert listed(mailing, "quarantine") == []
    assert {one["recipient"] for one in listed(mailing, "queue")} == {A, B}
    said = mailing.refused("quarantine", "release", row["id"], "--reason", "x", status=1)
    assert f"not in quarantine: {row['id']}" in said


def test_held_mail_is_deleted(mailing):
    assert "--all" in mailing.refused("quarantine", "delete", 1, "--stream", "newsletter")
    mailing.ok("quarantine", "delete", "--all", "--stream", "club")
    assert len(listed(mailing, "quarantine")) == 1
    mailing.ok("quarantine", "delete", "--all", "--stream", "newsletter", "--note", "too late")
    assert listed(mailing, "quarantine") == []


def test_the_shape_of_the_queue(mailing):
    (row,) = listed(mailing, "queue")
    assert row["recipient"] == A
    assert row["state"] == "ready"
    assert row["attempts"] == 0
    assert row["next_attempt_at"]
    assert row["last_reply"] == ""
    assert A in mailing.ok("queue", "list").out
    assert (
        mailing.ok("queue", "list", "--state", "held", "--state", "deferred", "--json").json == []
    )
    assert mailing.ok("queue", "list", "--upstream", "elsewhere", "--json").json == []
    assert "elsewhere" in mailing.refused("queue", "list", "--state", "elsewhere")


def test_the_queue_is_held_retried_and_deleted(mailing):
    (row,) = listed(mailing, "queue")
    mailing.ok("queue", "hold", row["id"], "--note", "wrong picture")
    assert listed(mailing, "queue")[0]["state"] == "held"
    assert "not waiting" in mailing.refused("queue", "hold", row["id"], status=1)
    mailing.ok("queue", "retry", "--all")
    assert listed(mailing, "queue")[0]["state"] == "ready"
    mailing.ok("queue", "delete", "--all")
    assert listed(mailing, "queue") == []
    assert "queue is empty" in mailing.ok("queue", "list").out
    assert "on the wire" in mailing.refused("queue", "delete", row["id"], status=1)


@pytest.mark.parametrize("words", [["hold"], ["retry", "1", "--all"], ["delete"], ["hold", "x"]])
def test_numbers_or_all_and_not_both(site, words):
    site.refused("queue", *words)


def test_the_shape_of_campaigns(mailing):
    (row,) = listed(mailing, "campaign")
    assert row["name"] == "Spring"
    assert row["stream"] == "newsletter"
    assert row["client"] == "crm"
    assert row["started_at"]
    assert row["recipients"] == 3
    assert row["verdicts"] == {"deliver": 1, "quarantine": 1, "drop": 1}
    assert row["reasons"] == {"consented": 1, "unconfirmed": 1, "withdrawn": 1}
    assert row["outcomes"] == {"delivered": 0, "queued": 1, "failed": 0, "stopped": 0}
    shown = mailing.ok("campaign", "show", row["id"], "--json").json
    assert shown["recipient_count"] == 3
    assert {(one["recipient"], one["reason"]) for one in shown["recipients"]} == {
        (A, "consented"), (B, "unconfirmed"), (C, "withdrawn"),
    }  # fmt: skip
    assert C in mailing.ok("campaign", "show", row["id"]).out
    assert "Spring" in mailing.ok("campaign", "list").out


def test_a_campaign_is_stopped(mailing):
    (row,) = listed(mailing, "campaign")
    said = mailing.ok("campaign", "stop", row["id"], "--note", "too early").out
    assert "1 queued copies" in said
    assert listed(mailing, "queue") == []
    (row,) = listed(mailing, "campaign")
    assert row["outcomes"]["stopped"] == 1
    assert row["stopped_note"] == "too early"
    for command in ("stop", "show"):
        assert "no campaign 99" in mailing.refused("campaign", command, 99, status=1)


def test_senders_are_frozen_and_thawed(site):
    assert "acme" in site.refused("sender", "freeze", "nobody")
    site.ok("sender", "freeze", "acme", "--note", "complaints")
    (row,) = site.ok("sender", "list", "--json").json
    assert row["frozen"]
    site.ok("sender", "thaw", "acme")
    assert "was not frozen" in site.ok("sender", "thaw", "acme").out
    assert not site.ok("sender", "list", "--json").json[0]["frozen"]


def test_empty_lists(site):
    for noun in ("queue", "quarantine", "campaign", "source", "suppression"):
        assert listed(site, noun) == []
        assert len(site.ok(noun, "list").out.splitlines()) == 1
