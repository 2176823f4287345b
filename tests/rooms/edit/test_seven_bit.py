"""Copies for an upstream without 8BITMIME: the same mail, in seven bits (RQ-8)."""

from email import message_from_bytes, policy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from gatepost.flow.edit import Signer, apply, undo
from gatepost.flow.edit.seven_bit import seven_bit
from gatepost.flow.edit.spans import Slot, Span, make_plan
from gatepost.flow.edit.successive import sample_of, then
from gatepost.mail.message import normalize
from support.dkim_keys import KEYS, NOW, verify
from support.mime_trees import messages
from support.treatments import (
    CHOOSE,
    HEAD,
    LEAVE,
    NOT_BULK,
    SWEDISH,
    TOKENS,
    TREATMENT,
    message,
    multipart,
    multipart_part,
    part,
    plan_of,
    texts,
    with_bulk,
)

CORPUS = sorted((Path(__file__).parents[2] / "mails").glob("*.eml"))
UTF8 = "text/plain; charset=utf-8"
SWEDISH_TEXT = "Hej på dig, det här är ett brev.\r\n".encode()
SWEDISH_BULK = with_bulk(footer=SWEDISH)


def convert(raw, treatment=TREATMENT):
    """The copy as planned and the one in seven bits, after what holds for all was checked."""
    plan = plan_of(raw, treatment)
    made = seven_bit(plan)
    assert made is not None
    before, after = apply(plan, TOKENS), apply(made, TOKENS)
    assert after.isascii()
    assert not made.eight_bit
    assert made.size == len(after)
    assert undo(made, after) == raw
    assert verify(Signer(KEYS[:1]).prepare(made).sign(TOKENS, NOW))
    return before, after


def shape(copy):
    return [
        (one.get_content_type(), one.get_filename(), one.is_multipart())
        for one in message_from_bytes(copy).walk()
    ]


def contents(copy):
    return [
        one.get_payload(decode=True)
        for one in message_from_bytes(copy).walk()
        if not one.is_multipart()
    ]


def encodings(copy):
    return [
        str(one["content-transfer-encoding"])
        for one in message_from_bytes(copy, policy=policy.default).walk()
    ]


def test_what_is_in_seven_bits_stays_the_same_plan():
    plan = plan_of(message(b"hello\r\n"))
    assert seven_bit(plan) is plan


@pytest.mark.parametrize("treatment", [TREATMENT, SWEDISH_BULK, NOT_BULK])
def test_a_text_reads_the_same_with_its_links(treatment):
    before, after = convert(message(SWEDISH_TEXT, UTF8, "8bit"), treatment)
    assert texts(before) == texts(after)
    assert encodings(after) == ["quoted-printable"]
    if treatment is TREATMENT:
        assert LEAVE in texts(after)[0]
        assert CHOOSE in texts(after)[0]


def test_a_text_that_is_mostly_not_ascii_goes_out_in_base64():
    before, after = convert(message("Привет, как дела?\r\n".encode() * 30, UTF8, "8bit"), NOT_BULK)
    assert texts(before) == texts(after)
    assert encodings(after) == ["base64"]


def test_soft_breaks_with_blanks_behind_them_stay_soft():
    body = b"one= \r\nline \xe5=\r\n"
    raw = message(body, "text/x-log; charset=iso-8859-1", "quoted-printable")
    _, after = convert(raw)
    assert message_from_bytes(after).get_payload(decode=True) == b"oneline \xe5"


def test_placeholders_in_such_a_text_are_still_filled_per_copy():
    text = "Привет {{unsubscribe_url}} и {{preferences_url}} пока\r\n".encode() * 3
    before, after = convert(message(text, UTF8, "8bit"), with_bulk(headers_only=False))
    assert texts(before) == texts(after)
    assert texts(after)[0].count(LEAVE) >= 3


def test_parts_that_are_in_seven_bits_keep_their_octets():
    picture = b"iVBORw0KGgo=\r\n" * 20
    before, after = convert(
        multipart(
            "mixed",
            part(SWEDISH_TEXT, UTF8, "8bit"),
            part(picture, "image/png", "base64"),
            part(b"\xff\xfe\x80\x81" * 9, "application/octet-stream", "8bit"),
        )
    )
    assert shape(before) == shape(after)
    assert contents(before) == contents(after)
    assert encodings(after) == ["None", "quoted-printable", "base64", "base64"]
    assert picture in after


