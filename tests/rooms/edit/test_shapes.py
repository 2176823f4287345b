"""The footer in every common shape, encoding and charset, as byte edits (R5322-5, ME-3)."""

import binascii
import quopri
import re
from dataclasses import replace

import pytest

from gatepost.flow.edit import Slot, apply
from gatepost.flow.edit.leaves import takes_footer
from gatepost.mail.lines import normalize
from gatepost.mail.message import scan
from support.treatments import (
    BULK,
    CHOOSE,
    HEAD,
    LEAVE,
    NOT_BULK,
    POLISH,
    SWEDISH,
    TOKENS,
    TREATMENT,
    UNSUBSCRIBE,
    body_of,
    copy_of,
    message,
    multipart,
    multipart_part,
    part,
    plan_of,
    read,
    texts,
    with_bulk,
)  # fmt: skip

FOOTER_LINES = [
    "-- ",
    "Acme AB",
    "Storgatan 1, 111 22 Stockholm",
    f"Leave: {LEAVE}",
    f"Choose: {CHOOSE}",
]
HTML = "<html><body><p>Hej på dig</p></body></html>\r\n"
TEXT = "Hej på dig\r\n"


def encode(text, charset, encoding):
    octets = text.encode(charset)
    if encoding == "base64":
        return binascii.b2a_base64(octets)
    if encoding == "quoted-printable":
        return quopri.encodestring(octets.replace(b"\r\n", b"\n"))
    return octets


ENCODED = [
    (charset, encoding)
    for charset in (
        "us-ascii",
        "iso-8859-1",
        "windows-1252",
        "utf-8",
        "iso-8859-15",
        "koi8-r",
        "big5",
    )
    for encoding in ("7bit", "8bit", "quoted-printable", "base64")
]


@pytest.mark.parametrize(("charset", "encoding"), ENCODED)
@pytest.mark.parametrize(
    "footer", [BULK.footer, SWEDISH, POLISH], ids=["ascii", "swedish", "polish"]
)
def test_text_and_html_in_each_charset_and_encoding(charset, encoding, footer):
    plain_ascii = encoding == "7bit" or charset in {"us-ascii", "koi8-r", "big5"}
    said, markup = (t.replace("å", "a") if plain_ascii else t for t in (TEXT, HTML))
    raw = multipart(
        "alternative",
        part(encode(said, charset, encoding), f"text/plain; charset={charset}", encoding),
        part(encode(markup, charset, encoding), f"text/html; charset={charset}", encoding),
    )
    plain, html = texts(copy_of(raw, with_bulk(footer=footer)))
    expected = footer.text.replace("{{unsubscribe_url}}", LEAVE).replace(
        "{{preferences_url}}", CHOOSE
    )
    assert plain.startswith(said)
    assert plain[len(said) :].strip("\r\n").splitlines() == expected.strip("\n").splitlines()
    before, after = markup.split("</body>")
    assert html.startswith(before)
    assert html.endswith("</body>" + after)
    assert LEAVE in html
    words = re.sub("<[^>]*>", "", footer.html)[:20]
    assert words[:20] in html or all(f"&#{ord(c)};" in html for c in words if ord(c) > 127)


@pytest.mark.parametrize("encoding", ["", "7bit", "8bit", "quoted-printable", "base64"])
def test_one_text_part_keeps_its_last_line_end(encoding):
    raw = message(
        encode("Hello\r\n", "us-ascii", encoding), "text/plain; charset=us-ascii", encoding
    )
    (said,) = texts(copy_of(raw))
    assert said == "\r\n".join(["Hello", "", *FOOTER_LINES, ""])


def test_no_content_type_at_all():
    raw = HEAD.replace(b"MIME-Version: 1.0\r\n", b"") + b"\r\nHello\r\n"
    assert body_of(copy_of(raw)) == "\r\n".join(["Hello", "", *FOOTER_LINES, ""]).encode()


def test_no_content_type_and_a_footer_that_needs_one():
    raw = HEAD.replace(b"MIME-Version: 1.0\r\n", b"") + b"\r\nHello = 1\r\n"
    copy = copy_of(raw, with_bulk(footer=SWEDISH))
    assert read(copy)["MIME-Version"] == "1.0"
    assert copy.count(b"MIME-Version") == 1
    assert texts(copy)[0].startswith("Hello = 1\r\n\r\nDu får det här")


