"""`gatepost source`: the register of sources (JU-25 … JU-30)."""

import pytest

from gatepost.cli.source import Kind
from gatepost.store.sources import KINDS

ALL = "voluntary,informed,specific,states-withdrawal"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


def test_a_source_with_everything(site):
    picture = site.file("form.png", PNG)
    said = site.add_source("web", "--streams", "newsletter,club", "--picture", picture).out
    assert "version 1 is valid" in said
    (row,) = site.ok("source", "list", "--json").json
    assert row["name"] == "web"
    assert row["sender"] == "acme"
    assert row["kind"] == "form"
    assert row["streams"] == ["newsletter", "club"]
    assert row["state"] == "valid"
    assert row["marks"] == []
    shown = site.ok("source", "show", "web", "--json").json
    (text,) = shown["texts"]
    assert text["body"].startswith("I want the newsletter")
    assert text["pictures"][0]["media_type"] == "image/png"
    assert "I want the newsletter" in site.ok("source", "show", "web").out


def test_a_source_without_text_or_picture_is_marked(site):
    site.ok("source", "add", "bare", "--kind", "paper")  # the only sender is meant
    site.add_source(
        "web", "--reconstructed", "--attested-by", "B. Berg", "--because", "we kept the forms"
    )
    marks = {row["name"]: row["marks"] for row in site.ok("source", "list", "--json").json}
    assert marks == {"bare": ["no text"], "web": ["no picture", "reconstructed"]}


@pytest.mark.parametrize("flag", ["--pre-ticked", "--conditional", "--in-terms"])
def test_a_spoiled_text_is_kept_and_not_valid(site, flag):
    said = site.add_source("web", flag).out  # as its author says: nothing is refused
    assert "is invalid" in said
    assert flag[2:] in said
    (row,) = site.ok("source", "list", "--json").json
    assert (row["state"], row["marks"]) == ("invalid", ["draft", "no picture"])
    refused = site.run("source", "activate", "web")
    assert refused.status == 1
    assert flag[2:] in refused.out


def test_missing_attestations_are_named(site):
    """JU-2, JU-4: and the version stays a draft until they are there."""
    text = site.file("t.txt", "Yes to Acme AB, until I withdraw!")
    said = site.run(
        "source", "add", "web", "--kind", "form", "--text-file", text, "--attest", "informed"
    )
    assert said.status == 1
    assert "voluntary, specific, states-withdrawal" in said.out
    assert "source activate web --version 1 --attest" in said.out
    assert site.grant("a@kund.example").status == 0
    assert site.standing("a@kund.example")["reason"] == "invalid-text"
    fresh = site.file("t.txt", "Yes to Acme AB, until I withdraw it!")
    assert site.run("source", "add", "web", "--text-file", fresh).status == 1
    assert site.run("source", "activate", "web", "--attest", "voluntary").status == 1
    site.ok("source", "activate", "web", "--attest", "informed,specific,states-withdrawal")
    site.grant("b@kund.example")
    assert site.standing("b@kund.example")["text_version"] == "2"
    assert site.standing("b@kund.example")["reason"] == "consented"
    assert site.standing("a@kund.example")["reason"] == "invalid-text"


def test_a_changed_text_is_a_new_version_and_the_same_one_is_not(site):
    site.add_source()
    site.add_source()
    changed = site.file("t2.txt", "A changed text of Acme AB, to withdraw from at any time.")
    site.ok("source", "add", "web", "--text-file", changed, "--attest", ALL)
    texts = site.ok("source", "show", "web", "--json").json["texts"]
    assert [(one["version"], one["active"]) for one in texts] == [("1", False), ("2", True)]


