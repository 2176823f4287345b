"""The scanner: offsets of what is there, and no trouble whatever is there."""

import mmap
from email import message_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings

from gatepost.mail import message as module
from gatepost.mail.message import Defect, scan, scan_fields
from support.mime_trees import HOSTILE, messages
from support.treatments import HEAD, message, multipart, multipart_part, part

quick = settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))


def test_fields_are_offsets_into_the_original():
    raw = b"From: a@example.org\r\nSubject: one\r\n two\r\nX:\r\n\r\nbody\r\n"
    scanned = scan(raw)
    subject = scanned.fields("SUBJECT")[0]
    assert raw[subject.start : subject.end] == b"Subject: one\r\n two\r\n"
    assert subject.name == b"subject"
    assert subject.value == b" one\r\n two"
    assert scanned.value("subject") == "one two"
    assert scanned.value("x") == scanned.value("absent") == ""
    assert scanned.body(scanned.root) == b"body\r\n"


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("Grüße".encode(), "Grüße"),
        ("Grüße".encode("latin-1"), "Grüße"),
        (b"=?utf-8?q?x?=", "=?utf-8?q?x?="),
    ],
)
def test_a_value_is_utf8_or_else_latin_1_and_encoded_words_stay(octets, text):
    assert scan(b"Subject: " + octets + b"\r\n\r\n").value("subject") == text


def test_all_values_from_top_to_bottom():
    assert scan(b"Received: a\r\nReceived: b\r\n\r\n").values("received") == ("a", "b")


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"A: b\r\n\r\nbody", b"body"),
        (b"A: b\n\nbody", b"body"),
        (b"\r\nbody", b"body"),
        (b"no header at all", b"no header at all"),
        (b"A: b\r\nbody without a separator\r\n", b"body without a separator\r\n"),
        (b" folded first line\r\nA: b\r\n", b" folded first line\r\nA: b\r\n"),
        (b"A: b", b""),
        (b"A: b\r\n \r\nB: c\r\n\r\nbody", b"body"),
        (b"A : b\r\n\r\nbody", b"body"),
        (b": no name\r\n\r\nbody", b": no name\r\n\r\nbody"),
        (b"", b""),
    ],
)
def test_where_the_body_begins(raw, body):
    scanned = scan(raw)
    assert scanned.body(scanned.root) == body
    assert (Defect.NO_SEPARATOR in scanned.defects) == (not scanned.root.separated)


def test_an_mbox_line_is_not_part_of_the_header():
    raw = b"From a@example.org Sat Jan  1 00:00:00 2028\r\nFrom: a@example.org\r\n\r\nx"
    scanned = scan(raw)
    assert raw[scanned.header_start :].startswith(b"From: a")
    assert scanned.value("from") == "a@example.org"


def test_the_tree_knows_parents_children_and_bodies():
    inner = multipart_part(
        "alternative", part(b"plain"), part(b"<p>html", "text/html"), boundary="in"
    )
    raw = multipart("mixed", inner, part(b"AAAA", "image/png", "base64"), boundary="out")
    scanned = scan(raw)
    assert [p.media for p in scanned.parts] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html", "image/png",
    ]  # fmt: skip
    assert [p.parent for p in scanned.parts] == [-1, 0, 1, 1, 0]
    assert scanned.root.children == (1, 4)
    assert [scanned.body(leaf) for leaf in scanned.leaves()] == [b"plain", b"<p>html", b"AAAA"]
    assert not scanned.defects


