"""Conversations over real sockets: tables of what is said and what is answered."""

import asyncio
from ipaddress import ip_network

import pytest
from structlog.testing import capture_logs

from gatepost.flow.accept.door import Limits, Role
from gatepost.mail.client import Client
from gatepost.mail.verdict import Reason
from support.smtp_talk import connected, until

MAIL = "MAIL FROM:<a@acme.example>"


async def talk_through(talk, conversation):
    for said, expected in conversation:
        answer = await talk.say(said)
        assert (said, answer.status) == (said, expected)


async def test_a_message_reaches_the_handler(listen, handler):
    listener = await listen(name="front")
    async with connected(listener.port) as talk:
        answer = await talk.mail(
            b"Subject: x\r\n\r\n..dot\r\n", "One@shop.example", "two@shop.example"
        )
        assert answer.status == "250 2.0.0"
        assert (await talk.say("QUIT")).status == "221 2.0.0"
        assert await talk.rest() == b""
    assert handler.contents == [b"Subject: x\r\n\r\n.dot\r\n"]
    assert handler.envelope.mail_from == "a@acme.example"
    assert handler.recipients == ["One@shop.example", "two@shop.example"]
    arrival = handler.arrival
    assert (arrival.client.name, arrival.peer, arrival.ehlo) == (
        "local",
        "127.0.0.1",
        "client.example",
    )
    assert (arrival.protocol, arrival.cipher, arrival.listener) == ("ESMTP", "", "front")
    assert arrival.at.utcoffset().total_seconds() == 0


async def test_greeting_and_keywords(listen):
    listener = await listen(limits=Limits(message_size=12345))
    async with connected(listener.port, greet=False) as talk:
        assert (await talk.answer()).text == "relay.example.org ESMTP Gatepost"
        answer = await talk.say("EHLO client.example")
        assert answer.lines == (
            "relay.example.org", "PIPELINING", "SIZE 12345", "8BITMIME", "SMTPUTF8",
            "ENHANCEDSTATUSCODES", "DSN",
        )  # fmt: skip
        assert (await talk.say("HELO client.example")).lines == ("relay.example.org",)