def test_what_contains_them_says_so():
    inner = multipart_part("alternative", part(SWEDISH_TEXT, UTF8, "8bit"), boundary="i")
    raw = multipart("mixed", inner, head=HEAD + b"Content-Transfer-Encoding: 8bit\r\n")
    before, after = convert(raw)
    assert contents(before) == contents(after)
    assert encodings(after)[0] == "7bit"


def test_a_message_within_a_message_is_encoded_inside():
    inner = message(SWEDISH_TEXT, UTF8, "8bit")
    raw = multipart("mixed", part(b"see below\r\n"), part(inner, "message/rfc822", "8bit"))
    before, after = convert(raw)
    assert contents(before) == contents(after)
    assert shape(before) == shape(after)
    assert encodings(after)[2:] == ["7bit", "quoted-printable"]


def test_a_mail_without_mime_gets_its_labels():
    head = HEAD.replace(b"MIME-Version: 1.0\r\n", b"")
    _, after = convert(message(SWEDISH_TEXT, "", head=head), NOT_BULK)
    parsed = message_from_bytes(after)
    assert parsed["MIME-Version"] == "1.0"
    assert parsed.get_content_charset() == "utf-8"
    assert parsed.get_payload(decode=True) == SWEDISH_TEXT
    _, after = convert(message(b"h\xe4r\r\n", "", head=head), NOT_BULK)
    assert message_from_bytes(after).get_content_charset() == "unknown-8bit"


SIGNED = (part(SWEDISH_TEXT, UTF8, "8bit"), part(b"x", "application/pgp-signature"))


@pytest.mark.parametrize(
    "raw",
    [
        multipart("signed", *SIGNED),
        multipart("mixed", part(multipart("signed", *SIGNED, boundary="s"), "message/rfc822")),
        message(b"x", head=HEAD + "X-Name: Åsa\r\n".encode()),
        multipart("report", part(b"x"), part(SWEDISH_TEXT, "message/delivery-status")),
        message(SWEDISH_TEXT, UTF8, "x-uuencode"),
        multipart("mixed", part(b"x")).replace(b"--=_b\r\n", b"\xe4\r\n--=_b\r\n", 1),
    ],
    ids=["signed", "signed inside", "header", "report", "unknown encoding", "preamble"],
)
def test_what_must_not_or_cannot_change_is_said_so(raw):
    plan = plan_of(raw, NOT_BULK)
    assert plan.eight_bit
    assert seven_bit(plan) is None


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_the_corpus(file):
    raw = normalize(file.read_bytes())
    plan = plan_of(raw, SWEDISH_BULK)
    made = seven_bit(plan)
    if made is None:
        return
    before, after = apply(plan, TOKENS), apply(made, TOKENS)
    assert after.isascii()
    assert undo(made, after) == raw
    assert shape(before) == shape(after)
    assert contents(before) == contents(after)


@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(messages())
def test_any_tree(raw):
    plan = plan_of(raw, SWEDISH_BULK)
    made = seven_bit(plan)
    if made is None:
        return
    before, after = apply(plan, TOKENS), apply(made, TOKENS)
    assert after.isascii()
    assert undo(made, after) == raw
    assert shape(before) == shape(after)
    assert contents(before) == contents(after)


def test_one_plan_after_another():
    raw = b"0123456789"
    spans = [Span(2, b"23", (b"ab", Slot.UNSUBSCRIBE)), Span(6, b"", (b"x",)), Span(8, b"8", ())]
    plan = make_plan(raw, spans, {Slot.UNSUBSCRIBE: 3})
    assert sample_of(plan) == b"01abAAA45x679"
    values = {Slot.UNSUBSCRIBE: b"TTT"}
    for later, expected in [
        ([], b"01abTTT45x679"),
        ([Span(0, b"0", (b"-",)), Span(12, b"9", ())], b"-1abTTT45x67"),
        ([Span(3, b"bAAA4", (b"[", Slot.UNSUBSCRIBE, b"]"))], b"01a[TTT]5x679"),
        ([Span(2, b"", (b"(",)), Span(7, b"", (b")",))], b"01(abTTT)45x679"),
        ([Span(1, b"1abAAA45x67", ())], b"09"),
    ]:
        made = then(plan, later)
        copy = apply(made, values)
        assert copy == expected
        assert undo(made, copy) == raw
    with pytest.raises(ValueError, match="overlap"):
        then(plan, [Span(0, b"01a", ()), Span(2, b"ab", ())])
