"""Large content: put away while it comes, fetched when there is memory, clients by turns."""

import asyncio
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.flow.accept import cellar as rooms
from gatepost.flow.accept import wire
from gatepost.flow.accept.cellar import Cellar, Crowded
from gatepost.flow.accept.content import Content, Trouble
from gatepost.flow.accept.door import Limits
from gatepost.mail.client import Client
from support.smtp_talk import connected, until

MAIL = "MAIL FROM:<a@acme.example>"
RCPT = "RCPT TO:<b@shop.example>"
LARGE = b"Subject: large\r\n\r\n" + b"..stuffed\r\n" + b"x" * 76 * 9000 + b"\r\n"
PIECES = st.lists(
    st.sampled_from([b"\r", b"\n", b".", b"\r\n.", b"..", b"a", b"\0"]), max_size=30
).map(b"".join)


@pytest.fixture
def cellar(tmp_path):
    cellar = Cellar(tmp_path, memory=1000, patience=1.0)
    yield cellar
    cellar.close()


@given(PIECES, st.lists(st.integers(0, 60)), st.booleans())
def test_put_away_or_held_it_is_the_same(tmp_path_factory, pieces, places, reject):
    folder = tmp_path_factory.getbasetemp()
    wire = pieces + b"\r\n.\r\n"
    outcomes = []
    for put_away in (False, True):
        content, at = Content(10_000, reject_bare_newlines=reject), 0
        for end in [*sorted({place % len(wire) for place in places}), len(wire)]:
            content.feed(wire[at:end])
            at = end
            if content.complete:
                break
            if put_away:
                content.put_away(folder)
                assert content.in_memory == 0
        outcomes.append(content.finish())
    assert outcomes[0] == outcomes[1]
    assert not list(Path(folder).glob("tmp*"))


async def test_who_finds_no_room_waits(cellar):
    order = []

    async def work(name, octets, done):
        async with cellar.room(name, octets):
            order.append(name)
            await done.wait()

    first, rest = asyncio.Event(), asyncio.Event()
    rest.set()
    tasks = [asyncio.create_task(work("flood", 400, first))]
    tasks += [asyncio.create_task(work("flood", 400, rest)) for _ in range(5)]
    tasks.append(asyncio.create_task(work("single", 400, rest)))
    await asyncio.sleep(0)
    assert order == ["flood"]
    assert cellar.used == 800
    first.set()
    await asyncio.gather(*tasks)
    assert order.index("single") <= 2  # not behind all of the flood
    assert cellar.used == 0


async def test_a_message_larger_than_the_budget_has_its_turn_alone(cellar):
    async with cellar.room("a", 5000):
        with pytest.raises(Crowded):
            async with cellar.room("b", 1):
                pass
    async with cellar.room("b", 1):
        assert cellar.used == 2