@pytest.mark.parametrize(
    "conversation",
    [
        [  # R5321-4: before EHLO
            ("NOOP", "250 2.0.0"), ("RSET", "250 2.0.0"), ("VRFY x", "252 2.0.0"),
            ("HELP", "214 2.0.0"), (MAIL, "503 5.5.1"), ("AUTH PLAIN", "503 5.5.1"),
            ("DATA", "503 5.5.1"), ("RCPT TO:<b@shop.example>", "503 5.5.1"),
        ],
        [  # order
            ("EHLO c", "250"), ("RCPT TO:<b@shop.example>", "503 5.5.1"), ("DATA", "503 5.5.1"),
            (MAIL, "250 2.1.0"), (MAIL, "503 5.5.1"), ("DATA", "554 5.5.1"),
            ("RCPT TO:<b@shop.example>", "250 2.1.5"), (MAIL, "503 5.5.1"), ("DATA", "354"),
        ],
        [  # R5321-4: EHLO in the middle is RSET
            ("EHLO c", "250"), (MAIL, "250 2.1.0"), ("RCPT TO:<b@shop.example>", "250 2.1.5"),
            ("EHLO c", "250"), ("DATA", "503 5.5.1"), (MAIL, "250 2.1.0"), ("RSET", "250 2.0.0"),
            ("RCPT TO:<b@shop.example>", "503 5.5.1"),
        ],
        [  # R5321-9, R5321-3
            ("EHLO c", "250"), ("XYZZY", "500 5.5.2"), ("", "500 5.5.2"), ("EXPN x", "502 5.5.1"),
            ("BDAT 3 LAST", "502 5.5.1"), ("VRFY", "501 5.5.4"), ("VRFY x@y.example", "252 2.0.0"),
            ("STARTTLS", "502 5.5.1"), ("AUTH PLAIN", "502 5.5.1"), ("RSET x", "501 5.5.4"),
            ("QUIT x", "501 5.5.4"), ("noop x", "250 2.0.0"), ("MAIL FORM:<a@b.example>", "501 5.5.4"),
        ],
        [  # 2.11-9: the argument of EHLO; names without a dot and literals are taken
            ("EHLO", "501 5.5.4"), ("EHLO a b", "501 5.5.4"), ("EHLO åsa.example", "501 5.5.4"),
            ("EHLO <x>", "501 5.5.4"), ("HELO", "501 5.5.4"), ("EHLO localhost", "250"),
            ("EHLO my_pc", "250"), ("EHLO [192.0.2.1]", "250"), ("EHLO [IPv6:2001:db8::1]", "250"),
            ("HELO mail.example.org.", "250"),
        ],
        [  # 2.11-1, 2.11-2, 2.11-9, 2.11-10
            ("EHLO c", "250"), ("MAIL FROM:<>", "250 2.1.0"), ("RCPT TO:<>", "501 5.1.3"),
            ("RCPT TO:<a b@c.example>", "501 5.5.4"), ("RCPT TO:<a@b.example", "501 5.5.4"),
            ("RCPT TO:<åsa@c.example>", "553 5.6.7"), ("RCPT TO:<nobody>", "501 5.1.3"),
            ("DATA", "554 5.5.1"), ("RSET", "250 2.0.0"), (f"{MAIL} SMTPUTF8", "250 2.1.0"),
            ("RCPT TO:<åsa@c.example>", "250 2.1.5"),
        ],
        [  # RX-1, RX-9, R5321-9
            ("EHLO c", "250"), (f"{MAIL} SIZE=50000001", "552 5.3.4"), (f"{MAIL} X=1", "555 5.5.4"),
            (f"{MAIL} RET=NO", "501 5.5.4"), (f"{MAIL} SIZE=50000000 RET=FULL AUTH=<>", "250 2.1.0"),
            ("RCPT TO:<b@shop.example> X=1", "555 5.5.4"),
            ("RCPT TO:<b@shop.example> NOTIFY=NEVER,DELAY", "501 5.5.4"),
            ("RCPT TO:<b@shop.example> NOTIFY=DELAY ORCPT=rfc822;B@shop.example", "250 2.1.5"),
        ],
    ],
)  # fmt: skip
async def test_tables(listen, conversation):
    listener = await listen()
    async with connected(listener.port, greet=False) as talk:
        await talk.answer()
        await talk_through(talk, conversation)


async def test_2_11_1_null_sender_is_empty(listen, handler):
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk.mail(b"x\r\n", "b@shop.example", mail_from="")
    assert handler.envelope.mail_from == ""


async def test_2_11_3_bare_newlines_end_no_command(listen, handler):
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk.send(b"MAIL FROM:<evil@x.example>\n")
        assert (await talk.answer()).status == "500 5.5.2"  # said at once
        await talk.send(b"RCPT TO:<b@shop.example>\nDATA\n\r\n")  # all one line, refused once
        assert (await talk.say("NOOP\rRSET")).status == "500 5.5.2"
        assert (await talk.say("NO\0OP")).status == "500 5.5.2"
        assert (await talk.say("RCPT TO:<b@shop.example>")).status == "503 5.5.1"
        assert (await talk.say(b"NOOP \xff\xfe")).status == "500 5.5.2"
    assert handler.asked == []


async def test_2_11_3_bare_newlines_in_data(listen, handler):
    listener = await listen()
    strict = await listen(reject_bare_newlines=True)
    smuggled = b"one\n.\r\nMAIL FROM:<evil@x.example>\r\n"
    async with connected(listener.port) as talk:
        assert (await talk.mail(smuggled, "b@shop.example")).status == "250 2.0.0"
        assert (await talk.mail(b"a\0b\r\n", "b@shop.example")).status == "554 5.6.0"
    async with connected(strict.port) as talk:
        assert (await talk.mail(smuggled, "b@shop.example")).status == "554 5.6.0"
        assert (await talk.mail(b"fine\r\n", "b@shop.example")).status == "250 2.0.0"
    assert handler.contents == [b"one\r\n.\r\nMAIL FROM:<evil@x.example>\r\n", b"fine\r\n"]


