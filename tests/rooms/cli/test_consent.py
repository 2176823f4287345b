"""`gatepost consent grant/withdraw/show`: one person at a time."""

from datetime import UTC, datetime, timedelta

import pytest

from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import parse
from gatepost.store import people

ANNA = "anna@kund.example"


@pytest.fixture(autouse=True)
def _source(site):
    site.add_source("web", "--streams", "newsletter,club")


def record(site, *facts, address=ANNA):
    with site.store() as store:
        store.write_now(lambda tx: people.record(tx, parse(address), facts))


def ago(**span):
    return datetime.now(UTC) - timedelta(**span)


def test_somebody_agrees(site):
    said = site.grant(ANNA).out
    assert "deliver (consented)" in said
    standing = site.standing("ANNA@kund.example")  # one person, however it is spelled
    assert standing["state"] == "granted"
    assert standing["basis"] == "form-checkbox"
    assert (standing["verdict"], standing["reason"]) == ("deliver", "consented")
    assert standing["text_version"] == "1"
    assert standing["text_state"] == "valid"


def test_the_shape_of_show(site):
    site.grant(ANNA, "--note", "form 4711", "--at", "2024-03-01T10:00:00+01:00")
    site.ok("suppression", "add", ANNA, "--scope", "bulk")
    shown = site.ok("consent", "show", ANNA, "--json").json
    assert set(shown) >= {"address", "standings", "events", "suppressions"}
    assert shown["address"] == ANNA
    assert {one["stream"] for one in shown["standings"]} == {"newsletter", "club"}
    granted, suppressed = shown["events"]
    assert granted["at"] == "2024-03-01T09:00:00.000Z"
    assert granted["note"] == "form 4711"
    assert granted["actor"] == "staff"
    assert suppressed["kind"] == "suppressed"
    assert shown["suppressions"][0]["reason"] == "manual"
    assert site.standing(ANNA)["reason"] == "suppressed"


def test_the_same_for_people(site):
    site.grant(ANNA)
    out = site.ok("consent", "show", ANNA).out
    for word in ("standings", "events", "newsletter", "form-checkbox", "consented"):
        assert word in out
    assert "newsletter: form-checkbox given on " in out
    assert "through web, text 1\n  the source: no picture" in out
    assert "club: form-checkbox" not in out
    assert "club: nothing on record" in out
    assert "\x1b" not in out


def test_a_stranger_is_not_on_record(site):
    answer = site.run("consent", "show", "nobody@kund.example", "--json")
    assert answer.status == 1
    assert answer.json["events"] == []
    assert {one["reason"] for one in answer.json["standings"]} == {"no-consent"}


def test_looking_at_somebody_records_nothing(site):
    site.run("consent", "show", ANNA)
    assert site.run("consent", "show", ANNA).status == 1


def test_who_left_comes_back_with_an_explanation_only(site):
    """HR-4."""
    site.grant(ANNA)
    site.ok("consent", "withdraw", ANNA, "--stream", "newsletter")
    assert site.standing(ANNA)["state"] == "withdrawn"
    refused = site.grant(ANNA)
    assert refused.status == 1
    assert "--explanation" in refused.err
    assert site.standing(ANNA)["reason"] == "withdrawn"
    assert "deliver (consented)" in site.grant(ANNA, "--explanation", "asked at the fair").out
    shown = site.ok("consent", "show", ANNA, "--json").json
    assert shown["events"][-1]["kind"] == "resubscribed"
    assert shown["events"][-1]["explanation"] == "asked at the fair"


@pytest.mark.parametrize("basis", ["purchase", "customer", "business-card"])
def test_staff_brings_back_by_explicit_consent_only(site, basis):
    """X6."""
    site.ok("consent", "withdraw", ANNA, "--stream", "newsletter")
    refused = site.grant(ANNA, "--explanation", "bought again", basis=basis)
    assert refused.status == 1
    assert "no explicit consent" in refused.err
    assert site.kinds(ANNA) == ["withdrawn"]


def test_staff_brings_back_by_a_source_with_a_valid_text_only(site):
    """X6."""
    site.add_source("bare", "--pre-ticked")
    site.ok("consent", "withdraw", ANNA, "--all")
    words = ("--source", "bare", "--basis", "written", "--stream", "newsletter")
    refused = site.refused("consent", "grant", ANNA, *words, "--explanation", "asked", status=1)
    assert "no valid text" in refused
    assert "source activate" in refused
    assert site.kinds(ANNA) == ["withdrawn"]