@pytest.mark.parametrize("encoding", ["7bit", "quoted-printable", "base64"])
@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_empty_bodies(kind, encoding):
    alone = copy_of(message(b"", kind, encoding).removesuffix(b"\r\n") + b"")
    assert LEAVE in texts(alone)[0]
    assert alone.endswith(b"\r\n")
    copy = copy_of(multipart("mixed", part(b"", kind, encoding), part(b"x", "image/png")))
    assert LEAVE in texts(copy)[0]
    assert [p.get_content_type() for p in read(copy).walk()] == [
        "multipart/mixed",
        kind,
        "image/png",
    ]


def test_a_header_without_a_body_gets_its_empty_line():
    assert body_of(copy_of(HEAD)).startswith(b"-- \r\nAcme AB")


def test_a_missing_empty_line_is_put_in():
    copy = copy_of(HEAD + b"Hello, this is no field\r\n")
    assert body_of(copy).startswith(b"Hello, this is no field\r\n\r\n-- \r\n")


PNG = part(b"iVBORw0KGgo=", "image/png", "base64")
FILE = part(b"notes", "text/plain", more='Content-Disposition: attachment; filename="a.txt"\r\n')
NAMED = part(b"notes", 'text/plain; name="a.txt"')
FORWARDED = part(b"From: b@example.org\r\n\r\nforwarded", "message/rfc822")
CALENDAR = part(b"BEGIN:VCALENDAR", "text/calendar")
AMP = part(b"<html amp4email><body>amp</body></html>", "text/x-amp-html")
PLAIN = part(b"plain")
WEB = part(b"<p>html</p>", "text/html")
ALTERNATIVE = multipart_part("alternative", PLAIN, AMP, WEB, boundary="alt")


@pytest.mark.parametrize(
    ("raw", "footed"),
    [
        (multipart("alternative", PLAIN, WEB), [0, 1]),
        (multipart("alternative", PLAIN, AMP, WEB, CALENDAR), [0, 2]),
        (multipart("mixed", PLAIN, FILE, NAMED, FORWARDED), [0]),
        (multipart("mixed", WEB, PNG), [0]),
        (multipart("mixed", PLAIN, WEB, PNG), [0, 1]),
        (multipart("mixed", PLAIN, part(b"second"), PNG), [0]),
        (multipart("mixed", PLAIN, PNG, part(b"after the picture")), [0]),
        (multipart("mixed", PNG, PLAIN), [0]),
        (multipart("mixed", FILE, PLAIN), [1]),
        (multipart("mixed", ALTERNATIVE, PNG, part(b"list footer")), [0, 2]),
        (multipart("related", WEB, PNG), [0]),
        (multipart('related; start="<r@x>"', PNG, part(b"<p>", "text/html", more="Content-ID: <r@x>\r\n")), [0]),
        (multipart("related", ALTERNATIVE, PNG), [0, 2]),
        (multipart("alternative", PLAIN, multipart_part("related", WEB, PNG, boundary="rel")), [0, 1]),
        (multipart("mixed", multipart_part("related", ALTERNATIVE, PNG, boundary="rel"), FILE), [0, 2]),
        (multipart("alternative", PLAIN, part(b"<p>", 'text/html; name="mail.html"')), [0, 1]),
        (multipart("alternative", PLAIN, part(b"<p>", "text/html", more='Content-Disposition: inline; filename="a.html"\r\n')), [0, 1]),
        (multipart("alternative", PLAIN, part(b"<p>", "text/html", more="Content-Disposition: attachment\r\n")), [0]),
        (multipart("related", PNG, WEB), [0]),
        (multipart("mixed", multipart_part("appledouble", PNG, PNG, boundary="mac"), PLAIN), [0]),
        (multipart("unheard-of", PLAIN), [0]),
        (multipart("report", PLAIN, part(b"Action: failed", "message/delivery-status")), []),
        (multipart("digest", FORWARDED), []),
        (message(b"BEGIN:VCALENDAR", "text/calendar"), []),
        (message(b"x", "application/pdf"), []),
    ],
)  # fmt: skip
def test_which_texts_take_the_footer(raw, footed):
    copy = copy_of(raw)
    assert [index for index, text in enumerate(texts(copy)) if LEAVE in text] == footed
    old, new = list(read(raw).walk()), list(read(copy).walk())
    assert [p.get_content_type() for p in new] == [p.get_content_type() for p in old]
    notes = plan_of(raw).notes
    assert bool(notes) == (not footed)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (multipart("signed", PLAIN, part(b"s", "application/pgp-signature")), "signed"),
        (message(b"-----BEGIN PGP MESSAGE-----\r\n"), "signed"),
        (message(b"caf\xe9", "text/plain; charset=x-nobody", "8bit"), "x-nobody"),
        (message("hé".encode("utf-16"), "text/plain; charset=utf-16", "8bit"), "utf-16"),
        (message(b"AAA=A", "text/plain", "base64"), "base64"),
        (message(b"x", "text/plain", "x-uuencode"), "x-uuencode"),
        (multipart("mixed", b"Content-Type: text/plain\r\nnot a field"), "no empty line"),
    ],
)
def test_what_cannot_be_edited_is_left_alone_and_said_so(raw, why):
    assert body_of(copy_of(raw)) == body_of(raw)
    assert any(why in note for note in plan_of(raw).notes)


