"""docs/reliability.md names tests that exist, for every promise, and has room for the figures."""

import re

import pytest

import fuzz
import soak
from support.documents import TOP, links, tables

PAGE = TOP / "docs" / "reliability.md"
PROMISES = re.findall(
    r"(\d)\. [A-Z]", (TOP / "docs" / "design.md").read_text("utf-8").partition("## The rooms")[0]
)


def rows(column):
    return next(found for _, columns, found in tables(PAGE) if columns[0] == column)


def test_every_promise_has_a_row_that_names_tests():
    assert list("1234567") == PROMISES
    assert [row[0][0] for row in rows("promise")] == PROMISES
    assert all("../tests/" in row[1] for row in rows("promise"))


@pytest.mark.parametrize(
    "link", sorted({link for link in links(PAGE) if link.startswith("../tests/")})
)
def test_what_is_named_exists_and_tests_something(link):
    path = (PAGE.parent / link).resolve()
    assert path.is_file()
    if path.name.startswith("test_"):
        assert "def test_" in path.read_text("utf-8")


def test_every_door_that_is_fuzzed_is_in_the_table():
    doors = {target.check for target in fuzz.TARGETS}
    assert len(rows("door")) == len(doors) - 1  # lists and imports are one


def test_the_figures_of_a_run_have_their_place(tmp_path, monkeypatch):
    copy = tmp_path / "reliability.md"
    copy.write_text(PAGE.read_text("utf-8"))
    monkeypatch.setattr(soak, "PAGE", copy)
    soak.write("| a |\n| --- |\n| b |\n")
    soak.write("| c |\n| --- |\n| d |\n")
    said = copy.read_text()
    assert "| c |\n| --- |\n| d |\n" + soak.END in said
    assert "| a |" not in said


def test_the_last_soak_lost_nothing():
    assert ["**lost**", "**0**"] in [
        row[:2] for _, columns, found in tables(PAGE) if columns[0] == "" for row in found
    ]
