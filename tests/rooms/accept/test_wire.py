"""The wire: segmentation, back pressure, time-outs, ends of connections."""

import asyncio
from contextlib import contextmanager
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepost.flow.accept import wire
from gatepost.flow.accept.clients import ClientTable
from gatepost.flow.accept.door import Limits
from gatepost.flow.accept.server import Listener
from gatepost.flow.accept.session import Session
from gatepost.mail.client import Client
from gatepost.mail.reply import Reply
from gatepost.mail.verdict import Reason
from support.cable import Cable, codes, cut
from support.recording_handler import RecordingHandler
from support.smtp_talk import connected, until

LOOPBACK = Client(name="local", networks=(ip_network("127.0.0.1/32"),))
MAIL = "MAIL FROM:<a@acme.example>"
RCPT = b"RCPT TO:<b@shop.example>\r\n"  # any number of them may come
SESSION = (
    b"EHLO c.example\r\nNOOP\nbad\r\nMAIL FROM:<a@acme.example> SIZE=10\r\n"
    b"RCPT TO:<b@shop.example>\r\nRCPT TO:<no@shop.example>\r\nRCPT TO:<>\r\nDATA\r\n"
    b"Subject: x\r\n\r\n..a\r\n\n.\r\n.b\r\n\r\n.\r\n"
    b"MAIL FROM:<>\r\nRCPT TO:<C@shop.example>\r\nDATA\r\n.\r\nNOOP " + b"x" * 5000 + b"\r\n"
    b"XYZZY\r\n\r\nRSET\r\nQUIT\r\nNOOP\r\n"
)
CODES = ["220", "250", "500", "250", "250", "550", "501", "354", "250",
         "250", "250", "354", "250", "500", "500", "500", "250", "221"]  # fmt: skip


async def play(segments, *, ask_later=False):
    """What a session answers and hands over when it gets these segments."""
    handler = RecordingHandler(ask_later=ask_later, verdicts={"no@shop.example": Reason.NO_CONSENT})
    listener = Listener(
        hostname="relay.example.org", handler=handler, clients=ClientTable([LOOPBACK])
    )
    session, cable = Session(listener._door, asyncio.get_running_loop()), Cable()
    session.connection_made(cable)
    for segment in segments:
        session.data_received(segment)
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    session.connection_lost(None)
    listener._door.passwords.close()
    return b"".join(cable.written), [(e, c) for _, e, c in handler.taken], cable


async def test_a_whole_session_in_one_segment():
    written, taken, cable = await play([SESSION])
    assert codes(written) == CODES
    assert [content for _, content in taken] == [b"Subject: x\r\n\r\n.a\r\n\r\n.\r\nb\r\n\r\n", b""]
    assert cable.closed
    # one write per stretch that needs nothing from outside: greeting, to the first end of
    # data, to the second, to QUIT
    assert len(cable.written) <= 6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(SESSION)), max_size=12), st.booleans())
def test_any_segmentation_gives_the_same(places, ask_later):
    whole = asyncio.run(play([SESSION]))
    pieces = asyncio.run(play(cut(SESSION, places), ask_later=ask_later))
    assert pieces[:2] == whole[:2]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from([
            b"EHLO c\r\n", b"MAIL FROM:<a@acme.example>", b"RCPT TO:<b@shop.example>", b"DATA\r\n",
            b"\r\n", b"\r", b"\n", b".", b"\0", b".\r\n", b"\xff", b"x" * 5000, b"NOOP", b"AUTH PLAIN ",
            b"RSET\r\n", b"STARTTLS\r\n",
        ]),
        max_size=25,
    ).map(b"".join),
    st.lists(st.integers(0, 10_000), max_size=10),
)  # fmt: skip
def test_any_octets_in_any_segmentation(octets, places):
    if octets:
        whole = asyncio.run(play([octets]))
        assert asyncio.run(play(cut(octets, places)))[:2] == whole[:2]
        assert b"451" not in whole[0]


async def test_octet_by_octet_over_a_socket(listen, handler):
    handler.verdicts = {"no@shop.example": Reason.NO_CONSENT}
    listener = await listen()
    async with connected(listener.port, greet=False) as talk:
        for octet in SESSION[:400]:
            await talk.send(bytes([octet]))
            await asyncio.sleep(0)
        await talk.send(SESSION[400:])
        assert codes(await talk.rest()) == CODES
    assert len(handler.taken) == 2


async def test_what_follows_the_end_of_data_waits_for_the_answer(listen, handler):
    handler.gate = asyncio.Event()
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk.say(MAIL, "RCPT TO:<b@shop.example>", "DATA")
        await talk.send(
            b"one\r\n.\r\nMAIL FROM:<a@acme.example>\r\nRCPT TO:<c@shop.example>\r\nDATA\r\n"
        )
        handler.reply = Reply(250, "2.0.0", "first")
        handler.gate.set()
        answers = await talk.answers(4)
        assert [a.status for a in answers] == ["250 2.0.0", "250 2.1.0", "250 2.1.5", "354"]
        assert "first" in answers[0].text


async def test_back_pressure_while_a_message_is_taken():
    handler = RecordingHandler(gate=asyncio.Event())
    listener = Listener(hostname="r.example", handler=handler, clients=ClientTable([LOOPBACK]))
    session, cable = Session(listener._door, asyncio.get_running_loop()), Cable()
    session.connection_made(cable)
    session.data_received(
        b"EHLO c\r\nMAIL FROM:<a@acme.example>\r\nRCPT TO:<b@shop.example>\r\nDATA\r\nx\r\n.\r\n"
    )
    session.data_received(RCPT * 10)
    assert not cable.paused
    session.data_received(RCPT * 20_000)
    assert cable.paused
    assert b"taken" not in b"".join(cable.written)
    handler.gate.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not cable.paused
    assert b"".join(cable.written).count(b"503 5.5.1") == 20_010
    session.connection_lost(None)
    listener._door.passwords.close()


