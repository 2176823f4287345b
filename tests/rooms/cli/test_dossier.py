"""`gatepost consent dossier`: a file for the person or an authority, whoever they ask about."""

import json

import pytest

from support.command import OTHER, Site


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path, OTHER)


def test_a_file_by_its_suffix_that_only_its_owner_reads(site):
    """JU-22: exportable per address, for people and for programs."""
    site.add_source()
    site.grant("anna@kund.example", "--note", "receipt 4711")
    page, values = site.folder / "anna.html", site.folder / "anna.json"
    site.ok("consent", "dossier", "anna@kund.example", "-o", page, "--language", "sv")
    site.ok("consent", "dossier", "Anna@KUND.example", "-o", values)
    html = page.read_text("utf-8")
    assert '<html lang="sv"' in html
    assert "receipt 4711" in html
    assert page.stat().st_mode & 0o777 == 0o600
    found = json.loads(values.read_text("utf-8"))
    assert [one["basis"] for one in found["consents"]] == ["form-checkbox"]
    assert found["intact"]


def test_json_wins_over_the_suffix_and_a_hyphen_is_stdout(site):
    answer = site.ok("consent", "dossier", "anna@kund.example", "-o", "-", "--json")
    assert answer.json["held"] is False


def test_a_stranger_gets_a_dossier_that_says_so(site):
    answer = site.ok("consent", "dossier", "nobody@kund.example", "-o", site.folder / "x.html")
    assert "nothing is held" in answer.out
    assert "Nothing is held" in (site.folder / "x.html").read_text("utf-8")


def test_wrong_words_are_told(site):
    page = site.folder / "x.html"
    assert "there is no language" in site.refused(
        "consent", "dossier", "a@kund.example", "-o", page, "--language", "fr"
    )
    assert "there is no sender" in site.refused(
        "consent", "dossier", "a@kund.example", "-o", page, "--sender", "nobody"
    )
    missing = site.folder / "no" / "x.html"
    assert "No such file" in site.refused("consent", "dossier", "a@kund.example", "-o", missing)
    assert not page.exists()


def test_what_is_no_page_is_not_written_as_one(site):
    site.add_source()
    site.grant("a@kund.example")
    page = site.folder / "dossier.pdf"
    said = site.refused("consent", "dossier", "a@kund.example", "-o", page)
    assert "prints the HTML as PDF" in said
    assert not page.exists()
    site.ok("consent", "dossier", "a@kund.example", "-o", page.with_suffix(".data"), "--json")