def test_headers_only():
    raw = message(b"Hello {{unsubscribe_url}}")
    copy = copy_of(raw, with_bulk(headers_only=True))
    assert body_of(copy) == body_of(raw)
    assert read(copy)["List-Unsubscribe"]


def test_not_bulk_keeps_body_and_list_fields():
    raw = message(
        b"{{unsubscribe_url}}\r\n", head=HEAD + b"List-Unsubscribe: <mailto:a@b.example>\r\n"
    )
    made = plan_of(raw, NOT_BULK)
    assert made.slots == {}
    assert apply(made, {}) == NOT_BULK.received + raw


@pytest.mark.parametrize(
    ("charset", "encoding", "octets", "label"),
    [
        ("us-ascii", "7bit", b"a = b\r\n", 'charset="utf-8"'),
        ("iso-8859-1", "8bit", b"\x93hi\x94 \xe5\r\n", 'charset="utf-8"'),
        ("iso-8859-2", "8bit", b"\xb1\r\n", "charset=iso-8859-2"),
        ("iso-2022-jp", "7bit", "日本\r\n".encode("iso-2022-jp"), 'charset="utf-8"'),
        ("us-ascii", "8bit", "åä\r\n".encode(), 'charset="utf-8"'),
    ],
)
def test_a_text_that_cannot_say_the_footer_becomes_utf8(charset, encoding, octets, label):
    raw = message(octets, f"text/plain; charset={charset}; format=fixed", encoding)
    copy = copy_of(raw, with_bulk(footer=POLISH))
    assert f"text/plain; {label}; format=fixed" in read(copy)["Content-Type"]
    assert "Wypisz się: " + LEAVE in texts(copy)[0]
    seen = {"iso-8859-1": "cp1252", "us-ascii": "utf-8"}.get(charset, charset)
    assert texts(copy)[0].startswith(octets.decode(seen))


def test_a_text_that_is_not_in_its_charset_is_not_widened():
    raw = message(b"\xff\xfe\r\n", "text/plain; charset=us-ascii", "8bit")
    copy = copy_of(raw, with_bulk(footer=POLISH))
    assert body_of(copy).startswith(body_of(raw))
    assert read(copy)["Content-Type"] == "text/plain; charset=us-ascii"


@pytest.mark.parametrize(
    ("charset", "octets", "said"),
    [
        ("", b"Hej p\xe5 dig\r\n", "ß å \u2013 Lódz ? ".encode("cp1252")),
        ("us-ascii", b"Hej p\xe5 dig\r\n", "ß å \u2013 Lódz ? ".encode("cp1252")),
        ("windows-1252", b"Hej \x81\r\n", "ß å \u2013 Lódz ? ".encode("cp1252")),
        ("shift_jis", b"\x87\x40 x\r\n", b"ss a - Lodz ? "),
        ("gb2312", b"\xe9F\xbb\xf9 x\r\n", "ss a - Lódz ? ".encode("gb2312")),
        ("iso-2022-jp", b"\x1b$B-!\r\n", b"\x1b(B\r\nss a - Lodz ? "),
        ("iso-2022-jp", b"\x1b$B-!\x1b(B\r\n", b"\x1b(B\r\nss a - Lodz ? "),
        ("euc-kr", b"\x81\x41 x\r\n", "ß a - Łodz ? ".encode("euc-kr")),
    ],
)
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_a_text_that_is_not_in_its_charset_has_its_link_all_the_same(
    charset, octets, said, encoding
):
    footer = replace(BULK.footer, text="ß å \u2013 Łódź ☃ {{unsubscribe_url}}")
    kind = f"text/plain; charset={charset}" if charset else "text/plain"
    body = {"quoted-printable": quopri.encodestring, "base64": binascii.b2a_base64}
    raw = message(body.get(encoding, bytes)(octets), kind, encoding)
    copy = copy_of(raw, with_bulk(footer=footer))
    content = read(copy).get_payload(decode=True)
    assert content.startswith(octets)
    assert said + LEAVE.encode() in content
    assert read(copy)["Content-Type"] == kind
    assert takes_footer(scan(raw))


