"""The header: what is added, removed, replaced and folded, as octets (R8058-1..3, R2369, R2919)."""

import re
from dataclasses import replace

import pytest

from gatepost.flow.edit import TreatmentError
from support.treatments import (
    BULK,
    CHOOSE,
    HEAD,
    LEAVE,
    NOT_BULK,
    TRACE,
    TREATMENT,
    copy_of,
    message,
    plan_of,
    read,
    with_bulk,
)  # fmt: skip

RAW = message(b"Hello\r\n")


def header_of(copy):
    return copy.partition(b"\r\n\r\n")[0] + b"\r\n"


def test_a_bulk_header_byte_for_byte():
    expected = (
        TRACE
        + HEAD
        + b"Content-Type: text/plain\r\n"
        + (
            f"List-Unsubscribe: <{LEAVE}>, <mailto:leave@acme.example?subject={'m' * 49}>\r\n"
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
            "List-Id: Monthly <newsletter.acme.example>\r\n"
            f"List-Help: <{CHOOSE}>\r\n"
            "List-Post: NO\r\n"
        ).encode()
    )
    assert header_of(copy_of(RAW)) == expected


def test_r8058_1_to_3_one_pair_https_first_unfolded():
    mailers = (
        b"LIST-UNSUBSCRIBE: <http://esp.example/x>,\r\n <mailto:x@esp.example>\r\nList-Unsubscribe-Post: x\r\n"
        b"List-unsubscribe: <https://esp.example/y>\r\nList-Id: <foreign.esp.example>\r\nList-Help: <a:b>\r\n"
        b"List-Archive: <https://acme.example/archive>\r\nList-Subscribe: <a:b>\r\nList-Owner: <a:b>\r\nList-Post: <a:b>\r\n"
    )
    raw = message(b"x", head=HEAD + mailers)
    copy = read(copy_of(raw))
    for name in ("List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "List-Help", "List-Post"):
        assert len(copy.get_all(name)) == 1
    assert copy["List-Unsubscribe"].startswith("<https://mail.example.org/u/")
    assert copy["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert copy["List-Archive"] == "<https://acme.example/archive>"  # R2369-3: a sublist leaves it
    assert copy["List-Subscribe"] is copy["List-Owner"] is None
    for line in re.findall(rb"(?m)^List-[^\n]*", copy_of(raw)):
        assert len(line) < 998
    assert plan_of(raw).replaced_headers[0] == (
        "list-unsubscribe", "<http://esp.example/x>, <mailto:x@esp.example>",
    )  # fmt: skip
    assert len(plan_of(raw).replaced_headers) == 8


def test_without_mailto_help_and_with_feedback_id():
    raw = message(b"x", head=HEAD + b"Feedback-ID: theirs\r\n")
    copy = read(
        copy_of(
            raw, with_bulk(mailto="", help_url="mailto:help@acme.example", feedback_id="a:b:c:gp")
        )
    )
    assert copy["List-Unsubscribe"] == f"<{LEAVE}>"
    assert copy["List-Help"] == "<mailto:help@acme.example>"
    assert copy.get_all("Feedback-ID") == ["a:b:c:gp"]
    assert read(copy_of(raw))["Feedback-ID"] == "theirs"


def test_a_bare_list_label_gets_its_brackets():
    assert (
        read(copy_of(RAW, with_bulk(list_id="news.acme.example")))["List-Id"]
        == "<news.acme.example>"
    )


@pytest.mark.parametrize("treatment", [NOT_BULK, TREATMENT])
def test_what_must_not_be_seen_is_removed(treatment):
    secret = (
        b"Bcc: a@b.example,\r\n c@d.example\r\nbcc : e@f.example\r\nReturn-Path: <x@y.example>\r\n"
        b"X-Gatepost-Stream: news\r\nx-GATEPOST-anything: 1\r\nResent-Bcc: g@h.example\r\n"
    )
    raw = message(b"x\r\n", head=secret + HEAD)
    header = header_of(copy_of(raw, treatment))
    assert header.startswith(TRACE + HEAD)
    assert not re.search(rb"(?i)bcc|gatepost|return-path|\b[acegx]@", header)


def test_date_and_message_id_only_where_they_are_missing():
    assert copy_of(message(b"x\r\n"), NOT_BULK) == TRACE + message(b"x\r\n")
    bare = read(copy_of(b"From: a@b.example\r\nMessage-ID:  \r\n\r\nx\r\n", NOT_BULK))
    assert bare.get_all("Date") == ["Sat, 1 Jan 2028 10:00:00 +0000"]
    assert bare.get_all("Message-ID") == ["<1@relay.example.org>"]
    untouched = copy_of(
        b"From: a@b.example\r\n\r\nx\r\n", replace(NOT_BULK, date=b"", message_id=b"")
    )
    assert untouched == TRACE + b"From: a@b.example\r\n\r\nx\r\n"


def test_an_mbox_line_goes():
    raw = b"From a@b.example Sat Jan  1 00:00:00 2028\r\n" + message(b"x\r\n")
    assert copy_of(raw, NOT_BULK) == TRACE + message(b"x\r\n")


def test_signatures_of_our_own_domains_go_and_others_stay():
    ours = b"DKIM-Signature: v=1; a=rsa-sha256;\r\n\td=ACME.example; s=x; b=abc\r\n"
    theirs = b"DKIM-Signature: v=1; d=other.example; b=abc\r\n"
    raw = message(b"x", head=ours + theirs + HEAD)
    copy = copy_of(raw, replace(NOT_BULK, own_domains=frozenset({"acme.example"})))
    assert ours not in copy
    assert theirs in copy
    assert ours in copy_of(raw, NOT_BULK)


@pytest.mark.parametrize(
    "value",
    [
        b"word " * 600,
        b"a@b.example," * 300,
        b"x" * 3000,
        "å".encode() * 1500,
        b"a" + b" " * 2500 + b"b",
    ],
)
def test_long_header_lines_are_folded(value):
    raw = message(b"x\r\n", head=HEAD + b"X-Long: " + value + b"\r\nX-Next: y\r\n")
    copy = copy_of(raw, NOT_BULK)
    assert max(map(len, copy.split(b"\r\n"))) <= 998
    unfolded = copy[copy.index(b"X-Long: ") + 8 : copy.index(b"X-Next")]
    assert re.sub(rb"\s", b"", unfolded) == re.sub(rb"\s", b"", value)
    assert read(copy)["X-Next"] == "y"
    for line in header_of(copy).split(b"\r\n"):
        line.decode("utf-8")


def test_a_long_field_that_is_removed_is_not_folded():
    raw = message(b"x\r\n", head=b"Bcc: " + b"a@b.example, " * 200 + b"\r\n" + HEAD)
    assert copy_of(raw, NOT_BULK) == TRACE + message(b"x\r\n")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("list_id", "a\r\nBcc: x <b.c>"),
        ("list_id", "no brackets here"),
        ("list_id", "<" + "a" * 254 + ">"),
        ("unsubscribe_base", "https://mail.example.org/u"),
        ("unsubscribe_base", "https://mail.example.org/u/\r\nX: /"),
        ("unsubscribe_base", 'https://mail.example.org/">/'),
        ("preferences_base", "javascript:/"),
        ("mailto", "a@b.example>, <x"),
        ("mailto", "a@b.example\n"),
        ("help_url", "https://a.example/\0"),
        ("help_url", "https://a.example/> <x"),
        ("feedback_id", "a\nb"),
        ("token_octets", 0),
        ("mailto_octets", 500),
    ],
)
def test_r5322_6_no_value_breaks_out_of_its_field(name, value):
    with pytest.raises(TreatmentError):
        replace(BULK, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("received", b"Received: a\n"),
        ("received", b"Received: a\r\n\r\n"),
        ("received", b"Received: a"),
        ("received", b"Received: a\r\n \r\n"),
        ("received", b"Received: \0\r\n"),
        ("received", b"\r\n"),
        ("date", b"a\r\nb"),
        ("message_id", b"<a\0b>"),
    ],
)
def test_r5322_6_nor_any_value_of_the_trace(name, value):
    with pytest.raises(TreatmentError):
        replace(NOT_BULK, **{name: value})


