"""Who asks: behind proxies, with odd headers, in which language."""

from ipaddress import ip_network

import pytest

from gatepost.web.visitor import preferred_languages, visitor

PROXIES = [ip_network("10.0.0.0/8"), ip_network("127.0.0.1/32"), ip_network("fd00::/8")]


def scope(peer, *headers):
    return {"client": (peer, 1) if peer else None, "headers": list(headers)}


def forwarded(peer, *values, trusted=PROXIES):
    headers = [(b"x-forwarded-for", value.encode()) for value in values]
    return visitor(scope(peer, *headers), trusted).ip


@pytest.mark.parametrize(
    ("peer", "values", "ip"),
    [
        ("192.0.2.7", ("198.51.100.1",), "192.0.2.7"),  # nobody we trust says so
        ("127.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("127.0.0.1", ("203.0.113.9, 198.51.100.1",), "198.51.100.1"),  # the left one is a claim
        ("127.0.0.1", ("203.0.113.9", "198.51.100.1, 10.1.2.3"), "198.51.100.1"),
        ("10.0.0.1", ("10.0.0.9, 10.0.0.8",), "10.0.0.9"),
        ("127.0.0.1", ("198.51.100.1:4711",), "198.51.100.1"),
        ("127.0.0.1", ("[2001:db8::1]:443",), "2001:db8::1"),
        ("127.0.0.1", ("2001:db8::1",), "2001:db8::1"),
        ("::ffff:127.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("fd00::1", ("2001:db8::2, fd00::3",), "2001:db8::2"),
        ("127.0.0.1", ("unknown",), "127.0.0.1"),
        ("127.0.0.1", ("198.51.100.1, <script>, 10.0.0.1",), "10.0.0.1"),
        ("127.0.0.1", ("",), "127.0.0.1"),
    ],
)
def test_the_last_hop_that_is_not_ours(peer, values, ip):
    assert forwarded(peer, *values) == ip


def test_without_proxies_the_header_is_nobodys_business():
    assert forwarded("127.0.0.1", "198.51.100.1", trusted=[]) == "127.0.0.1"


def test_a_unix_socket_has_no_address():
    assert visitor(scope(""), []).ip == ""


def test_the_browser_is_kept_short_and_printable():
    agent = b"Mail\x00er\r\n\x1b[31m " + b"x" * 500
    found = visitor(scope("192.0.2.1", (b"user-agent", agent)), []).user_agent
    assert found.startswith("Mail er [31m x")
    assert len(found) == 200
    assert found.isprintable()


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("sv", ["sv"]),
        ("en;q=0.5, sv, da;q=0.7", ["sv", "da", "en"]),
        ("de-AT,de;q=0.9,*;q=0.1", ["de-AT", "de", "*"]),
        ("sv;q=0, en", ["en"]),
        ("sv;q=nonsense, en;q=0.1", ["en"]),
        ("", []),
        (",;,", []),
    ],
)
def test_languages_by_weight(header, tags):
    assert preferred_languages(header) == tags