async def test_a_client_that_does_not_read_is_not_served_further():
    handler = RecordingHandler()
    listener = Listener(hostname="r.example", handler=handler, clients=ClientTable([LOOPBACK]))
    session, cable = Session(listener._door, asyncio.get_running_loop()), Cable()
    session.connection_made(cable)
    session.pause_writing()
    before = len(cable.written)
    session.data_received(RCPT * 20_000)
    assert len(cable.written) == before
    assert cable.paused
    session.resume_writing()
    assert b"".join(cable.written).count(b"503 5.5.1") == 20_000
    assert not cable.paused
    session.connection_lost(None)
    listener._door.passwords.close()


@contextmanager
def time_passed(seconds):
    """The loop's clock is that much further."""
    loop = asyncio.get_running_loop()
    clock = loop.time
    loop.time = lambda: clock() + seconds
    yield
    loop.time = clock


@pytest.mark.parametrize("said", [b"", b"NOO", b"EHLO c\r\nMAIL FROM:<a@acme.example>\r\n"])
async def test_idle_time_out(listen, said):
    listener = await listen(limits=Limits(idle_seconds=0.2))
    async with connected(listener.port, greet=False) as talk:
        await talk.send(said)
        assert (await talk.rest()).endswith(b"421 4.4.2 Time-out, closing\r\n")
    await until(lambda: listener.connections == 0)


async def test_dribbling_a_line_is_idling(listen):
    listener = await listen(limits=Limits(idle_seconds=0.3))
    async with connected(listener.port, greet=False) as talk:

        async def dribble():
            while True:
                await talk.send(b"x")
                await asyncio.sleep(0.02)

        dribbling = asyncio.create_task(dribble())
        assert b"421 4.4.2" in await talk.rest()
        dribbling.cancel()


async def test_who_is_told_to_go_and_stays_is_cut_off(listen, monkeypatch):
    monkeypatch.setattr(wire, "_LINGER_SECONDS", 0.1)
    listener = await listen(limits=Limits(idle_seconds=0.1))
    async with connected(listener.port, greet=False) as talk:
        assert (await talk.answer()).code == 220
        await until(lambda: listener.connections == 0)


async def test_the_whole_of_data_has_a_time_out(listen, handler):
    listener = await listen(limits=Limits(idle_seconds=60, data_seconds=0.3))
    async with connected(listener.port) as talk:
        await talk.say(MAIL, "RCPT TO:<b@shop.example>", "DATA")

        async def dribble():
            while True:
                await talk.send(b"x\r\n")
                await asyncio.sleep(0.02)

        dribbling = asyncio.create_task(dribble())
        assert b"421 4.4.2" in await talk.rest()
        dribbling.cancel()
    assert handler.taken == []


async def test_our_own_slowness_is_no_idling(listen, handler):
    handler.gate = asyncio.Event()
    listener = await listen(limits=Limits(idle_seconds=60))
    async with connected(listener.port) as talk:
        await talk.say(MAIL, "RCPT TO:<b@shop.example>", "DATA")
        await talk.send(b"x\r\n.\r\n")
        await until(lambda: handler.waiting)
        with time_passed(200):
            await asyncio.sleep(0.1)  # timers go off
        handler.gate.set()
        assert (await talk.answer()).status == "250 2.0.0"


async def test_a_message_is_taken_though_the_client_went_away(listen, handler):
    handler.gate = asyncio.Event()
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk.say(MAIL, "RCPT TO:<b@shop.example>", "DATA")
        await talk.send(b"x\r\n.\r\n")
        await until(lambda: handler.waiting)
        talk.abort()
        await until(lambda: listener.connections == 0)
        handler.gate.set()
        await until(lambda: handler.taken)
    assert handler.contents == [b"x\r\n"]


async def test_half_of_a_message_is_no_message(listen, handler):
    handler.verdicts = {"no@shop.example": Reason.NO_CONSENT}
    listener = await listen()
    async with connected(listener.port) as talk:
        await talk.say(MAIL, "RCPT TO:<b@shop.example>")
        await talk.say("RCPT TO:<no@shop.example>", "DATA")
        await talk.send(b"x\r\n.\r")
        talk.end()
        assert await talk.rest() == b""
    assert handler.taken == []
    assert len(handler.ended) == 1  # the refusal still goes on record


async def test_a_half_closed_connection_is_answered(listen, handler):
    handler.gate = asyncio.Event()
    listener = await listen()
    async with connected(listener.port, greet=False) as talk:
        await talk.send(
            b"EHLO c\r\nMAIL FROM:<a@acme.example>\r\nRCPT TO:<b@shop.example>\r\nDATA\r\nx\r\n.\r\nNOOP\r\n"
        )
        talk.end()
        await until(lambda: handler.waiting)
        handler.gate.set()
        assert codes(await talk.rest()) == ["220", "250", "250", "250", "354", "250", "250"]


async def test_a_large_message_in_many_segments(listen, handler):
    listener = await listen()
    content = b"".join(b"%06d some text of no interest\r\n" % n for n in range(100_000))
    async with connected(listener.port) as talk:
        assert (await talk.mail(content, "b@shop.example")).status == "250 2.0.0"
    assert handler.contents == [content]