def test_what_a_part_says_about_itself():
    scanned = scan(
        multipart(
            "mixed",
            part(b"x", 'Text/HTML; Charset="ISO-8859-1"', "QUOTED-PRINTABLE"),
            part(
                b"y",
                "text/plain",
                more='Content-Disposition: ATTACHMENT;\r\n filename="a b.txt"\r\n',
            ),
            b"\r\nno header",
        )
    )
    _, html, attached, bare = scanned.parts
    assert (html.media, html.charset, html.encoding) == (
        "text/html",
        "iso-8859-1",
        "quoted-printable",
    )
    assert (attached.disposition, attached.filename, attached.is_attachment) == (
        "attachment",
        "a b.txt",
        True,
    )
    assert (bare.media, bare.charset, bare.encoding, bare.is_attachment) == (
        "text/plain",
        "us-ascii",
        "7bit",
        False,
    )


@pytest.mark.parametrize(
    ("delimited", "bodies"),
    [
        (b"--b\r\n\r\none\r\n--b  \t\r\n\r\ntwo\r\n--b--\r\n", [b"one", b"two"]),
        (b"--b\r\n\r\none\r\n--bb\r\n--b-\r\n-b\r\n--b--", [b"one\r\n--bb\r\n--b-\r\n-b"]),
        (b"--b\r\n\r\none\r\n--b\r\nnever ended", [b"one", b"never ended"]),
        (b"--b\r\n\r\n--b\r\nContent-Type: text/plain\r\n--b--", [b"", b""]),
        (b"--b\r\n\r\none\r\n--b--\r\n--b\r\n\r\nepilogue", [b"one"]),
    ],
)
def test_delimiters(delimited, bodies):
    scanned = scan(message(delimited, "multipart/mixed; boundary=b"))
    assert [scanned.body(p).rstrip(b"\r\n") for p in scanned.parts[1:]] == bodies


def test_an_outer_boundary_ends_the_inner_parts():
    inner = b"Content-Type: multipart/mixed; boundary=in\r\n\r\n--in\r\n\r\none\r\n"
    scanned = scan(
        message(
            b"--out\r\n" + inner + b"--out\r\n\r\ntwo\r\n--out--", "multipart/mixed; boundary=out"
        )
    )
    assert [p.parent for p in scanned.parts] == [-1, 0, 1, 0]
    assert Defect.UNCLOSED in scanned.defects


def test_a_thousand_nested_parts_are_taken_apart():
    raw = part(b"core")
    for depth in range(1000):
        raw = multipart_part("mixed", raw, boundary=f"b{depth}")
    scanned = scan(HEAD + raw)
    assert len(scanned.parts) == 1001
    assert scanned.body(scanned.parts[-1]) == b"core"


@pytest.mark.parametrize(
    ("raw", "defect"),
    [
        (
            message(b"--b\r\n\r\n" * (module.MAX_PARTS + 5), "multipart/mixed; boundary=b"),
            Defect.TOO_MANY_PARTS,
        ),
        (b"A: b\r\n" * (module.MAX_FIELDS + 5), Defect.TOO_MANY_FIELDS),
        (message(b"x", "multipart/mixed"), Defect.NO_BOUNDARY),
        (message(b"x", "multipart/mixed; boundary=b"), Defect.NO_PARTS),
        (b"From: a\r\nFrom: b\r\n\r\n", Defect.REPEATED_FIELD),
        (b"To: a\r\n\r\n", Defect.NO_FROM),
    ],
)
def test_bounds_and_defects(raw, defect):
    assert defect in scan(raw).defects


def test_nesting_beyond_the_bound_stays_in_one_piece():
    raw = part(b"core")
    for depth in range(module.MAX_DEPTH + 10):
        raw = multipart_part("mixed", raw, boundary=f"b{depth}")
    scanned = scan(HEAD + raw)
    assert Defect.TOO_DEEP in scanned.defects
    assert len(scanned.parts) == module.MAX_DEPTH + 1
    assert scanned.must_keep_its_body  # else a footer would be missing and nobody asked


def test_a_memory_map_is_as_good_as_octets():
    raw = multipart("mixed", part(b"one"), part(b"two", "text/html"))
    with mmap.mmap(-1, len(raw)) as mapped:
        mapped[:] = raw
        scanned = scan(mapped)
        assert [scanned.body(p) for p in scanned.leaves()] == [b"one", b"two"]
        assert scanned.value("subject") == "News"


