"""Values: how each kind is written, and what is not one."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from gatepost.config import values
from gatepost.config.units import parse_rate, parse_size
from gatepost.mail.duration import Duration


def read(kind, value, environ=None):
    context = values.Surroundings(Path("/etc/gatepost"), environ or {})
    return TypeAdapter(kind).validate_python(value, context=context)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("50 MB", 50_000_000), ("50MB", 50_000_000), ("50 mb", 50_000_000), ("1 kB", 1000),
        ("1 KiB", 1024), ("2 MiB", 2 * 1024**2), ("3 GB", 3 * 10**9), ("1 GiB", 1024**3),
        ("7 B", 7), ("0 MB", 0), (" 1 TB ", 10**12),
    ],
)  # fmt: skip
def test_sizes(text, size):
    assert parse_size(text) == size
    assert read(values.Size, text) == size


@pytest.mark.parametrize(
    "text", ["", "50", "MB", "-1 MB", "1.5 MB", "50 megs", "50 MB/s", "\uff15 MB"]
)
def test_no_sizes(text):
    with pytest.raises(ValidationError, match="is no size"):
        read(values.Size, text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5000/h", (5000, 3600.0)), ("10/s", (10, 1.0)), ("60 / min", (60, 60.0)),
        ("1/d", (1, 86400.0)), ("20000/hour", (20000, 3600.0)),
    ],
)  # fmt: skip
def test_rates(text, rate):
    assert parse_rate(text) == rate
    assert read(values.Rate, text) == rate


def test_no_rate_is_no_limit():
    assert read(values.Rate, "") is None


@pytest.mark.parametrize("text", ["0/h", "5000", "/h", "5000/week", "-5/h", "1.5/s"])
def test_no_rates(text):
    with pytest.raises(ValidationError, match="is no rate"):
        read(values.Rate, text)


def test_durations():
    assert read(values.Length, "18 months") == Duration(months=18)
    assert read(values.Length, "24 h") == Duration(seconds=86400)
    assert read(values.LengthOrNever, "Never") is None
    assert read(values.LengthOrNever, "unlimited") is None


@pytest.mark.parametrize("value", ["never", "0 days", "5", 5, "", True])
def test_no_durations(value):
    with pytest.raises(ValidationError):
        read(values.Length, value)


def test_networks():
    assert read(values.Network, "192.0.2.7") == ip_network("192.0.2.7/32")
    assert read(values.Network, "2001:db8::/32") == ip_network("2001:db8::/32")
    with pytest.raises(ValidationError, match=r"192\.0\.2\.0/24"):
        read(values.Network, "192.0.2.7/24")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("@ACME.example", "@acme.example"),
        ("@*.Acme.example", "@*.acme.example"),
        ("News@Acme.example", "news@acme.example"),
        ("@blåbär.example", "@xn--blbr-noae.example"),
        ("@*.blåbär.example", "@*.xn--blbr-noae.example"),
    ],
)
def test_from_patterns_are_in_lower_case_with_a_labels(text, pattern):
    assert read(values.FromPattern, text) == pattern


@pytest.mark.parametrize("text", ["", "@", "acme.example", "@*", "@a@b.example", "@[192.0.2.1]"])
def test_no_from_patterns(text):
    with pytest.raises(ValidationError):
        read(values.FromPattern, text)


@pytest.mark.parametrize(
    "text",
    [
        "https://mail.example.org",
        "https://mail.example.org:8443/gatepost",
        "https://[2001:db8::1]",
        "http://localhost:8025",
    ],
)
def test_web_addresses(text):
    assert read(values.Url, text) == text
    assert read(values.Url, text + "/") == text


@pytest.mark.parametrize(
    "text",
    [
        "mail.example.org", "https://", "https:///x", "ftp://mail.example.org", "javascript:x",
        "http://mail.example.org", "http://127.0.0.1.example.org", "http://localhost.example",
        "https://mail.example.org/?x=1", "https://mail.example.org/#x", "https://u@mail.example.org",
        "https://mail.example.org:port", "https://mail.example.org/a b", "https://mail example.org",
        "https://mail.example.org/\r\nX: y", "https://mail.example.org/" + "x" * 200,
        "https://blåbär.example", "https://[::1", "https://mail.example.org/?",
    ],
)  # fmt: skip
def test_no_web_addresses(text):
    with pytest.raises(ValidationError):
        read(values.Url, text)


def test_texts_are_one_or_one_per_language():
    assert read(values.Texts, "News") == {"": "News"}
    assert read(values.Texts, {"sv": "Nytt", "en": "News"}) == {"sv": "Nytt", "en": "News"}
    assert read(values.Texts, "") == {}
    with pytest.raises(ValidationError, match="language tag"):
        read(values.Texts, {"Swedish": "Nytt"})


@pytest.mark.parametrize("text", ["a\r\nBcc: b", "a\nb", "a\0", "a\x85b"])
def test_text_that_could_break_a_header_is_refused(text):
    """R5322-6."""
    for kind, value in ((values.Line, text), (values.Texts, text), (values.Texts, {"sv": text})):
        with pytest.raises(ValidationError, match="line break"):
            read(kind, value)


def test_paths_start_from_the_folder():
    assert read(values.PathText, "tls/cert.pem") == Path("/etc/gatepost/tls/cert.pem")
    assert read(values.PathText, "/srv/cert.pem") == Path("/srv/cert.pem")
    assert read(values.PathText, "") is None
    with pytest.raises(ValidationError):
        read(values.SomePath, "")


def test_loopback():
    assert all(map(values.is_loopback, ["localhost", "127.0.0.1", "127.1.2.3", "::1"]))
    assert not any(map(values.is_loopback, ["0.0.0.0", "::", "192.0.2.1", "example.org", ""]))


def test_an_own_name_is_given_or_that_of_the_system():
    assert read(values.OwnName, "Relay.Example.org") == "relay.example.org"
    assert read(values.OwnName, "")