async def test_2_11_4_handler_exceptions_say_nothing(listen, handler):
    listener = await listen()
    handler.failure = lambda: KeyError("secret detail")
    async with connected(listener.port) as talk:
        answer = await talk.mail(b"x\r\n", "b@shop.example")
        assert answer.status == "451 4.3.0"
        assert "secret" not in answer.text
        assert "KeyError" not in answer.text
        await talk.say(MAIL)
        answer = await talk.say("RCPT TO:<broken@shop.example>")
        assert answer.status == "451 4.3.0"
        assert "secret" not in answer.text
        handler.failure = None
        assert (await talk.say("RCPT TO:<b@shop.example>", "RSET")).status == "250 2.0.0"
        assert (await talk.mail(b"x\r\n", "b@shop.example")).status == "250 2.0.0"


@pytest.mark.parametrize("later", [False, True])
async def test_2_11_5_refused_recipients_stay_out(listen, handler, later):
    handler.ask_later = later
    handler.verdicts = {"no@shop.example": Reason.NO_CONSENT, "wait@shop.example": Reason.PAUSED}
    handler.quarantined = {"held@shop.example"}
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk_through(talk, [
            (MAIL, "250 2.1.0"), ("RCPT TO:<no@shop.example>", "550 5.7.1"),
            ("DATA", "554 5.5.1"), ("RCPT TO:<wait@shop.example>", "450 4.7.0"),
            ("RCPT TO:<held@shop.example>", "250 2.1.5"), ("RCPT TO:<no@SHOP.example>", "550 5.7.1"),
            ("RCPT TO:<yes@shop.example>", "250 2.1.5"), ("DATA", "354"), ("x\r\n.", "250 2.0.0"),
        ])  # fmt: skip
    assert handler.recipients == ["held@shop.example", "yes@shop.example"]
    assert [(r.address.key, v.reason) for r, v in handler.envelope.refused] == [
        ("no@shop.example", Reason.NO_CONSENT)
    ]
    assert handler.ended == []


@pytest.mark.parametrize("end", ["RSET", "EHLO c", "QUIT", "abort"])
async def test_refusals_without_data_are_told(listen, handler, end):
    handler.verdicts = {"no@shop.example": Reason.WITHDRAWN}
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk.say(MAIL, "RCPT TO:<no@shop.example>")
        if end == "abort":
            talk.abort()
        else:
            await talk.say(end)
        await until(lambda: handler.ended)
    ((_, envelope),) = handler.ended
    assert [r.address.key for r, _ in envelope.refused] == ["no@shop.example"]
    assert envelope.recipients == ()


async def test_2_11_6_parameters_keep_their_case(listen, handler):
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk_through(talk, [
            ("MAIL FROM:<a@acme.example> RET=hdrs ENVID=QqEnv+2Bx body=8BITMIME", "250 2.1.0"),
            ("RCPT TO:<b@shop.example> ORCPT=rfc822;Bob@Shop.example NOTIFY=failure", "250 2.1.5"),
            ("DATA", "354"), ("x\r\n.", "250 2.0.0"),
        ])  # fmt: skip
    envelope = handler.envelope
    assert (envelope.ret, envelope.envid, envelope.body) == ("HDRS", "QqEnv+2Bx", "8BITMIME")
    recipient = envelope.recipients[0]
    assert (recipient.notify, recipient.orcpt) == ("FAILURE", "rfc822;Bob@Shop.example")


async def test_2_11_7_limits_belong_to_the_connection(listen):
    listener = await listen()
    long_mail = "MAIL FROM:<a@acme.example> ENVID=" + "x" * 100 + " AUTH=" + "y" * 500
    async with connected(listener.port) as first:
        assert (await first.say(*["EHLO c"] * 50)).code == 250
        async with connected(listener.port) as second:
            assert (await second.say(long_mail)).status == "250 2.1.0"
            assert (await first.say(long_mail)).status == "250 2.1.0"
            too_long = "NOOP " + "x" * 4100
            assert (await first.say(too_long)).status == "500 5.5.2"
            assert (await second.say(too_long)).status == "500 5.5.2"
            assert (await first.say("NOOP " + "x" * 4091)).status == "250 2.0.0"


