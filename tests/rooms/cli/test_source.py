"""`gatepost source`: the register of sources (JU-25 … JU-30)."""

import pytest

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
    site.add_source("web", "--reconstructed")
    marks = {row["name"]: row["marks"] for row in site.ok("source", "list", "--json").json}
    assert marks == {"bare": ["no text"], "web": ["no picture", "reconstructed"]}


@pytest.mark.parametrize("flag", ["--pre-ticked", "--conditional", "--in-terms"])
def test_a_spoiled_text_is_kept_and_not_valid(site, flag):
    said = site.add_source("web", flag).out
    assert "is invalid" in said
    assert flag[2:] in said


def test_missing_attestations_are_named(site):
    text = site.file("t.txt", "Yes!")
    said = site.ok(
        "source", "add", "a", "--kind", "form", "--text-file", text, "--attest", "informed"
    )
    assert "voluntary, specific, states-withdrawal" in said.out


def test_a_changed_text_is_a_new_version_and_the_same_one_is_not(site):
    site.add_source()
    site.add_source()
    changed = site.file("t2.txt", "A changed text.")
    site.ok("source", "add", "web", "--text-file", changed)
    texts = site.ok("source", "show", "web", "--json").json["texts"]
    assert [(one["version"], one["active"]) for one in texts] == [("1", False), ("2", True)]


def test_a_text_in_use_is_not_attested_anew(site):
    """JU-30: what evidence refers to does not change."""
    text = site.file("t.txt", "Yes!")
    site.ok("source", "add", "web", "--kind", "form", "--text-file", text)
    assert site.grant("a@kund.example").status == 0
    said = site.refused("source", "add", "web", "--text-file", text, "--attest", "informed")
    assert "in use" in said


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
