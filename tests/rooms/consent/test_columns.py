"""Columns of import files: found by our names, by renaming, by the presets."""

import pytest

from gatepost.consent.columns import NAMES, PRESETS, ColumnError, choose


def test_our_names_in_any_spelling():
    columns = choose(["Event At", "E-Mail", "USER-AGENT", "Shoe size"], {})
    assert columns.places == {"address": 1, "event_at": 0, "user_agent": 2}
    assert columns.unused == ("Shoe size",)
    picked = columns.pick([" 2026-01-01 ", "a@kund.example", "", "43"])
    assert picked == {"event_at": "2026-01-01", "address": "a@kund.example", "user_agent": ""}


def test_a_renaming_goes_before_everything():
    columns = choose(["address", "mail", "OPTIN_TIME"], {"address": "Mail"}, "mailchimp")
    assert columns.places["address"] == 1
    assert columns.places["event_at"] == 2


def test_a_preset_can_be_helped_with_columns_of_ours():
    columns = choose(["Email Address", "OPTIN_TIME", "basis"], {}, "mailchimp")
    assert columns.places == {"address": 0, "event_at": 1, "basis": 2}


@pytest.mark.parametrize(
    ("heading", "renamed", "said"),
    [
        (["name"], {}, "--map address=COLUMN"),
        (["address"], {"colour": "red"}, "none of the names"),
        (["address"], {"note": "remark"}, "no column 'remark'"),
        (["address", "Address"], {}, "2 columns"),
        (["address", "note", "note"], {}, "2 columns"),
    ],
)
def test_what_cannot_be_found(heading, renamed, said):
    with pytest.raises(ColumnError, match=said):
        choose(heading, renamed)


def test_two_columns_that_nobody_asks_for_may_have_one_name():
    assert choose(["address", "x", "x"], {}).unused == ("x", "x")


# program, a column, a value, what it means
SIGNS = [
    ("mailchimp", "CLEAN_TIME", "2026-01-01 00:00:00", "refused"),
    ("mailchimp", "CLEAN_TIME", "", ""),
    ("brevo", "EMAIL_BLACKLISTED", "Yes", "left"),
    ("brevo", "EMAIL_BLACKLISTED", "No", ""),
    ("hubspot", "Unsubscribed from all email", "true", "left"),
    ("hubspot", "Unsubscribed from all email", "false", ""),
    ("hubspot", "Portal Bounce", "TRUE", "refused"),
    ("superoffice", "No mailings", "1", "left"),
    ("superoffice", "E-marketing", "No", "refused"),
    ("superoffice", "E-marketing", "Yes", ""),
    ("listmonk", "status", "blocklisted", "left"),
    ("listmonk", "status", "disabled", "refused"),
    ("listmonk", "status", "enabled", ""),
    ("mautic", "doNotEmail", "1", "left"),
    ("phplist", "blacklisted", "1", "left"),
    ("phplist", "blacklisted", "0", ""),
    ("phplist", "confirmed", "0", "refused"),
    ("phplist", "confirmed", "1", ""),
]


@pytest.mark.parametrize(("program", "heading", "value", "meaning"), SIGNS)
def test_what_the_program_says_of_a_row(program, heading, value, meaning):
    columns = choose(["Email", heading], {}, program)
    row = ["a@kund.example", value]
    assert columns.has_left(row) == (meaning == "left")
    assert bool(columns.refusal(row)) == (meaning == "refused")


def test_presets_use_our_names():
    assert {program for program, *_ in SIGNS} == PRESETS.keys()
    for preset in PRESETS.values():
        assert preset.columns.keys() <= set(NAMES)
        assert all(sign.why for sign in preset.refused)