async def test_2_11_8_long_lines(listen, handler):
    listener = await listen()
    html = b"<p>" + b"x" * 20_000 + b"</p>\r\n"
    async with connected(listener.port) as talk:
        assert (await talk.mail(html, "b@shop.example")).status == "250 2.0.0"
        await talk.send(b"NOOP " + b"x" * 1_000_000)  # refused before it ends, then skipped
        assert (await talk.answer()).status == "500 5.5.2"
        await talk.send(b"xxx\r\n")
        assert (await talk.say("NOOP")).status == "250 2.0.0"
    assert handler.contents == [html]


async def test_2_11_10_source_routes(listen, handler):
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk.mail(b"x\r\n", "@one.example,@two.example:b@shop.example")
    assert handler.recipients == ["b@shop.example"]


async def test_r5321_2_postmaster_is_not_asked_about(listen, handler):
    handler.verdicts = {"postmaster@relay.example.org": Reason.NO_CONSENT}
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk.mail(b"x\r\n", "PostMaster")
    assert handler.recipients == ["postmaster@relay.example.org"]
    assert handler.asked == []


async def test_a_repeated_recipient_is_kept_once(listen, handler):
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk.mail(b"x\r\n", "B@shop.example", "b@SHOP.example", "b@shop.example")
    assert handler.recipients == ["B@shop.example"]
    assert handler.asked == ["b@shop.example"]


async def test_r5321_8_ten_thousand_recipients_and_no_more(listen, handler):
    handler.verdicts = {"r1@shop.example": Reason.NO_CONSENT}
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk.say(MAIL)
        lines = b"".join(b"RCPT TO:<r%d@shop.example>\r\n" % n for n in range(10_000))
        sending = asyncio.create_task(talk.send(lines))
        answers = await talk.answers(10_000)
        await sending
        assert {a.status for a in answers} == {"250 2.1.5", "550 5.7.1"}
        assert (await talk.say("RCPT TO:<one-more@shop.example>")).status == "452 4.5.3"
        assert (await talk.say("RCPT TO:<r5@shop.example>")).status == "250 2.1.5"  # known
        assert (await talk.say("RCPT TO:<r1@shop.example>")).status == "550 5.7.1"
        assert (await talk.say("DATA")).code == 354
        assert (await talk.say("x\r\n.")).status == "250 2.0.0"
    assert len(handler.recipients) == 9_999


async def test_rx1_content_over_the_limit(listen, handler):
    listener = await listen(limits=Limits(message_size=1000))
    async with connected(listener.port) as talk:
        assert (await talk.mail(b"x" * 998 + b"\r\n", "b@shop.example")).status == "250 2.0.0"
        assert (await talk.mail(b"x" * 999 + b"\r\n", "b@shop.example")).status == "552 5.3.4"
        assert (await talk.mail(b"x\r\n" * 50_000, "b@shop.example")).status == "552 5.3.4"
        assert (await talk.mail(b"ok\r\n", "b@shop.example")).status == "250 2.0.0"
    assert [len(content) for content in handler.contents] == [1000, 4]


async def test_storage_full(listen):
    full = True
    listener = await listen(storage_ok=lambda _octets: not full)
    async with connected(listener.port) as talk:
        assert (await talk.say(MAIL)).status == "452 4.3.1"
        full = False
        assert (await talk.say(MAIL)).status == "250 2.1.0"


async def test_a_client_faster_than_its_rate(listen):
    client = Client(name="slow", networks=(ip_network("127.0.0.1/32"),), rate=(2, 86400.0))
    listener = await listen([client])
    async with connected(listener.port) as talk:
        assert (await talk.say(MAIL, "RSET", MAIL, "RSET")).status == "250 2.0.0"  # came to nothing
        for _ in range(2):
            assert (await talk.mail(b"x\r\n", "b@shop.example")).status == "250 2.0.0"
        assert (await talk.say(MAIL)).status == "450 4.7.0"


@pytest.mark.parametrize(
    ("hello", "parameters", "protocol"),
    [("HELO c", "", "SMTP"), ("EHLO c", "", "ESMTP"), ("EHLO c", " SMTPUTF8", "UTF8SMTP")],
)
async def test_r5321_16_protocol(listen, handler, hello, parameters, protocol):
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk.say(hello, MAIL + parameters, "RCPT TO:<b@shop.example>")
        await talk.say("DATA")
        await talk.say("x\r\n.")
    assert handler.arrival.protocol == protocol