@pytest.mark.parametrize(
    ("raw", "is_secured"),
    [
        (multipart("signed", part(b"x"), part(b"y", "application/pgp-signature")), True),
        (multipart("encrypted", part(b"x")), True),
        (multipart("mixed", multipart_part("signed", part(b"x"), boundary="in")), True),
        (message(b"AAAA", "application/pkcs7-mime", "base64"), True),
        (message(b"Hi\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n"), True),
        (message(b"-----BEGIN PGP MESSAGE-----\r\n"), True),
        (message(b"LS0tLS1CRUdJTiBQR1AgTUVTU0FHRS0tLS0tCg==", encoding="base64"), True),
        (message(b"=2D----BEGIN PGP MESSAGE-----\r\n", encoding="quoted-printable"), True),
        (message(b"=3E -----BEGIN PGP MESSAGE-----\r\n", encoding="quoted-printable"), False),
        (multipart("mixed", part(b"Version: 1", "application/pgp-encrypted")), True),
        (message(b"AAAA", 'application/octet-stream; name="smime.P7M"', "base64"), True),
        (multipart("mixed", part(b"x", 'application/octet-stream; name="smime.p7m"')), False),
        (message(b"> -----BEGIN PGP MESSAGE-----\r\n"), False),
        (message(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n"), False),
        (multipart("mixed", part(b"x")), False),
    ],
)
def test_what_is_signed_or_encrypted(raw, is_secured):
    assert scan(raw).is_signed_or_encrypted is is_secured


def test_whether_it_carries_dkim():
    assert scan(b"DKIM-Signature: v=1\r\n\r\n").carries_dkim
    assert not scan(HEAD).carries_dkim


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "text"),
    [
        (b"gr=FC=DFe=\r\n!", "text/plain; charset=iso-8859-1", "quoted-printable", "grüße!\r\n"),
        (b"Z3LDvMOfZQ==", "text/plain; charset=utf-8", "base64", "grüße"),
        (b"Z3LDv\r\n  MOfZQ", "text/plain; charset=utf-8", "base64", "grüße"),
        (b"\x93hi\x94", "text/plain; charset=iso-8859-1", "8bit", "“hi”\r\n"),
        (b"gr\xfc", "text/plain; charset=x-nobody", "8bit", "grü\r\n"),
    ],
)
def test_the_text_of_a_part(body, content_type, encoding, text):
    scanned = scan(message(body, content_type, encoding))
    assert scanned.text(scanned.root) == text


def test_the_fields_of_any_header():
    assert [field.text for field in scan_fields(b"junk\r\nA: b\r\n\r\nC: d", 6)] == ["b"]


@quick
@given(HOSTILE)
def test_never_raises_and_offsets_are_in_order(raw):
    for scanned in (scan(raw), scan(HEAD + raw)):
        for index, found in enumerate(scanned.parts):
            assert (
                0
                <= found.start
                <= found.header_end
                <= found.body_start
                <= found.end
                <= len(scanned.raw)
            )
            assert found.index == index
            for child in found.children:
                inside = scanned.parts[child]
                assert (
                    found.body_start
                    <= inside.start
                    <= inside.end
                    <= max(found.end, inside.body_start)
                )
            scanned.text(found)
        assert isinstance(scanned.is_signed_or_encrypted, bool)


@quick
@given(messages())
def test_the_standard_library_sees_the_same_tree(raw):
    scanned = scan(raw)
    walked = list(message_from_bytes(raw).walk())
    assert [p.media for p in scanned.parts] == [p.get_content_type() for p in walked]
    for ours, theirs in zip(scanned.parts, walked, strict=True):
        if not ours.is_multipart:
            assert scanned.content(ours) == theirs.get_payload(decode=True)
