"""Charsets under the names that mail has for them, and where ASCII is ASCII in them."""

import pytest

from gatepost.mail.charset import find_charset


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("", "ascii"), ("US-ASCII", "ascii"), (" UTF-8 ", "utf-8"), ("unknown-8bit", "ascii"),
        ("ANSI_X3.4-1968", "ascii"), ("latin1", "iso8859-1"), ("iso88591", "iso8859-1"),
        ("windows-31j", "cp932"), ("x-sjis", "shift_jis"), ("ks_c_5601-1987", "euc_kr"),
        ("gb_2312-80", "gb2312"), ("cp-850", "cp850"), ("iso-8859-8-i", "iso8859-8"),
        ("iso-2022-jp", "iso2022_jp"), ("koi8-r", "koi8-r"), ("Windows-1252", "cp1252"),
    ],
)  # fmt: skip
def test_names(name, codec):
    assert find_charset(name).codec == codec


@pytest.mark.parametrize(
    "name",
    ["utf-16", "utf-16le", "utf-32", "utf-7", "hz", "cp037", "viscii", "rot13", "hex", "base64",
     "idna", "punycode", "unicode_escape", "utf-8-sig", "x-klingon", "../../etc/passwd", "a" * 50, "é",
     "raw_unicode_escape", "undefined", "a\0b"],
)  # fmt: skip
def test_what_ascii_cannot_be_put_into_is_unknown(name):
    assert find_charset(name) is None


@pytest.mark.parametrize(
    ("name", "before", "is_ascii"),
    [
        ("iso-2022-jp", b"", True),
        ("iso-2022-jp", b"\x1b$B$3", False),
        ("iso-2022-jp", b"\x1b$B$3\x1b(B", True),
        ("iso-2022-jp", b"\x1b$B$3\r\n", True),
        ("iso-2022-jp", b"x" * 5000, False),
        ("iso-2022-kr", b"\x1b$)C\r\n\x0e3", False),
        ("iso-2022-kr", b"\x1b$)C\r\n\x0e3\x0f", True),
        ("shift_jis", b"\x83", False),
        ("shift_jis", b"\x83{", True),
        ("gb18030", b"\x81\x30\x8a", False),
        ("gb18030", b"\x81\x30\x8a\x32", True),
        ("utf-8", b"\xc3", True),  # what follows is not taken along
        ("us-ascii", b"\xff", True),
    ],
)
def test_where_ascii_is_ascii(name, before, is_ascii):
    assert find_charset(name).is_ascii_at(before, len(before)) is is_ascii


@pytest.mark.parametrize(
    ("name", "octets", "text"),
    [
        ("iso-8859-1", b"\x93\xe5\x94", "“å”"),
        ("iso-8859-1", b"\x81", "\x81"),
        ("us-ascii", "å".encode(), "å"),
        ("us-ascii", b"\xe5", None),
        ("koi8-r", b"\xd6", "ж"),
    ],
)
def test_what_a_reader_sees(name, octets, text):
    assert find_charset(name).decode(octets) == text