def test_a_changed_address_starts_anew(site):
    """HR-3: neither the consent nor the opt-out goes with somebody to another address."""
    site.grant(ANNA)
    site.grant("bo@kund.example")
    site.ok("consent", "withdraw", "bo@kund.example", "--all")
    assert site.standing("anna@new.example")["reason"] == "no-consent"
    assert site.grant("bo@new.example").status == 0
    assert site.standing("bo@new.example")["reason"] == "consented"
    assert site.standing("BO@kund.example")["reason"] == "suppressed"


def test_the_return_is_newer_than_the_leaving(site):
    """E5."""
    site.ok("consent", "withdraw", ANNA, "--stream", "newsletter")
    refused = site.grant(ANNA, "--explanation", "old form", "--at", "2024-03-01")
    assert refused.status == 1
    assert "no return" in refused.err
    assert site.kinds(ANNA) == ["withdrawn"]


def test_after_leaving_everything_only_the_chosen_stream_comes_back(site):
    """HR-7, E2."""
    site.grant(ANNA)
    site.grant(ANNA, stream="club", basis="double-opt-in")
    site.ok("consent", "withdraw", ANNA, "--all")
    assert {site.standing(ANNA, stream)["reason"] for stream in ("newsletter", "club")} <= {
        "withdrawn", "suppressed",
    }  # fmt: skip
    assert site.grant(ANNA).status == 1
    assert site.grant(ANNA, "--explanation", "called us").status == 0
    assert site.standing(ANNA)["verdict"] == "deliver"
    assert site.standing(ANNA, "club")["verdict"] == "drop"


@pytest.mark.parametrize(
    "fact",
    [
        Fact(kind=EventKind.COMPLAINED, at=ago(days=9), sender="acme"),
        Fact(
            kind=EventKind.BOUNCED, at=ago(days=9), sender="acme", scope="all",
            suppression="hard-bounce",
        ),
    ],
    ids=["complaint", "bounce"],
)  # fmt: skip
def test_staff_lifts_neither_complaint_nor_bounce(site, fact):
    """E4."""
    record(site, fact)
    answer = site.grant(ANNA, "--explanation", "they said so")
    assert answer.status == 0
    assert "drop (suppressed)" in answer.out
    assert "what would help: only" in answer.err  # and who can


def test_who_was_erased_comes_back_by_themselves_only(site):
    record(site, Fact(kind=EventKind.GRANTED, at=ago(days=9), sender="acme", stream="newsletter"))
    record(site, Fact(kind=EventKind.ERASED, at=ago(days=1)))
    refused = site.grant(ANNA, "--explanation", "they said so")
    assert refused.status == 1
    assert "erased" in refused.err
    shown = site.ok("consent", "show", ANNA, "--json").json
    assert shown["erased_at"]
    assert [one.get("erased") for one in shown["events"]] == [True, None]


def test_a_forbidden_basis_is_recorded_and_never_counts(site):
    """HS-14."""
    answer = site.grant(ANNA, basis="purchased-list")
    assert answer.status == 0
    assert "never counts" in answer.err
    assert site.standing(ANNA)["reason"] == "forbidden-source"


def test_a_customer_needs_all_three(site):
    """WP-8."""
    site.grant(ANNA, "--bought", "--informed", "--could-decline", basis="customer")
    shown = site.ok("consent", "show", ANNA, "--json").json["events"][0]
    assert shown["bought"]
    assert shown["informed"]
    assert shown["could_decline"]
    refused = site.grant(ANNA, "--bought")
    assert refused.status == 2
    assert "customer" in refused.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--source", "nothing", "--basis", "written", "--stream", "newsletter"], "there are web"),
        (["--basis", "written", "--stream", "newsletter"], "--source is required"),
        (["--source", "web", "--stream", "newsletter"], "--basis is required"),
        (["--source", "web", "--basis", "magic", "--stream", "newsletter"], "form-checkbox"),
        (["--source", "web", "--basis", "written"], "--stream is required"),
        (["--source", "web", "--basis", "written", "--stream", "receipts"], "needs no consent"),
        (
            ["--source", "web", "--basis", "written", "--stream", "newsletter", "--at", "soon"],
            "ISO 8601",
        ),
        (
            [
                "--source",
                "web",
                "--basis",
                "written",
                "--stream",
                "newsletter",
                "--at",
                "2999-01-01",
            ],
            "future",
        ),
    ],
)
def test_what_a_grant_needs(site, words, said):
    assert said in site.refused("consent", "grant", ANNA, *words)
    assert site.kinds(ANNA) == []