NOT_BASE64 = part(b"PHA+aGk8L3A+!", "text/html", "base64")


@pytest.mark.parametrize(
    "body", [b"PHA+aGVsbG8", b"PHA+aGVsbG8==", b"PHA+aGVs\r\nbG8\r\n", b"PHA+aGVsbA===="]
)
def test_padding_that_is_missing_or_too_long_is_no_riddle(body):
    raw = message(body, "text/html; charset=utf-8", "base64")
    said = texts(copy_of(raw))[0]
    assert said.startswith("<p>hell")
    assert said.index(LEAVE) > said.index("hell")
    assert takes_footer(scan(raw))


@pytest.mark.parametrize(
    "raw",
    [
        message(b"PHA+aGk8L3A+!", "text/html", "base64"),
        message(b"PHA+aGVsbA==\r\nPHA+aGVsbA==", "text/html", "base64"),
        multipart("alternative", PLAIN, NOT_BASE64),
        multipart("alternative", PLAIN, part(b"PABwAD4A", "text/html; charset=utf-16", "base64")),
        multipart("alternative", PLAIN, part(b"<p>", "text/html", "x-uuencode")),
        multipart("alternative", PLAIN, b"Content-Type: text/html\r\n<p>not a field</p>"),
    ],
)
def test_a_footer_that_not_every_reader_would_see_is_none(raw):
    assert not takes_footer(scan(raw))
    assert plan_of(raw).notes


def test_swedish_words_in_a_7bit_text_make_it_quoted_printable():
    raw = message(b"a = b \r\n", "text/plain; charset=utf-8", "7bit")
    copy = copy_of(raw, with_bulk(footer=SWEDISH))
    assert read(copy)["Content-Transfer-Encoding"] == "quoted-printable"
    assert copy.isascii()
    assert texts(copy)[0].startswith("a = b \r\n\r\nDu får")


@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
@pytest.mark.parametrize("encoding", ["7bit", "8bit", "quoted-printable", "base64", ""])
def test_a_20000_character_line_leaves_legally(kind, encoding):
    said = "<p>" + "word =3D " * 2300 + "{{unsubscribe_url}}</p>"
    octets = (
        said.encode() if encoding != "base64" else binascii.b2a_base64(said.encode(), newline=False)
    )
    copy = copy_of(message(octets, kind, encoding))
    assert max(map(len, copy.split(b"\r\n"))) <= 998
    expected = quopri.decodestring(octets).decode() if encoding == "quoted-printable" else said
    assert texts(copy)[0].startswith(expected.replace("{{unsubscribe_url}}", LEAVE))


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [("text/html; charset=x-nobody", "base64"), ("text/html", "quoted-printable"),
     ("application/json", "base64"), ("text/plain; charset=iso-2022-jp", "base64")],
)  # fmt: skip
def test_long_lines_are_made_legal_in_mail_that_is_not_bulk(content_type, encoding):
    raw = message(b"x" * 5000 + b"\r\ny\r\n", content_type, "8bit")
    copy = copy_of(raw, NOT_BULK)
    assert max(map(len, copy.split(b"\r\n"))) <= 998
    assert read(copy)["Content-Transfer-Encoding"] == encoding
    assert read(copy).get_payload(decode=True) == b"x" * 5000 + b"\r\ny\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        multipart("signed", part(b"x" * 2000), part(b"y", "application/pgp-signature")),
        message(b"From: a\r\n\r\n" + b"x" * 2000, "message/rfc822"),
        multipart("mixed", part(b"x")).replace(
            b"\r\n\r\n--", b"\r\n\r\n" + b"z" * 2000 + b"\r\n--", 1
        ),
    ],
)
def test_long_lines_that_must_stay_are_said_so(raw):
    assert body_of(copy_of(raw, NOT_BULK)) == body_of(raw)
    assert plan_of(raw, NOT_BULK).notes