def test_signatures_that_are_to_be_kept():
    theirs = (
        b"DKIM-Signature: v=1; a=rsa-sha256; d=acme.example; h=From:Subject;\r\n b=abc\r\n"
        b"DKIM-Signature: v=1; d=esp.example; h=from:list-unsubscribe :\r\n X-Gatepost-Stream; b=abc\r\n"
    )
    raw = message(
        b"{{unsubscribe_url}}" + b"x" * 2000, head=theirs + b"X-Gatepost-Stream: n\r\n" + HEAD
    )
    kept = replace(TREATMENT, own_domains=frozenset({"acme.example"}), keep_signatures=True)
    copy = copy_of(raw, kept)
    assert theirs in copy
    assert copy.partition(b"\r\n\r\n")[2] == raw.partition(b"\r\n\r\n")[2]
    assert read(copy)["List-Unsubscribe"].startswith(f"<{LEAVE}>")
    notes = " ".join(plan_of(raw, kept).notes)
    assert "keeps the signatures" in notes
    assert "esp.example breaks, because it covers list-unsubscribe, x-gatepost-stream" in notes
    assert "acme.example" not in notes
    personal = replace(kept, bulk=None)
    assert copy_of(raw, personal).partition(b"\r\n\r\n")[2] == raw.partition(b"\r\n\r\n")[2]
    assert "list-" not in " ".join(plan_of(raw, personal).notes)