def test_a_text_in_use_is_not_attested_anew(site):
    """JU-30: what evidence refers to does not change."""
    site.add_source()
    assert site.grant("a@kund.example").status == 0
    before = site.ok("source", "show", "web", "--json").json["texts"]
    assert "in use" in site.add_source_anew("--pre-ticked", status=2)
    for words in (["--attest", "names-company"], ["--conditional"], ["--retract", "informed"]):
        said = site.refused("source", "attest", "web", "--version", "1", *words, status=1)
        assert "in use" in said
    assert site.ok("source", "show", "web", "--json").json["texts"] == before


def test_a_draft_in_use_is_succeeded_by_the_same_text(site):
    """What did not count is imported again once the source is in order."""
    text = site.file("text.txt", "Acme AB may write until I say no.")
    site.run("source", "add", "web", "--kind", "form", "--text-file", text)
    people = site.file("people.csv", "address,event_at\na@kund.example,2026-01-01\n")
    flags = ("--source", "web", "--stream", "newsletter", "--basis", "form-checkbox")
    site.ok("consent", "import", people, *flags)
    assert site.standing("a@kund.example")["reason"] == "invalid-text"
    site.ok("source", "add", "web", "--text-file", text, "--attest", ALL)
    site.ok("consent", "import", people, *flags)
    assert site.standing("a@kund.example")["reason"] == "consented"
    assert site.ok("consent", "import", people, *flags, "--json").json["known"] == 1
    stages = [one["stage"] for one in site.ok("source", "show", "web", "--json").json["texts"]]
    assert stages == ["draft", "active"]


@pytest.mark.parametrize(
    ("text", "code", "cure"),
    [
        ("Yes, write to me until I say no.", "names-sender", "names-company"),
        ("Get a free book from Acme AB. Withdraw any time.", "promises-free", "leave the word out"),
        (
            "Acme AB and its partners may write until I withdraw.",
            "vague-third-parties",
            "name each",
        ),
        ("Acme AB and other companies may write until I withdraw.", "other-companies", "its own"),
    ],
)
def test_words_that_keep_a_text_from_being_used(site, text, code, cure):
    """JU-12, JU-6, WP-4, JU-16."""
    words = ("--kind", "form", "--text-file", site.file("t.txt", text), "--attest", ALL)
    answer = site.run("source", "add", "web", *words)
    assert answer.status == 1
    assert code in answer.out
    assert cure in answer.out
    checked = site.run("source", "check", "web", "--json")
    assert checked.status == 1
    assert [one["code"] for one in checked.json["findings"]] == [code]
    if code == "names-sender":
        site.ok("source", "activate", "web", "--attest", "names-company")
        return
    site.ok("source", "activate", "web", "--accept-lint", "read and found harmless")
    (row,) = site.ok("source", "list", "--json").json
    assert "lint accepted" in row["marks"]
    assert "read and found harmless" in site.ok("source", "show", "web").out


def test_a_check_changes_nothing(site):
    text = site.file("t.txt", "Ja, ACME  får skriva till mig.")
    words = ("--text-file", text, "--language", "sv", "--json")
    answer = site.ok("source", "check", *words)
    codes = [one["code"] for one in answer.json["findings"]]
    assert codes == ["short-name", "no-withdrawal"]  # warnings
    assert answer.json["names_sender"]
    assert site.ok("source", "list", "--json").json == []
    site.add_source()
    assert "nothing found" in site.ok("source", "check", "web").out
    for words in ([], ["web", "--text-file", text]):
        assert "--text-file" in site.refused("source", "check", *words)


def test_accepting_what_was_not_found_is_said(site):
    answer = site.add_source("web", "--accept-lint", "just in case")
    assert "nothing to accept" in answer.err
    assert site.ok("source", "show", "web", "--json").json["texts"][0]["accepted_lint"] == ""


