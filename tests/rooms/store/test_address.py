"""The URL of a PostgreSQL, and which servers and libraries will do."""

import pytest

from gatepost.store.address import is_exposed, parameters, without_secrets
from gatepost.store.postgresql import check_library, check_server
from gatepost.store.trouble import StoreUnavailable


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgresql://gatepost@db.example.org/gatepost", "db.example.org", None),
        ("postgres://gatepost@db.example.org:5433/gatepost", "db.example.org", "5433"),
        ("postgresql://gatepost@[2001:db8::1]:5433/gatepost", "2001:db8::1", "5433"),
        ("postgresql:///gatepost?host=/run/postgresql", "/run/postgresql", None),
        (
            "postgresql://gatepost:p%40ss%2Fword@one.example:1,two.example:2/gatepost?sslmode=require",
            "one.example,two.example",
            "1,2",
        ),
    ],
)
def test_it_is_read_as_libpq_reads_it(url, host, port):
    found = parameters(url)
    assert (found["host"], found.get("port"), found["dbname"]) == (host, port, "gatepost")
    assert found.get("password") in (None, "p@ss/word")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://gatepost@db.example.org/gatepost", "is no address of a PostgreSQL"),
        ("postgresql://gatepost:kept-0815@[2001:db8::1/gatepost", "brackets"),
        ("postgresql://gatepost:kept%-0815@db.example.org/gatepost", "%25"),
        ("postgresql://gatepost:kept@0815@db.example.org/gatepost", "%40"),
        ("postgresql://gatepost:kept/0815@db.example.org/gatepost", "%2F"),
        ("postgresql://gatepost:12/kept-0815@db.example.org/gatepost", "%2F"),
        ("postgresql://gatepost:kept/?0815@db.example.org/gatepost", "%2F"),
        ("postgresql://gatepost:kept-0815@db.example.org:port/gatepost", "port that is no number"),
        ("postgresql://gatepost:kept-0815@db.example.org/gatepost?sslmoode=require", "sslmoode"),
        ("postgresql://gatepost:kept-0815@db.example.org/x?sslmode=on", "none of disable, allow"),
        ("postgresql://gatepost:kept-0815@db.example.org/gatepost?sslmode", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_explained_without_its_password(url, said):
    with pytest.raises(ValueError, match=said) as wrong:
        parameters(url)
    assert "0815" not in str(wrong.value)
    assert "kept" not in str(wrong.value)
    assert wrong.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://gatepost:kept%400815@one.example:1,two.example:2/gatepost?sslmode=require",
        "postgresql://gatepost@db.example.org/gatepost?sslkey=a.key&sslpassword=kept0815",
        "postgresql://db.example.org/gatepost?user=gatepost&password=kept0815&sslmode=require",
    ],
)
def test_it_can_be_shown(url):
    shown = without_secrets(url)
    assert "0815" not in shown
    assert "***" in shown
    assert shown.replace("***", "x").startswith(url[:21])
    assert without_secrets(shown) == shown


@pytest.mark.parametrize(
    ("rest", "exposed"),
    [
        ("@db.example.org/gatepost", True),
        ("@db.example.org/gatepost?sslmode=require", True),
        ("@db.example.org/gatepost?sslmode=verify-ca", True),
        ("@127.0.0.1,db.example.org/gatepost", True),
        ("@db.example.org/gatepost?sslmode=verify-full", False),
        ("@db.example.org/gatepost?sslrootcert=system", False),
        ("@127.0.0.1:5433/gatepost", False),
        ("@localhost,[::1]/gatepost", False),
        ("@/gatepost?host=/run/postgresql", False),
        ("@/gatepost", False),
    ],
)
def test_whether_others_could_read_along(rest, exposed):
    assert is_exposed(f"postgresql://gatepost{rest}") is exposed


def test_what_is_too_old_is_refused_with_the_cure():
    check_library(140000)
    with pytest.raises(StoreUnavailable, match=r"libpq 13 .* install psycopg\[binary\]"):
        check_library(130022)
    modern = {"server_version": "13.1", "server_encoding": "UTF8"}
    check_server(130001, modern.get)
    with pytest.raises(StoreUnavailable, match=r"PostgreSQL 12\.9 is too old: .* 13 or newer"):
        check_server(120009, (modern | {"server_version": "12.9"}).get)
    with pytest.raises(StoreUnavailable, match=r"LATIN1, .* ENCODING 'UTF8'"):
        check_server(130001, (modern | {"server_encoding": "LATIN1"}).get)