async def test_who_goes_away_while_waiting_takes_nothing_along(cellar):
    async with cellar.room("a", 500):
        waiting = asyncio.create_task(cellar.room("b", 500).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert cellar.used == 0
    async with cellar.room("c", 500):
        assert cellar.used == 1000


async def test_large_mail_arrives_as_it_was(listen, handler, tmp_path):
    cellar = Cellar(tmp_path, memory=1)
    listener = await listen(cellar=cellar)

    async def send():
        async with connected(listener.port) as talk:
            return (await talk.mail(LARGE, "b@shop.example")).status

    assert await asyncio.gather(*(send() for _ in range(5))) == ["250 2.0.0"] * 5
    plain = LARGE.replace(b"\r\n.", b"\r\n")
    assert handler.contents == [plain] * 5
    assert cellar.used == 0
    assert list(tmp_path.iterdir()) == []
    cellar.close()


async def test_who_waits_too_long_may_come_again(listen, handler, tmp_path):
    handler.gate = asyncio.Event()
    cellar = Cellar(tmp_path, memory=1, patience=0.05)
    listener = await listen(cellar=cellar)
    async with connected(listener.port) as first, connected(listener.port) as second:
        await first.say(MAIL, RCPT, "DATA")
        await first.send(LARGE + b".\r\n")
        await until(lambda: cellar.used)
        assert (await second.mail(LARGE, "b@shop.example")).status == "452 4.4.5"
        assert (await second.say("NOOP")).code == 250
        handler.gate.set()
        assert (await first.answer()).status == "250 2.0.0"
        assert (await second.mail(LARGE, "b@shop.example")).status == "250 2.0.0"
    cellar.close()


async def test_small_mail_does_not_wait_for_large(listen, handler, tmp_path):
    cellar = Cellar(tmp_path, memory=1)
    listener = await listen(cellar=cellar)
    async with cellar.room("somebody", 1000):
        async with connected(listener.port) as large, connected(listener.port) as small:
            await large.say(MAIL, RCPT, "DATA")
            await large.send(LARGE + b".\r\n")
            assert (await small.mail(b"small\r\n", "b@shop.example")).status == "250 2.0.0"
            assert handler.contents == [b"small\r\n"]
            large.abort()
            await until(lambda: listener.connections <= 1)
        assert handler.contents == [b"small\r\n"]
    assert cellar.used == 0
    cellar.close()


@pytest.mark.parametrize("crowded", [False, True])
async def test_452_where_the_disk_has_no_room(listen, handler, tmp_path, monkeypatch, crowded):
    if crowded:
        monkeypatch.setattr(rooms, "UNDERWAY", 0)  # the event loop writes by itself
    room = False
    cellar = Cellar(tmp_path, has_room=lambda _octets: room)
    listener = await listen(cellar=cellar)
    async with connected(listener.port) as talk:
        assert (await talk.mail(LARGE, "b@shop.example")).status == "452 4.3.1"
        room = True
        assert (await talk.mail(LARGE, "b@shop.example")).status == "250 2.0.0"
    assert len(handler.taken) == 1
    cellar.close()


async def test_452_where_writing_fails(listen, tmp_path):
    cellar = Cellar(tmp_path / "gone")
    listener = await listen(cellar=cellar)
    async with connected(listener.port) as talk:
        assert (await talk.mail(LARGE, "b@shop.example")).status == "452 4.3.1"
    cellar.close()


def test_a_full_disk_is_no_exception():
    content = Content(1_000_000, reject_bare_newlines=False)
    content.feed(b"x" * 1000)
    content.put_away(Path("/proc"))  # no files there
    assert content.in_memory == 0
    content.feed(b"\r\n.\r\n")
    assert content.finish() is Trouble.NO_ROOM


async def test_an_octet_now_and_then_keeps_no_session(listen, monkeypatch):
    """Slow-loris: neither a command line nor content may take for ever."""
    monkeypatch.setattr(wire, "_LINGER_SECONDS", 0.1)  # it goes on dripping, and is cut off
    limits = Limits(idle_seconds=1.0, least_rate=1e6)
    listener = await listen(limits=limits)

    async def drip(talk):
        while listener.connections:
            await talk.send(b"x")
            await asyncio.sleep(0.02)

    for lines in ((), (MAIL, RCPT, "DATA")):
        async with connected(listener.port) as talk:
            if lines:
                await talk.say(*lines)
            dripping = asyncio.create_task(drip(talk))
            assert (await talk.answer()).status == "421 4.4.2"
            await asyncio.gather(dripping, return_exceptions=True)


async def test_a_session_without_a_message_ends(listen, handler):
    listener = await listen(limits=Limits(idle_seconds=1.0, barren_seconds=1.5))
    async with connected(listener.port) as talk:
        answer = await talk.say("NOOP")
        while answer.code == 250:  # never silent for long
            await asyncio.sleep(0.02)
            answer = await talk.say("NOOP")
        assert answer.status == "421 4.4.2"


async def test_strangers_leave_room_for_clients(listen):
    client = Client(name="far", networks=(ip_network("127.0.0.2/32"),))
    listener = await listen([client], limits=Limits(connections=4, connections_per_client=4))
    async with connected(listener.port), connected(listener.port):
        async with connected(listener.port, greet=False) as third:
            assert (await third.answer()).status == "421 4.7.0"
        async with connected(listener.port, source="127.0.0.2"):
            assert listener.connections >= 3


async def test_one_answer_to_content_whatever_goes_wrong_on_its_way(listen, handler, cellar):
    """A second one would answer the next command, and each after it the one before."""
    cellar.close()  # stands for a system that gives no thread
    listener = await listen(cellar=cellar)
    async with connected(listener.port) as talk:
        for _ in range(2):
            assert (await talk.mail(LARGE, "b@shop.example")).status == "452 4.3.1"
        assert (await talk.mail(b"x\r\n", "b@shop.example")).status == "250 2.0.0"
        assert (await talk.say("QUIT")).code == 221
    assert handler.contents == [b"x\r\n"]


async def test_content_that_cannot_be_fetched_ends_its_transaction(listen, handler, cellar):
    listener = await listen(cellar=cellar)
    async with connected(listener.port) as talk:
        await talk.say(MAIL, RCPT, "DATA")
        await talk.send(LARGE)
        (session,) = listener._door.sessions
        await until(lambda: session._content.size == len(LARGE) and not session._task)
        assert session._content.is_put_away
        cellar.close()
        await talk.send(b".\r\n")
        assert (await talk.answer()).status == "451 4.3.0"
        assert (await talk.mail(b"x\r\n", "c@shop.example")).status == "250 2.0.0"
    ((_, envelope, _),) = handler.taken
    assert [str(one.address) for one in envelope.recipients] == ["c@shop.example"]