def test_attesting_before_anybody_agreed(site):
    text = site.file("t.txt", "Acme AB may write until I say no.")
    site.run("source", "add", "web", "--kind", "form", "--text-file", text, "--attest", ALL,
             "--pre-ticked")  # fmt: skip
    said = site.ok("source", "attest", "web", "--retract", "pre-ticked").out
    assert "put it to use" in said
    site.ok("source", "activate", "web")
    site.ok("source", "attest", "web", "--retract", "informed")
    assert site.ok("source", "show", "web", "--json").json["texts"][0]["stage"] == "draft"
    assert "--retract" in site.refused("source", "attest", "web")
    site.refused("source", "attest", "web", "--attest", "pre-ticked")
    assert "no text version" in site.refused(
        "source", "activate", "web", "--version", "9", status=1
    )


def test_what_a_source_asks_for_reaches_the_decision(site):
    """JU-13, JU-14."""
    site.add_source("web", "--channel", "sms")
    site.grant("a@kund.example")
    assert site.standing("a@kund.example")["reason"] == "outside-scope"
    assert "channels" in site.refused("source", "add", "x", "--kind", "form", "--channel", "pigeon")
    site.add_source("shoes", "--categories", "shoes", "--channel", "email,sms")
    words = ("--source", "shoes", "--basis", "written", "--stream", "newsletter")
    site.ok("consent", "grant", "b@kund.example", *words)
    assert site.standing("b@kund.example")["categories"] == ["shoes"]
    said = site.refused("consent", "grant", "b@kund.example", *words, "--categories", "hats")
    assert "not for hats" in said


@pytest.mark.parametrize(
    "words",
    [["--reconstructed"], ["--attested-by", "B. Berg"], ["--reconstructed", "--because", "it is"]],
)
def test_what_was_reconstructed_is_vouched_for(site, words):
    said = site.refused("source", "add", "old", "--kind", "paper", *words)
    assert "belong together" in said


def test_every_kind_of_source_can_be_added(site):
    assert {kind.value for kind in Kind} == set(KINDS)
    for kind in KINDS:
        site.ok("source", "add", kind, "--kind", kind)


def test_a_changed_form_is_a_new_source(site):
    site.add_source("web", "--url", "https://acme.example/a")
    said = site.refused("source", "add", "web", "--url", "https://acme.example/b")
    assert "new source" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kind", "form", "--sender", "nobody"], "acme"),
        (["--kind", "form", "--streams", "receipts"], "needs no consent"),
        (["--kind", "form", "--streams", "nothing"], "club, newsletter, receipts"),
        ([], "--kind"),
        (["--kind", "magic"], "magic"),
        (["--kind", "form", "--attest", "informed"], "--text-file"),
        (["--kind", "form", "--picture", "https://acme.example/form.png"], "content"),
        (["--kind", "form", "--text-file", "/nowhere/text"], "No such file"),
    ],
)
def test_what_a_source_cannot_be(site, words, said):
    assert said in site.refused("source", "add", "web", *words)
    assert site.ok("source", "list", "--json").json == []


def test_a_picture_is_an_image(site):
    page = site.file("form.png", b"<html>")
    text = site.file("t.txt", "Yes!")
    words = ("--kind", "form", "--text-file", text, "--picture", page)
    assert "PNG" in site.refused("source", "add", "web", *words)


def test_a_text_is_utf_8(site):
    text = site.file("t.txt", "Ja, härligt", "latin-1")
    assert "UTF-8" in site.refused("source", "add", "web", "--kind", "form", "--text-file", text)


def test_an_attestation_is_one_of_four(site):
    text = site.file("t.txt", "Yes!")
    words = ("--kind", "form", "--text-file", text, "--attest", "informed,beautiful")
    assert "beautiful" in site.refused("source", "add", "web", *words)


def test_with_two_senders_it_is_asked_which(two_senders):
    assert "acme, other" in two_senders.refused("source", "add", "web", "--kind", "form")
    said = two_senders.refused(
        "source", "add", "web", "--kind", "form", "--sender", "acme", "--streams", "foreign"
    )
    assert "sent for other" in said


def test_showing_what_is_not_there(site):
    site.add_source()
    assert "there are web" in site.refused("source", "show", "nothing", status=1)