async def test_strangers_relay_nothing(listen, handler):
    listener = await listen([])
    elsewhere = await listen([Client(name="far", networks=(ip_network("192.0.2.0/24"),))])
    for port in (listener.port, elsewhere.port):
        async with connected(port) as talk:
            assert (await talk.say(MAIL)).status == "550 5.7.1"
            assert (await talk.say("RCPT TO:<b@shop.example>")).status == "503 5.5.1"
            assert (await talk.say("DATA")).status == "503 5.5.1"
    assert handler.asked == []


async def test_a_listener_for_some_clients(listen):
    listener = await listen(only_clients=["other"])
    async with connected(listener.port) as talk:
        assert (await talk.say(MAIL)).status == "550 5.7.1"
    listener = await listen(only_clients=["local", "other"])
    async with connected(listener.port) as talk:
        assert (await talk.say(MAIL)).status == "250 2.1.0"


async def test_returns(listen, handler):
    listener = await listen(
        [], role=Role.RETURNS, accepts=lambda address: address.local.startswith("bounce-")
    )
    async with connected(listener.port) as talk:
        assert (await talk.say("AUTH PLAIN")).status == "502 5.5.1"
        await talk_through(talk, [
            ("MAIL FROM:<>", "250 2.1.0"), ("RCPT TO:<a@b.example>", "550 5.1.1"),
            ("RCPT TO:<bounce-1@b.example>", "250 2.1.5"), ("RCPT TO:<postmaster>", "250 2.1.5"),
            ("DATA", "354"), ("x\r\n.", "250 2.0.0"),
        ])  # fmt: skip
    assert handler.recipients == ["bounce-1@b.example", "postmaster@relay.example.org"]
    assert handler.asked == []


LOGGED = {
    "declared too large": (["MAIL FROM:<a@acme.example> SIZE=1001"], "refused", "552 5.3.4"),
    "too large": ([MAIL, "RCPT TO:<b@shop.example>", "DATA", "x" * 1200 + "\r\n."], "refused",
                  "552 5.3.4"),
    "NUL": ([MAIL, "RCPT TO:<b@shop.example>", "DATA", "\0\r\n."], "refused", "554 5.6.0"),
    "bare newline": ([MAIL, "RCPT TO:<b@shop.example>", "DATA", "a\nb\r\n."], "refused",
                     "554 5.6.0"),
}  # fmt: skip


@pytest.mark.parametrize("said", LOGGED)
async def test_what_no_handler_sees_is_logged_all_the_same(listen, said):
    lines, event, reply = LOGGED[said]
    listener = await listen(limits=Limits(message_size=1000), reject_bare_newlines=True)
    async with connected(listener.port) as talk:
        with capture_logs() as logged:
            for line in lines:
                answer = await talk.say(line)
    assert answer.status == reply
    assert [(one["event"], one["client"], one["reply"][:9]) for one in logged] == [
        (event, "local", reply)
    ]


async def test_a_rate_that_is_used_up_is_logged(listen):
    client = Client(name="crm", networks=(ip_network("127.0.0.1/32"),), rate=(1, 3600.0))
    listener = await listen(clients=[client])
    async with connected(listener.port) as talk:
        await talk.mail(b"x\r\n", "b@shop.example")
        with capture_logs() as logged:
            assert (await talk.say(MAIL)).status == "450 4.7.0"
    assert [(one["event"], one["client"]) for one in logged] == [("refused", "crm")]


async def test_too_many_recipients_are_logged_once(listen):
    listener = await listen(limits=Limits(recipients_per_message=1))
    async with connected(listener.port) as talk:
        with capture_logs() as logged:
            await talk.say(MAIL)
            for n in range(4):
                await talk.say(f"RCPT TO:<r{n}@shop.example>")
    assert [(one["event"], one["client"], one["limit"]) for one in logged] == [
        ("too many recipients", "local", 1)
    ]


async def test_a_stranger_is_logged_once(listen):
    listener = await listen(clients=[])
    async with connected(listener.port) as talk:
        with capture_logs() as logged:
            for _ in range(3):
                assert (await talk.say(MAIL)).status == "550 5.7.1"
    assert [(one["event"], one["peer"], one["why"]) for one in logged] == [
        ("connection refused", "127.0.0.1", "550 5.7.1 Relaying denied")
    ]
