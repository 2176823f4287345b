"""Floods: commands without end, lines without end, guesses without end; 421, and no more memory."""

import asyncio
from ipaddress import ip_network

import pytest
from structlog.testing import capture_logs

from gatepost.flow.accept.clients import ClientTable
from gatepost.flow.accept.door import Limits, Role
from gatepost.flow.accept.server import Listener
from gatepost.flow.accept.session import MAX_IDLE_COMMANDS, MAX_OFFENCES, Session
from gatepost.flow.accept.wire import MAX_LINE
from gatepost.mail.client import Client
from gatepost.mail.verdict import Reason
from support.cable import Cable, codes
from support.recording_handler import RecordingHandler
from support.smtp_talk import connected

LOCAL = Client(name="local", networks=(ip_network("127.0.0.1/32"),))
MAIL = "MAIL FROM:<a@acme.example>"


async def flood(octets, *, clients=(LOCAL,), **settings):
    """The codes that a session answers to one great gulp, and what it holds afterwards."""
    handler = settings.pop("handler", RecordingHandler())
    listener = Listener(
        hostname="relay.example.org", handler=handler, clients=ClientTable(clients), **settings
    )
    session, cable = Session(listener._door, asyncio.get_running_loop()), Cable()
    session.connection_made(cable)
    for start in range(0, len(octets), 50_000):
        session.data_received(octets[start : start + 50_000])
    held = len(session._buffer)
    session.connection_lost(None)
    listener._door.passwords.close()
    return codes(b"".join(cable.written))[1:], held, cable.closed


@pytest.mark.parametrize("verb", [b"NOOP", b"RSET", b"VRFY x", b"HELP", b"EHLO c", b"noop"])
async def test_ten_thousand_idle_commands(verb):
    answered, held, closed = await flood(b"%s\r\n" % verb * 10_000)
    assert len(answered) == MAX_IDLE_COMMANDS + 2
    assert answered[-1] == "421"
    assert (held, closed) == (0, True)


@pytest.mark.parametrize(
    "line",
    [b"XYZZY", b"", b"DATA", b"RCPT TO:<a@b.example> x", b"MAIL FROM", b"MAIL FROM:<a@b.example>",
     b"AUTH PLAIN x", b"STARTTLS", b"EXPN staff", b"\xff", b"a\rb", b"a\0b", b"x" * 5000,
     b"BDAT 5"],
    ids=repr,
)  # fmt: skip
async def test_ten_thousand_errors(line):
    answered, held, closed = await flood(b"EHLO c\r\n" + (line + b"\r\n") * 10_000, clients=())
    assert len(answered) <= MAX_OFFENCES + 3 or line.startswith(b"RCPT")
    assert answered[-1] == "421" or line.startswith(b"RCPT")
    assert closed or line.startswith(b"RCPT")
    assert held == 0


async def test_errors_and_idle_commands_are_forgiven_with_each_message(listen, handler):
    listener = await listen()
    async with connected(listener.port) as talk:
        for _ in range(4):
            for _ in range(MAX_OFFENCES - 2):
                assert (await talk.say("XYZZY")).status == "500 5.5.2"
            await talk.say(*["NOOP"] * (MAX_IDLE_COMMANDS // 2))
            assert (await talk.mail(b"x\r\n", "b@shop.example")).status == "250 2.0.0"
    assert len(handler.taken) == 4


async def test_a_list_with_a_thousand_bad_recipients_is_no_offence(listen, handler):
    handler.verdicts = {f"r{n}@shop.example": Reason.NO_CONSENT for n in range(500)}
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk.say(MAIL)
        refused = [f"RCPT TO:<r{n}@shop.example>" for n in range(500)]
        assert (await talk.say(*refused)).status == "550 5.7.1"
        assert (await talk.say(*["RCPT TO:<not an address>"] * 500)).status == "501 5.5.4"
        assert (await talk.say("RCPT TO:<b@shop.example>")).status == "250 2.1.5"


async def test_harvesting_on_a_listener_for_returns_ends_soon():
    guesses = b"".join(b"RCPT TO:<name%d@relay.example.org>\r\n" % n for n in range(100_000))
    with capture_logs() as logged:
        answered, held, closed = await flood(
            b"EHLO c\r\nMAIL FROM:<>\r\n" + guesses,
            clients=(), role=Role.RETURNS, accepts=lambda _: False,
        )  # fmt: skip
    assert answered == ["250", "250", *["550"] * (MAX_OFFENCES + 1), "421"]
    assert (held, closed) == (0, True)
    assert [one["why"] for one in logged] == ["too many errors"]


async def test_a_hundred_thousand_recipients_hold_no_more_than_the_limit():
    lines = b"".join(b"RCPT TO:<r%d@shop.example>\r\n" % n for n in range(100_000))
    handler = RecordingHandler()
    answered, _, _ = await flood(
        b"EHLO c\r\nMAIL FROM:<a@acme.example>\r\n" + lines,
        limits=Limits(recipients_per_message=1000), handler=handler,
    )  # fmt: skip
    assert answered.count("250") == 1002
    assert answered.count("452") == 99_000
    assert len(handler.asked) == 1000


@pytest.mark.parametrize("start", [b"", b"EHLO ", b"MAIL FROM:<", b"NOOP ", b"XYZZY", b"AUTH "])
async def test_a_line_without_end_is_not_kept(start):
    listener = Listener(
        hostname="relay.example.org", handler=RecordingHandler(), clients=ClientTable([LOCAL])
    )
    session, cable = Session(listener._door, asyncio.get_running_loop()), Cable()
    session.connection_made(cable)
    session.data_received(start)
    most = 0
    for _ in range(500):
        session.data_received(b"x" * 20_000)
        most = max(most, len(session._buffer))
    assert most <= 4 * MAX_LINE
    assert codes(b"".join(cable.written)) == ["220", "500"]  # said once, at once
    session.data_received(b"\r\nNOOP\r\n")
    assert codes(b"".join(cable.written)) == ["220", "500", "250"]
    session.connection_lost(None)
    listener._door.passwords.close()


@pytest.mark.parametrize("name", ["x" * 255, "x" * 256, "x" * 4000, "a(b)c", "a b", "x\x1b[2J",
                                  "[" + "1" * 300 + "]", "ü", "<script>", "a;b", 'a"b', "a\tb"])  # fmt: skip
async def test_ehlo_takes_names_and_nothing_else(listen, handler, name):
    listener = await listen()
    async with connected(listener.port, greet=False) as talk:
        await talk.answer()
        answer = await talk.say(f"EHLO {name}")
        assert answer.code == (250 if name == "x" * 255 else 501)
        assert name not in answer.text


@pytest.mark.parametrize(
    "request_line",
    ["GET / HTTP/1.1", "POST /u/x HTTP/1.1", "post / HTTP/1.0", "PUT / HTTP/1.1", "Host: 127.0.0.1",
     "CONNECT shop.example:25 HTTP/1.1", "OPTIONS * HTTP/1.1", "PRI * HTTP/2.0"],
)  # fmt: skip
async def test_a_browser_posts_no_mail(listen, handler, request_line):
    """A trusted network may run a browser, or a server that fetches what it is told to."""
    listener = await listen()
    async with connected(listener.port, greet=False) as talk:
        await talk.answer()
        await talk.send(
            f"{request_line}\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n"
            f"EHLO c\r\n{MAIL}\r\nRCPT TO:<b@shop.example>\r\nDATA\r\nx\r\n.\r\n".encode()
        )
        assert (await talk.rest()).startswith(b"421 4.7.0 This is SMTP")
    assert handler.asked == []