def test_placeholders_in_every_encoding_also_split_by_soft_breaks():
    said = "See {{unsubscribe_url}}, {{preferences_url}} and {{sender_identity}}.\r\n"
    expected = f"See {LEAVE}, {CHOOSE} and {BULK.identity_text}.\r\n"
    for encoding in ("7bit", "8bit", "quoted-printable", "base64"):
        raw = message(encode(said, "us-ascii", encoding), "text/plain", encoding)
        assert texts(copy_of(raw)) == [expected]
    split = b"See {{unsub=\r\nscribe_url}}, {=7Bpreferences=5Furl}=\r\n} and {{sender_=\r\nidentity}}.\r\n"
    assert texts(copy_of(message(split, "text/plain", "quoted-printable"))) == [expected]


@pytest.mark.parametrize(
    "spelled",
    ["{{unsubscribe_url}}", "{{ unsubscribe_url }}", "http://{{unsubscribe_url}}", "%7B%7Bunsubscribe_url%7D%7D",
     "https://%7b%7bUNSUBSCRIBE_URL%7d%7d"],
)  # fmt: skip
def test_how_composing_tools_spell_a_placeholder(spelled):
    raw = message(f'<a href="{spelled}">x</a>{{{{sender_identity}}}}\r\n'.encode(), "text/html")
    assert texts(copy_of(raw)) == [f'<a href="{LEAVE}">x</a>{BULK.identity_html}\r\n']


@pytest.mark.parametrize(
    ("said", "complete"),
    [
        ("{{unsubscribe_url}} {{sender_identity}}", True),
        ("{{unsubscribe_url}} ACME  AB, Storgatan 1,\r\n111 22  Stockholm", True),
        ("{{unsubscribe_url}} Acme AB", False),
        ("{{sender_identity}}", False),
        ("{{preferences_url}} {{sender_identity}}", False),
    ],
)
def test_footer_auto(said, complete):
    raw = message(said.encode())
    assert ("-- \r\n" not in texts(copy_of(raw))[0]) == complete
    assert "-- \r\n" in texts(copy_of(raw, with_bulk(footer_always=True)))[0]


def test_footer_auto_sees_through_markup():
    raw = message(
        b"{{unsubscribe_url}} <b>Acme</b> AB<!-- x --><br>Storgatan&nbsp;1, 111&#32;22 Stockholm",
        "text/html",
    )
    assert "Leave" not in texts(copy_of(raw))[0]
    hidden = message(
        b"{{unsubscribe_url}} <!-- Acme AB Storgatan 1, 111 22 Stockholm -->", "text/html"
    )
    assert "Leave" in texts(copy_of(hidden))[0]


@pytest.mark.parametrize(
    ("spelled", "counts"),
    [
        ('<a class="x" href="{{unsubscribe_url}}">Leave</a>', True),
        ("<AREA\r\nhref={{unsubscribe_url}}>", True),
        ("1 < 2, {{unsubscribe_url}}", True),
        ("<!-- {{unsubscribe_url}} -->", False),
        ('<!--[if mso]><a href="{{unsubscribe_url}}">Leave</a><![endif]-->', False),
        ('<script type="application/ld+json">{"url": "{{unsubscribe_url}}"}</script>', False),
        ('<link rel="help" href="{{unsubscribe_url}}">', False),
        ('<img src="x.png" alt="{{unsubscribe_url}}">', False),
        ("<style>/* {{unsubscribe_url}} */</style>", False),
    ],
)
def test_footer_auto_counts_links_that_can_be_followed(spelled, counts):
    raw = message(f"<p>Acme AB, Storgatan 1, 111 22 Stockholm</p>{spelled}".encode(), "text/html")
    said = texts(copy_of(raw))[0]
    assert (BULK.footer.html.partition("<a")[0] not in said) == counts
    assert "{{" not in said


def test_flowed_text_neither_flows_into_the_footer_nor_quotes_it():
    footer = replace(BULK.footer, text="-- \nline \n>quoted\nFrom us\n{{unsubscribe_url}}")
    raw = message(b"flows \r\non\r\n", "text/plain; format=flowed")
    said = texts(copy_of(raw, with_bulk(footer=footer)))[0]
    assert said == f"flows \r\non\r\n\r\n-- \r\nline\r\n >quoted\r\n From us\r\n{LEAVE}\r\n"


def test_line_ends_inside_base64_are_those_of_the_text():
    raw = message(binascii.b2a_base64(b"one\ntwo\n"), "text/plain", "base64")
    assert texts(copy_of(raw))[0] == "\n".join(["one", "two", "", *FOOTER_LINES, ""])


