"""Where a mailer wants to be told that somebody left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.mail.list_unsubscribe import Mail, OneClick, find_targets, unquote

POST = "list-unsubscribe-post: List-Unsubscribe=One-Click"
ANNA = "Anna@kund.example"


def found(*lines, person=ANNA):
    return list(find_targets("\n".join(lines), person))


def test_https_is_told_where_it_takes_a_post():
    """RFC 8058 §3.1, §8.1."""
    field = "list-unsubscribe: <https://Lists.example:8443/u?t=a%20b>"
    assert found(field, POST) == [OneClick("https://Lists.example:8443/u?t=a%20b", "lists.example")]
    assert found(field) == []
    assert found(field, "list-unsubscribe-post: list-unsubscribe = one-click") != []
    assert found(field, "list-unsubscribe-post: yes") == []


def test_https_comes_before_mail():
    field = "list-unsubscribe: <mailto:u+abc12345@lists.example>, <https://lists.example/u>"
    assert [type(one) for one in found(field, POST)] == [OneClick, Mail]
    assert [type(one) for one in found(field)] == [Mail]


@pytest.mark.parametrize(
    ("mailto", "subject", "body"),
    [
        ("mailto:u+abc12345@lists.example", "", ""),
        ("MAILTO:u@lists.example?subject=unsubscribe%20abc12345", "unsubscribe abc12345", ""),
        ("mailto:u@lists.example?SUBJECT=x&body=anna%40kund.example%0D%0Abye", "x", "anna@kund.example\r\nbye"),
        ("mailto:leave-anna=kund.example@lists.example", "", ""),
        ("mailto:u%2Babc12345@lists.example?cc=evil@x.example", "", ""),
        ("mailto:u+abc12345@lists.example?subject=a%0D%0ABcc: evil@x.example", "a Bcc:evil@x.example", ""),
    ],
)  # fmt: skip
def test_a_mailbox_that_knows_the_person(mailto, subject, body):
    (mail,) = found(f"list-unsubscribe: <{mailto}>")
    assert (mail.subject, mail.body, mail.host) == (subject, body, "lists.example")


@pytest.mark.parametrize(
    "value",
    [
        "<mailto:leave@lists.example>", "<mailto:leave@lists.example?subject=unsubscribe>",
        "<http://lists.example/u>", "<https://user@lists.example/u>", "<https:///u>", "<https://>",
        "https://lists.example/u", "<https://lists.example\x00/u>", "<https://lists.example/ü>",
        "<https://lists.example/" + "u" * 5000 + ">", "<ftp://lists.example/u>", "<>", "", "<mailto:>",
        "<mailto:abc12345>", "<https://evil.example\\@lists.example/>",
    ],
)  # fmt: skip
def test_who_cannot_be_told(value):
    assert found(f"list-unsubscribe: {value}", POST) == []


def test_two_fields_are_none():
    """RFC 2369 §3.2 allows one."""
    field = "list-unsubscribe: <https://lists.example/u>"
    assert found(field, field, POST) == []


def test_blanks_inside_are_folds():
    assert found("list-unsubscribe: <https://lists.example/\t u>", POST)[0].url.endswith("/u")


@given(st.text(), st.text())
def test_it_never_fails(text, person):
    for one in find_targets(f"list-unsubscribe: {text}\n{POST}\n{text}", person):
        assert one.host


@given(st.binary())
def test_escapes_are_undone(octets):
    escaped = "".join(f"%{octet:02X}" for octet in octets)
    assert unquote(escaped) == octets.decode("utf-8", "replace")
