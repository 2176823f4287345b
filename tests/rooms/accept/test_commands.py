"""MAIL and RCPT: paths and parameters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.flow.accept import commands, replies
from gatepost.flow.accept.commands import Mail, Refused
from gatepost.mail import address
from gatepost.mail.envelope import Recipient

POSTMASTER = address.parse("postmaster@relay.example.org")


def mail(argument, extended=True):
    try:
        return commands.mail(argument, extended=extended)
    except Refused as refused:
        return refused.reply[:9].decode()


def rcpt(argument, extended=True, smtputf8=False):
    try:
        return commands.recipient(
            argument, extended=extended, smtputf8=smtputf8, postmaster=POSTMASTER
        )
    except Refused as refused:
        return refused.reply[:9].decode()


@pytest.mark.parametrize(
    ("argument", "sender"),
    [
        ("FROM:<>", ""),  # 2.11-1
        ("from:<A.b+C@Shop.Example>", "A.b+C@Shop.Example"),  # R5321-6: spelled as it came
        ("FROM: <a@b.example>", "a@b.example"),
        ('FROM:<"a b"@c.example>', '"a b"@c.example'),
        ('FROM:<"a>b"@c.example>', '"a>b"@c.example'),
        ('FROM:<"a\\"b"@c.example>', '"a\\"b"@c.example'),
        ("FROM:<@one.example,@two.example:u@c.example>", "u@c.example"),  # R5321-5
        ("FROM:<u@[192.0.2.1]>", "u@[192.0.2.1]"),
        ("FROM:<u@[IPv6:2001:db8::1]>", "u@[IPv6:2001:db8::1]"),
        ("FROM:<" + "a" * 64 + "@c.example>", "a" * 64 + "@c.example"),  # R5321-7
    ],
)
def test_senders(argument, sender):
    assert mail(argument) == Mail(sender=sender)


@pytest.mark.parametrize(
    ("argument", "answer"),
    [
        ("", "501 5.5.4"),
        ("FROM", "501 5.5.4"),
        ("TO:<a@b.example>", "501 5.5.4"),
        ("FROM:a@b.example", "501 5.5.4"),
        ("FROM:<a@b.example", "501 5.5.4"),  # 2.11-10: no closing bracket
        ("FROM:<a b@c.example>", "501 5.5.4"),  # 2.11-10: never "a b"@c.example
        ("FROM:<a@b.example>SIZE=1", "501 5.5.4"),
        ("FROM:<a@b@c.example>", "501 5.1.7"),
        ("FROM:<nobody>", "501 5.1.7"),
        ("FROM:<a..b@c.example>", "501 5.1.7"),
        ("FROM:<" + "a" * 65 + "@c.example>", "501 5.1.7"),
        ("FROM:<åsa@c.example>", "553 5.6.7"),  # 2.11-9
        ("FROM:<a@blåbär.example>", "553 5.6.7"),
    ],
)
def test_senders_refused(argument, answer):
    assert mail(argument) == answer


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("SIZE=1000", {"size": 1000}),
        ("body=8bitmime", {"body": "8BITMIME"}),
        ("BODY=7BIT SMTPUTF8", {"smtputf8": True}),
        ("RET=hdrs ENVID=QQ314159+2Bx", {"ret": "HDRS", "envid": "QQ314159+2Bx"}),  # RX-9
        ("AUTH=<>", {}),  # RX-6, 2.11-6
        ("AUTH=e+3Dmc2@example.org", {}),
        ("size=5   ret=FULL", {"size": 5, "ret": "FULL"}),
    ],
)
def test_mail_parameters(parameters, expected):
    assert mail(f"FROM:<a@b.example> {parameters}") == Mail(sender="a@b.example", **expected)


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        ("SIZE", "501 5.5.4"),
        ("SIZE=", "501 5.5.4"),
        ("SIZE=x", "501 5.5.4"),
        ("SIZE=-1", "501 5.5.4"),
        ("SIZE=1 SIZE=1", "501 5.5.4"),
        ("BODY=BINARYMIME", "501 5.5.4"),
        ("SMTPUTF8=yes", "501 5.5.4"),
        ("RET=ALL", "501 5.5.4"),
        ("RET=FULL ret=HDRS", "501 5.5.4"),
        ("ENVID=" + "x" * 101, "501 5.5.4"),
        ("ENVID=a+zz", "501 5.5.4"),
        ("ENVID", "501 5.5.4"),
        ("AUTH=", "501 5.5.4"),
        ("=x", "501 5.5.4"),
        ("NOTIFY=NEVER", "555 5.5.4"),  # belongs to RCPT
        ("X-WHAT=1", "555 5.5.4"),  # R5321-9
    ],
)
def test_mail_parameters_refused(parameters, answer):
    assert mail(f"FROM:<a@b.example> {parameters}") == answer


def test_helo_has_no_parameters():
    assert mail("FROM:<a@b.example> SIZE=1", extended=False) == "555 5.5.4"
    assert rcpt("TO:<a@b.example> NOTIFY=NEVER", extended=False) == "555 5.5.4"


@pytest.mark.parametrize(
    ("parameters", "notify", "orcpt"),
    [
        ("", "", ""),
        ("NOTIFY=never", "NEVER", ""),
        ("NOTIFY=SUCCESS,Failure,DELAY", "SUCCESS,FAILURE,DELAY", ""),
        ("ORCPT=rfc822;Bob+2BTag@X.example", "", "rfc822;Bob+2BTag@X.example"),  # 2.11-6
        ("ORCPT=x;y NOTIFY=DELAY", "DELAY", "x;y"),
    ],
)
def test_recipient_parameters(parameters, notify, orcpt):
    expected = Recipient(address.parse("a@b.example"), notify, orcpt)
    assert rcpt(f"TO:<a@b.example> {parameters}".strip()) == expected


@pytest.mark.parametrize(
    ("argument", "answer"),
    [
        ("TO:<>", "501 5.1.3"),  # 2.11-2, R5321-5
        ("TO:<@a.example:>", "501 5.1.3"),
        ("TO:<nobody>", "501 5.1.3"),
        ("TO:<a@b.example> NOTIFY=NEVER,DELAY", "501 5.5.4"),
        ("TO:<a@b.example> NOTIFY=", "501 5.5.4"),
        ("TO:<a@b.example> NOTIFY=SOMETIMES", "501 5.5.4"),
        ("TO:<a@b.example> NOTIFY=DELAY NOTIFY=DELAY", "501 5.5.4"),
        ("TO:<a@b.example> ORCPT=nosemicolon", "501 5.5.4"),
        ("TO:<a@b.example> ORCPT=rfc822;a+2", "501 5.5.4"),
        ("TO:<a@b.example> ORCPT=rfc822;" + "x" * 500, "501 5.5.4"),
        ("TO:<a@b.example> RET=FULL", "555 5.5.4"),
        ("TO:<åsa@b.example>", "553 5.6.7"),
    ],
)
def test_recipients_refused(argument, answer):
    assert rcpt(argument) == answer


@pytest.mark.parametrize("spelling", ["Postmaster", "POSTMASTER", "postmaster"])
def test_r5321_2_bare_postmaster(spelling):
    assert rcpt(f"TO:<{spelling}>").address == POSTMASTER


def test_rx5_non_ascii_with_smtputf8():
    assert mail("FROM:<åsa@c.example> SMTPUTF8").sender == "åsa@c.example"
    found = rcpt("TO:<Åsa@Blåbär.example> ORCPT=utf-8;Åsa@c.example", smtputf8=True)
    assert found.address.key == "åsa@xn--blbr-noae.example"
    assert found.orcpt == "utf-8;Åsa@c.example"
    assert rcpt("TO:<a@b.example> ORCPT=utf-8;Åsa@c.example") == "501 5.5.4"
    assert rcpt("TO:<a@b.example> ORCPT=rfc822;Åsa@c.example", smtputf8=True) == "501 5.5.4"


LINES = st.one_of(
    st.from_regex(
        r"(RCPT|rcpt) (TO|to): ?<[A-Za-z0-9.+_\"-]{1,70}@[A-Za-z0-9.-]{1,80}>", fullmatch=True
    ),
    st.text(alphabet='RCPTO:<>@.ab"\\ å', max_size=40).map("RCPT TO:<".__add__),
)


@given(LINES)
def test_the_short_way_gives_what_the_long_way_gives(line):
    found = commands.ordinary_recipient(line)
    if found is not None:
        assert rcpt(line.partition(" ")[2]) == found


@given(st.text(max_size=60), st.booleans())
def test_arguments_never_raise_anything_else(text, extended):
    assert mail(text, extended)
    assert mail("FROM:<" + text, extended)
    assert rcpt("TO:<" + text, extended, smtputf8=True)
    assert rcpt("TO:<a@b.example> " + text, extended)


def test_the_short_way_takes_ordinary_lines():
    for line in ("RCPT TO:<a.b+c@shop.example>", "rcpt to: <X_1@a-b.example>"):
        assert commands.ordinary_recipient(line) is not None


def test_refusals_carry_a_whole_reply():
    with pytest.raises(Refused) as caught:
        commands.mail("", extended=True)
    assert caught.value.reply == replies.MAIL_SYNTAX