def test_only_the_end_of_a_base64_part_changes():
    said = "x" * 600
    raw = normalize(message(encode_lines(said.encode()), "text/plain", "base64"))
    copy = copy_of(raw)
    start = raw.index(b"\r\n\r\n") + 4
    assert raw[start : start + 700] in copy
    assert max(map(len, body_of(copy).split())) <= 76


def encode_lines(octets):
    lines = [octets[at : at + 57] for at in range(0, len(octets), 57)]
    return b"\r\n".join(binascii.b2a_base64(line, newline=False) for line in lines)


@pytest.mark.parametrize("shift", range(0, 80, 7))
def test_base64_slots_in_every_phase_and_over_every_line_end(shift):
    raw = message(
        binascii.b2a_base64(b"x" * shift + b" {{unsubscribe_url}}{{preferences_url}}!"),
        "text/plain",
        "base64",
    )
    said = texts(copy_of(raw))[0]
    assert said.startswith("x" * shift + f" {LEAVE}{CHOOSE}!")


def test_quoted_printable_lines_stay_short_and_slots_whole():
    raw = message(
        b"y" * 70 + b" {{unsubscribe_url}} =E5--{{preferences_url}}--=_b =3D\r\n",
        "text/plain",
        "quoted-printable",
    )
    copy = copy_of(raw)
    assert max(map(len, body_of(copy).split(b"\r\n"))) <= 76
    assert body_of(copy).count(UNSUBSCRIBE.encode()) == 2
    assert (
        body_of(copy).count(b"\r\n--") == 1
    )  # the footer's own, nothing that looks like a delimiter


def test_tokens_are_checked():
    made = plan_of(message(b"x"))
    assert made.slots == {Slot.UNSUBSCRIBE: 49, Slot.PREFERENCES: 49, Slot.MAILTO: 49}
    for bad in (b"", b"a" * 48, b"a" * 48 + b"\n", b"a" * 48 + b">"):
        with pytest.raises(ValueError, match="token"):
            apply(made, {**TOKENS, Slot.MAILTO: bad})


@pytest.mark.parametrize("encoding", ["7bit", "quoted-printable", "base64"])
def test_a_copy_that_is_sent_on_as_a_mailing_leaves_nobody_elses_link(encoding):
    web = part(encode(HTML, "utf-8", encoding), "text/html; charset=utf-8", encoding)
    got = copy_of(multipart("alternative", PLAIN, web))
    assert all(UNSUBSCRIBE in text for text in texts(got))
    tokens = {slot: octets.swapcase()[::-1] for slot, octets in TOKENS.items()}
    again = copy_of(got, tokens=tokens)
    theirs = {slot: octets.decode() for slot, octets in tokens.items()}
    assert len(texts(again)) == 2
    for text in texts(again):
        assert UNSUBSCRIBE not in text
        assert TOKENS[Slot.PREFERENCES].decode() not in text
        assert theirs[Slot.UNSUBSCRIBE] in text
        assert theirs[Slot.PREFERENCES] in text
    longer = message(f"{LEAVE}x https://other.example/u/{UNSUBSCRIBE}".encode())
    assert body_of(copy_of(longer)).startswith(body_of(longer).rstrip())


def test_a_line_that_begins_like_a_delimiter_does_not_become_one():
    raw = multipart("mixed", part(b"<p>\r\n--=_b</html>", "text/html"), FILE)
    copy = copy_of(raw)
    assert [p.get_content_type() for p in read(copy).walk()] == [
        "multipart/mixed", "text/html", "text/plain",
    ]  # fmt: skip
    assert LEAVE in texts(copy)[0]


def test_two_recipients_differ_in_their_tokens_only():
    raw = multipart(
        "alternative",
        PLAIN,
        part(encode(HTML, "utf-8", "base64"), "text/html; charset=utf-8", "base64"),
    )
    made = plan_of(raw, TREATMENT)
    one = apply(made, TOKENS)
    other = apply(made, {**TOKENS, Slot.UNSUBSCRIBE: b"Z" * 49})
    assert len(one) == len(other)
    assert texts(other) == [text.replace(UNSUBSCRIBE, "Z" * 49) for text in texts(one)]


def test_8bit_is_known():
    assert plan_of(message("å\r\n".encode(), "text/plain; charset=utf-8", "8bit")).eight_bit
    assert not plan_of(message(b"a\r\n", "text/plain; charset=utf-8", "8bit")).eight_bit