def test_an_address_is_one(site):
    assert "no address" in site.refused("consent", "show", "nobody")


def test_a_source_is_for_its_streams_only(site):
    """JU-31."""
    site.add_source("fair", "--streams", "club")
    said = site.refused(
        "consent", "grant", ANNA, "--source", "fair", "--basis", "written", "--stream", "newsletter"
    )
    assert "collects for club" in said


def test_withdrawing_twice_is_withdrawing_once(site):
    site.grant(ANNA)
    for _ in range(2):
        site.ok("consent", "withdraw", ANNA, "--stream", "newsletter")
        site.ok("consent", "withdraw", ANNA, "--all", "--note", "by telephone")
    assert site.kinds(ANNA) == ["granted", "withdrawn", "withdrawn"]


def test_somebody_unknown_can_leave_too(site):
    site.ok("consent", "withdraw", ANNA, "--all")
    assert site.kinds(ANNA) == ["withdrawn"]
    assert site.standing(ANNA)["state"] == "withdrawn"


def test_many_leave_at_once(site):
    listed = site.file("left.csv", "name;E-mail\nAnna;anna@kund.example\n;\nBo;bo@kund.example\n")
    said = site.ok("consent", "withdraw", "--file", listed, "--stream", "newsletter").out
    assert "2" in said
    assert site.kinds("bo@kund.example") == ["withdrawn"]


def test_wrong_lines_are_told_and_the_others_leave(site):
    answer = site.run(
        "consent",
        "withdraw",
        "--file",
        "-",
        "--all",
        given="anna@kund.example\nnobody\n\nanna@kund.example\n",
    )
    assert answer.status == 1
    assert "line 2" in answer.err
    assert site.kinds(ANNA) == ["withdrawn"]


@pytest.mark.parametrize(
    "words",
    [
        ["a@kund.example"],
        ["--all"],
        ["a@kund.example", "--all", "--stream", "newsletter"],
        ["a@kund.example", "--file", "x", "--all"],
        ["a@kund.example", "--stream", "receipts"],
    ],
)
def test_what_a_withdrawal_needs(site, words):
    site.refused("consent", "withdraw", *words)


def test_leaving_everything_is_about_one_sender(two_senders):
    assert "--sender" in two_senders.refused("consent", "withdraw", ANNA, "--all")
    two_senders.ok("consent", "withdraw", ANNA, "--all", "--sender", "other")
    assert two_senders.standing(ANNA, "foreign")["state"] == "withdrawn"
    assert two_senders.standing(ANNA, "newsletter")["state"] == "none"


def test_what_a_command_records_is_sealed_by_itself(site):
    site.grant(ANNA)
    events = site.ok("consent", "show", ANNA, "--json").json["events"]
    assert [one["sealed_in"] for one in events] == [2]  # the first block has the source


def test_a_return_that_does_not_count_is_shown_as_what_it_is(site):
    left = ago(days=2)
    record(
        site,
        Fact(kind=EventKind.WITHDRAWN, at=left, sender="acme", stream="newsletter"),
        Fact(
            kind=EventKind.RESUBSCRIBED,
            at=ago(days=1),
            sender="acme",
            stream="newsletter",
            basis="purchase",
            source="web",
            actor="staff",
            explanation="bought something",
        ),
    )
    standing = site.standing(ANNA)
    assert (standing["state"], standing["reason"]) == ("withdrawn", "withdrawn")
    assert standing["since"] == standing["withdrawn_at"]


def test_a_contract_ends_after_it_was_made(site):
    words = ["--ends-at", "2019-01-01"]
    for more in ([], ["--at", "2020-01-01"]):
        answer = site.grant(ANNA, *words, *more, basis="contract")
        assert answer.status == 2
        assert "before the contract was made" in answer.err
    assert site.grant(ANNA, *words, "--at", "2018-01-01", basis="contract").status == 0


def test_help_says_every_word(site):
    assert "retention.evidence" in site.ok("consent", "erase", "--help").out
