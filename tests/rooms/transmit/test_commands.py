"""The bytes of a transaction: parameters as offered, content made safe."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gatepost.flow.transmit import commands, trouble
from gatepost.flow.transmit.commands import (
    Offer,
    Wire,
    compose,
    dotless,
    ended,
    stuff,
    stuff_in_slices,
    whole_lines,
)
from gatepost.flow.transmit.copy import Copy
from gatepost.mail.address import Address, parse
from gatepost.mail.envelope import Recipient

ALL = Offer(
    pipelining=True, chunking=True, eight_bit=True, smtputf8=True, dsn=True, sizes=True, size=1000
)
NONE = Offer()
CONTENT = b"Subject: x\r\n\r\nhello\r\n"


def copy(*recipients: Recipient, mail_from="s@acme.example", content=CONTENT, **more) -> Copy:
    return Copy(mail_from, recipients or (Recipient(parse("a@one.example")),), content, **more)


def wire(one: Copy, offer: Offer) -> Wire:
    composed = compose(one, offer)
    assert isinstance(composed, Wire), composed
    return composed


def test_plain_commands_for_an_upstream_without_extensions():
    assert wire(copy(), NONE) == Wire(
        b"MAIL FROM:<s@acme.example>\r\n", (b"RCPT TO:<a@one.example>\r\n",), CONTENT, dsn=False
    )


def test_null_sender():
    assert wire(copy(mail_from=""), NONE).mail == b"MAIL FROM:<>\r\n"


def test_rx_9_dsn_parameters_unchanged_where_offered_and_else_not_sent():
    recipient = Recipient(parse("a@one.example"), "SUCCESS,FAILURE", "rfc822;Bob+2B@One.example")
    one = copy(recipient, envid="Order+3D17", ret="HDRS")
    sent = wire(one, ALL)
    assert sent.dsn
    assert sent.mail == b"MAIL FROM:<s@acme.example> SIZE=21 RET=HDRS ENVID=Order+3D17\r\n"
    assert sent.rcpts == (
        b"RCPT TO:<a@one.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+2B@One.example\r\n",
    )
    assert wire(one, NONE).mail == b"MAIL FROM:<s@acme.example>\r\n"
    assert wire(one, NONE).rcpts == (b"RCPT TO:<a@one.example>\r\n",)


def test_eight_bit_content_needs_8bitmime():
    one = copy(content="Subject: x\r\n\r\nhallå\r\n".encode(), eight_bit=True)
    assert b" BODY=8BITMIME" in wire(one, ALL).mail
    assert compose(one, NONE) == trouble.NO_EIGHT_BIT
    assert str(trouble.NO_EIGHT_BIT).startswith("554 5.6.3 ")


def test_rx_5_smtputf8_needed_and_not_offered():
    unicode_local = Recipient(parse("åsa@one.example"))
    unicode_header = "Subject: hallå\r\n\r\nx\r\n".encode()
    assert compose(copy(unicode_local, smtputf8=True), NONE) == trouble.NO_UTF8_ADDRESS
    assert compose(copy(mail_from="åsa@acme.example"), NONE) == trouble.NO_UTF8_ADDRESS
    assert compose(copy(content=unicode_header, smtputf8=True), NONE) == trouble.NO_UTF8_HEADER
    assert str(trouble.NO_UTF8_ADDRESS).startswith("550 5.6.7 ")
    assert str(trouble.NO_UTF8_HEADER).startswith("554 5.6.9 ")


def test_rx_5_smtputf8_asked_for_and_not_needed_goes_without():
    assert b"SMTPUTF8" not in wire(copy(smtputf8=True), NONE).mail


def test_rx_5_smtputf8_offered():
    sent = wire(copy(Recipient(parse("åsa@one.example")), smtputf8=True), ALL)
    assert sent.mail.endswith(b" SMTPUTF8\r\n")
    assert sent.rcpts == ("RCPT TO:<åsa@one.example>\r\n".encode(),)
    assert b"SMTPUTF8" not in wire(copy(), ALL).mail


def test_a_unicode_domain_goes_out_as_a_label_where_smtputf8_is_missing():
    one = copy(Recipient(parse("Bob@räksmörgås.example")), mail_from="S@räksmörgås.example")
    sent = wire(one, NONE)
    assert sent.mail == b"MAIL FROM:<S@xn--rksmrgs-5wao1o.example>\r\n"
    assert sent.rcpts == (b"RCPT TO:<Bob@xn--rksmrgs-5wao1o.example>\r\n",)


def test_size_is_told_and_the_limit_kept():
    assert b" SIZE=21" in wire(copy(), ALL).mail
    refusal = compose(copy(content=b"x" * 999), ALL)
    assert (refusal.code, refusal.enhanced) == (552, "5.3.4")
    assert trouble.is_own_refusal(str(refusal))
    assert "1001" in refusal.text
    assert b" SIZE=1001" in wire(copy(content=b"x" * 999), Offer(sizes=True)).mail


@pytest.mark.parametrize("evil", ["a@b.example>\r\nRCPT TO:<x@y.example", "a\0@b.example", "a\n"])
def test_control_characters_never_reach_the_wire(evil):
    assert compose(copy(mail_from=evil), ALL) == trouble.BAD_SENDER
    assert compose(copy(envid=evil), ALL) == trouble.BAD_SENDER
    bad = Recipient(Address(evil, "a@b.example"))
    assert compose(copy(bad), ALL) == trouble.BAD_RECIPIENT
    assert compose(copy(Recipient(parse("a@b.example"), orcpt=evil)), ALL) == trouble.BAD_RECIPIENT


def test_the_offer_is_read_from_keywords():
    offer = Offer.read({"pipelining": "", "size": "1000", "8bitmime": "", "smtputf8": "",
                        "dsn": "", "chunking": ""})  # fmt: skip
    assert offer == ALL
    assert Offer.read({}) == NONE
    assert Offer.read({"size": ""}).size == 0
    assert Offer.read({"size": "many"}) == Offer(sizes=True)


def unstuff(octets: bytes) -> bytes:
    assert octets == b".\r\n" or octets.endswith(b"\r\n.\r\n")
    return (b"\r\n" + octets[:-3]).replace(b"\r\n.", b"\r\n")[2:]


content_like = st.lists(
    st.sampled_from([b".", b"\r\n", b"\r", b"\n", b"x", b"..", b"\r\n.\r\n", b"\0"]), max_size=40
).map(b"".join)


@given(content_like)
@example(b".")
@example(b"\r\n.\r\n")
@example(b"\n.\n")
def test_rq_7_stuffing_is_undone_by_upstream_and_ends_once(content):
    whole = whole_lines(content)
    stuffed = stuff(whole)
    assert unstuff(stuffed) == whole
    assert (b"\r\n" + stuffed).index(b"\r\n.\r\n") == len(stuffed) - 3


@given(content_like, st.integers(1, 7))
def test_stuffing_in_slices_gives_the_same_bytes(content, size):
    whole = whole_lines(content)
    assert b"".join(stuff_in_slices(whole, size)) == stuff(whole)


@pytest.mark.parametrize(
    "vector", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n\0.\r\n", b"\r\r\n.\r\r\n"]
)
def test_rs_6_nothing_in_content_ends_it(vector):
    stuffed = stuff(whole_lines(b"Subject: x\r\n\r\nhello" + vector + b"MAIL FROM:<x@y.example>"))
    ends = (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r")
    assert not any(end in stuffed[:-5] for end in ends)


@settings(deadline=None)
@given(content_like, st.sampled_from([0, commands.SLICE]))
def test_whole_lines_leaves_whole_lines_alone(content, large):
    content = b"x" * large + content
    whole = whole_lines(content)
    assert whole_lines(whole) is whole
    assert not whole or whole.endswith(b"\r\n")
    assert whole.count(b"\r") == whole.count(b"\n") == whole.count(b"\r\n")


@given(content=st.text("a.\r\n", max_size=200).map(str.encode))
@example(content=b"")
@example(content=b".a\r\n")
def test_what_is_known_to_have_no_dots_goes_out_as_if_it_were_looked_at(content):
    whole = whole_lines(content)
    known = wire(copy(content=whole, whole_lines=True, dotless=dotless(whole)), NONE)
    looked_at = wire(copy(content=whole), NONE)
    assert known.dotless is (stuff(whole) == whole + b".\r\n")
    assert b"".join(ended(known)) == b"".join(ended(looked_at)) == stuff(whole)


def test_nothing_is_known_of_content_that_had_to_be_mended():
    assert not wire(copy(content=b"a\n.b\n", dotless=True), NONE).dotless
