"""Every numbered item has a test here, and docs/requirements.md lists it."""

import re

import pytest

from support.requirements import ITEMS, TESTS, citing, requirements_page

COUNTS = {"HS": 26, "JU": 31, "WP": 17, "SO": 15, "HR": 8}


def test_the_list_is_that_of_the_documents():
    numbers = {prefix: [item for item in ITEMS if item.startswith(prefix)] for prefix in COUNTS}
    assert {prefix: len(items) for prefix, items in numbers.items()} == COUNTS


@pytest.mark.parametrize("item", ITEMS)
def test_an_item_has_a_test(item):
    assert citing().get(item), f"no test in tests/requirements cites {item}"


def test_no_test_cites_what_there_is_not():
    assert not citing().keys() - ITEMS.keys()


def test_the_page_lists_each_with_its_tests():
    page = (TESTS.parent / "docs" / "requirements.md").read_text("utf-8")
    assert page == requirements_page(), "run make docs"
    listed = re.findall(r"^\| ((?:HS|JU|WP|SO|HR)-\d+) \|", page, re.MULTILINE)
    assert listed == list(ITEMS)
