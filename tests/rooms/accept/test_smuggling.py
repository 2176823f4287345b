"""SMTP smuggling (RS-1, RS-6): whatever is sent as one message comes out as one, for any reader.

The session gets each vector in every segmentation near its trick, and octet by octet; what it
takes is put on the wire as `transmit` does, and read by the most gullible upstream there can be.
"""

import asyncio
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepost.flow.accept.clients import ClientTable
from gatepost.flow.accept.server import Listener
from gatepost.flow.accept.session import Session
from gatepost.flow.transmit.commands import stuff, stuff_in_slices, whole_lines
from gatepost.mail.client import Client
from support.cable import Cable, codes, cut
from support.lenient import Gullible
from support.recording_handler import RecordingHandler
from support.smuggling import FIRST, SECOND, SEPARATORS, smuggled

CLIENTS = ClientTable([Client(name="local", networks=(ip_network("127.0.0.1/32"),))])
BEGIN = b"EHLO c.example\r\nMAIL FROM:<a@acme.example>\r\nRCPT TO:<b@shop.example>\r\nDATA\r\n"


async def play(segments, *, reject):
    """What the session answers, and what it takes as (envelope, content)."""
    handler = RecordingHandler()
    listener = Listener(
        hostname="relay.example.org", handler=handler, clients=CLIENTS, reject_bare_newlines=reject
    )
    session, cable = Session(listener._door, asyncio.get_running_loop()), Cable()
    session.connection_made(cable)
    for segment in (BEGIN, *segments):
        session.data_received(segment)
        if b"\r\n.\r\n" in segment or len(segment) < 3:
            await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    session.connection_lost(None)
    listener._door.passwords.close()
    return codes(b"".join(cable.written)), [(e, c) for _, e, c in handler.taken]


def read_by_the_gullible(content):
    """The messages and the commands that the most lenient upstream finds in a copy."""
    reader = Gullible()
    reader.feed(b"MAIL FROM:<>\r\nRCPT TO:<b@shop.example>\r\nDATA\r\n")
    reader.feed(stuff(whole_lines(content)) + b"QUIT\r\n")
    return reader.messages, reader.commands[3:]


def check(name, outcome, *, reject):
    """One message or a refusal, never a second one, and no command from within."""
    replies, taken = outcome
    assert replies[:5] == ["220", "250", "250", "250", "354"], name
    if "NUL" in name or (reject and any(name.startswith(x) for x in ("LF", "CR")) and bare(name)):
        assert (replies[5:], taken) == (["554"], []), name
        return
    assert replies[5:] == ["250"], name
    ((envelope, content),) = taken
    assert [r.address.given for r in envelope.recipients] == ["b@shop.example"]
    assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")
    assert b"victim@shop.example" in content  # the second message is text of the first
    messages, commands = read_by_the_gullible(content)
    assert len(messages) == 1, name
    assert b"victim@shop.example" in messages[0]
    assert commands == [b"QUIT"]


def bare(name):
    trick = SEPARATORS[name]
    return trick.count(b"\r\n") != trick.count(b"\n") or b"\r" in trick.replace(b"\r\n", b"")


@pytest.mark.parametrize("reject", [False, True], ids=["normalize", "reject"])
@pytest.mark.parametrize("name", SEPARATORS)
async def test_rs6_in_every_segmentation(name, reject):
    wire = smuggled(SEPARATORS[name])
    trick = len(FIRST)
    places = [
        *range(trick - 3, trick + len(SEPARATORS[name]) + 4),
        *range(len(wire) - 6, len(wire)),
    ]
    for place in places:
        check(name, await play([wire[:place], wire[place:]], reject=reject), reject=reject)
    check(name, await play(cut(wire, places), reject=reject), reject=reject)
    octets = [wire[i : i + 1] for i in range(len(wire))]
    check(name, await play(octets, reject=reject), reject=reject)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([*SEPARATORS.values(), SECOND, b"x", b"\r\n", b"."]), max_size=8),
    st.lists(st.integers(0, 4000), max_size=12),
)
def test_any_number_of_tricks_is_one_message_or_a_refusal(pieces, places):
    wire = FIRST + b"".join(pieces) + b"\r\n.\r\n"
    wire = wire[: wire.find(b"\r\n.\r\n") + 5]  # two pieces can make a real end of data
    for reject in (False, True):
        replies, taken = asyncio.run(play(cut(wire, places), reject=reject))
        assert replies[5:] in (["250"], ["554"])
        assert len(taken) == (replies[5:] == ["250"])
        for _, content in taken:
            messages, commands = read_by_the_gullible(content)
            assert (len(messages), commands) == (1, [b"QUIT"])
            assert b"".join(stuff_in_slices(content, size=7)) == stuff(content)


async def test_commands_behind_a_trick_in_a_command_line_are_not_taken(listen, handler):
    """The same tricks outside content: each is one bad line, in any cut."""
    bare_ones = [trick for trick in SEPARATORS.values() if b"\r\n" not in trick]
    for trick in (b"\n", b"\r", b"\n\r", b"\r\r", b"\n\n", b"\0\n", *bare_ones):
        line = b"NOOP x" + trick + b"MAIL FROM:<evil@x.example>\r\n"
        for place in range(1, len(line)):
            replies, taken = await play_commands([line[:place], line[place:]])
            assert replies[:2] == ["220", "250"]
            assert replies[2:] in (["500"], ["250"]), trick  # one line, one reply
            assert taken == []


async def play_commands(segments):
    handler = RecordingHandler()
    listener = Listener(hostname="relay.example.org", handler=handler, clients=CLIENTS)
    session, cable = Session(listener._door, asyncio.get_running_loop()), Cable()
    session.connection_made(cable)
    for segment in (b"EHLO c.example\r\n", *segments):
        session.data_received(segment)
    in_transaction = not session.at_rest
    session.connection_lost(None)
    listener._door.passwords.close()
    assert not in_transaction
    return codes(b"".join(cable.written)), handler.taken


def test_the_reader_is_as_gullible_as_it_says():
    """Each line end that some server takes would split the message, were it let through."""
    for name in ("LF.LF", "LF.CRLF", "CRLF.LF", "CR.CR", "CRLF NUL.CRLF", "CRCRLF.CRCRLF"):
        reader = Gullible()
        reader.feed(b"DATA\r\n" + smuggled(SEPARATORS[name]))
        assert len(reader.messages) == 2, name
