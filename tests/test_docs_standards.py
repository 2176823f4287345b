"""docs/standards.md and the citations in the code are in step."""

import re

import pytest

from support.documents import TOP, tables

PAGE = TOP / "docs" / "standards.md"
CITED = re.compile(r"\bRFC ?(\d{3,5})\b")
NOT_FOLLOWED = "Known, and not followed"


def cited():
    """RFC → the files of src/ that speak of it."""
    found = {}
    for file in sorted((TOP / "src").rglob("*.py")):
        for number in CITED.findall(file.read_text("utf-8")):
            found.setdefault(number, set()).add(file.name)
    return found


def rows(*, followed):
    return [
        row
        for heading, _, table in tables(PAGE)
        if (heading != NOT_FOLLOWED) is followed
        for row in table
    ]


def test_every_rfc_that_the_code_cites_has_a_row():
    known = {row[0] for row in rows(followed=True) + rows(followed=False)}
    assert not {number: files for number, files in cited().items() if number not in known}


def test_every_rfc_that_is_followed_is_cited_in_the_code():
    assert not {row[0] for row in rows(followed=True)} - cited().keys()


def test_no_rfc_has_two_rows():
    numbers = [row[0] for row in rows(followed=True) + rows(followed=False)]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("row", rows(followed=True), ids=lambda row: row[0])
def test_a_row_says_what_is_done(row):
    assert re.fullmatch(r"\d{3,5}", row[0])
    assert row[1]
    assert row[2]
    assert len(row) == 4
