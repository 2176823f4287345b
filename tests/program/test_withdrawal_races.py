"""Promise 3 under load: after a withdrawal is answered, no copy to that address begins.

Upstream and the clicking clients share the test's event loop, so times compare exactly: what
the gateway wrote before it answered a click is read by upstream no later than the click's
answer is seen here. "Begins" is the first octet of content; a MAIL that was pipelined ahead and
is then given up hands nobody a mail. With CHUNKING whole copies are on the wire at once, so
there whatever lies unread in front of upstream had begun.

People leave by every door at the same time: one click, the page of preferences, and mail.
"""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass

import pytest

from gatepost.app.wiring import ring_of
from gatepost.consent.tokens import Claim, Purpose, stream_tag
from gatepost.mail.address import parse
from gatepost.store import campaign_report, campaigns, people
from gatepost.store.subjects import ensure_subjects
from support.consents import granted, withdrawn
from support.ports import free_port
from support.program import Program
from support.reports import leaving as leaving_mail
from support.scale import scale
from support.smtp_talk import connected
from support.upstream import EXTENSIONS, Script, Slow, Upstream
from support.watching import mail, send, states

both_engines = pytest.mark.both_engines

SLOWLY = {"DOT": Slow(0.004, "250 2.0.0 taken")}
CLICKS_AT_ONCE = 8
READERS = scale(1500, 10_000)
LEAVING = READERS * 2 // 5
BY_MAIL = 40  # one after the other, beside the clicks
RETURNS = """
[[smtp]]
port = {port}
role = "returns"
"""


@dataclass
class Click:
    address: str
    answered: float
    status: int
    on_the_wire: bool


def readers(kind, count):
    return [f"{kind}{number}@example.org" for number in range(count)]


def doors(gateway, addresses, stream="newsletter"):
    """How each address may leave: (path, form), or the subject of a mail; all doors in turn."""
    with gateway.store() as store:
        ring = ring_of(store.keys)
        subjects = store.write_now(lambda tx: ensure_subjects(tx, [parse(a) for a in addresses]))
    ways = [
        (Purpose.UNSUBSCRIBE, b"List-Unsubscribe=One-Click"),
        (Purpose.UNSUBSCRIBE, b"List-Unsubscribe=One-Click"),
        (Purpose.UNSUBSCRIBE, b"from=the-button"),
        (Purpose.PREFERENCES, b"action=nothing"),
    ]
    posts, mails = [], []
    for number, address in enumerate(addresses):
        claim = Claim(subjects[address], stream_tag(stream), 7)
        if number < BY_MAIL:
            mails.append((address, ring.seal_for_address(Purpose.MAILTO, claim)))
        else:
            purpose, form = ways[number % len(ways)]
            posts.append((address, f"/{purpose}/{ring.seal(purpose, claim)}", form))
    return posts, mails


async def click_through(gateway, upstream, posts, clicks):
    """One client that posts one form after the other, on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.http_port)
    while posts:
        address, path, form = posts.pop()
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(form)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\n".encode()
            + form
        )
        head = await reader.readuntil(b"\r\n\r\n")
        note(clicks, upstream, address, int(head.split()[1]))
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        await reader.readexactly(length)
    writer.close()


async def mail_in(gateway, upstream, mails, clicks):
    """One mail server that brings one unsubscribe mail after the other."""
    async with connected(gateway.returns_port) as talk:
        for address, subject in mails:
            content = leaving_mail(subject, sender=address)
            reply = await talk.mail(content, "leave@acme.example", mail_from=address)
            note(clicks, upstream, address, 200 if reply.code == 250 else reply.code)


def note(clicks, upstream, address, status):
    """An answer, the moment it is seen, and whether a copy lies unread before upstream."""
    answered, ahead = time.time(), upstream.backlog()
    clicks.append(Click(address, answered, status, f"<{address}>".encode() in ahead))


def returns_too(gateway):
    """Lets people leave by mail."""
    gateway.returns_port = free_port()
    text = gateway.config.read_text().replace(
        'from = ["@acme.example"]',
        'from = ["@acme.example"]\nunsubscribe_mailto = "leave@acme.example"',
    )
    gateway.config.write_text(text + RETURNS.format(port=gateway.returns_port))


def is_late(upstream, began, known):
    """Whether a copy began more than a second after `known`, not only was read that late."""
    return began - known - upstream.held_up(known, began) > 1


def copies_of(mailing):
    """How many copies of it upstream took, by recipient."""
    return Counter(address for one in mailing if one.taken for address in one.recipients)


def of_the_mailing(upstream):
    """Its copies, without what goes to those who left by mail."""
    return [one for one in list(upstream.messages) if b"Subject: Storm" in one.content]


async def until(holds, gateway, seconds=120):
    """Waits without holding up the loop that upstream lives in."""
    end = time.monotonic() + seconds
    while not (await asyncio.to_thread(holds)):
        assert time.monotonic() < end, gateway.log()[-3000:]
        await asyncio.sleep(0.05)


async def begin_mailing(gateway, upstream, addresses, subject):
    """Submits a mailing and waits for its first copies."""
    before = len(upstream.messages)
    code, said = await asyncio.to_thread(send, gateway, addresses, mail(subject))
    assert code == 250, said
    await until(lambda: len(upstream.messages) > before + 100, gateway)


async def storm(tmp_path, extensions, workers=1):
    """A mailing, and people who leave meanwhile.

    Each worker has connections of its own: upstream is slower, so that the mailing is not.
    """
    addresses = readers("reader", READERS)
    leaving = random.Random(3).sample(addresses, LEAVING)
    slowly = {"DOT": Slow(0.004 * workers, "250 2.0.0 taken")}
    async with Upstream(Script(steps=slowly, extensions=extensions)) as upstream:
        options = ("--workers", str(workers))
        gateway = Program(tmp_path, upstream_port=upstream.port, connections=3, options=options)
        returns_too(gateway)
        gateway.record({address: [granted()] for address in addresses})
        posts, mails = doors(gateway, leaving)
        clicks = []
        with gateway:
            await begin_mailing(gateway, upstream, addresses, "Storm")
            await asyncio.gather(
                mail_in(gateway, upstream, mails, clicks),
                *(click_through(gateway, upstream, posts, clicks) for _ in range(CLICKS_AT_ONCE)),
            )
            got = copies_of(of_the_mailing(upstream))
            came_first = sum(click.address in got for click in clicks)
            await until(lambda: states(gateway).keys() <= {"delivered", "dropped"}, gateway)
    return addresses, leaving, clicks, came_first, of_the_mailing(upstream), upstream


def check_outcome(addresses, leaving, clicks, came_first, mailing):
    assert {click.status for click in clicks} == {200}
    assert len(clicks) == len(leaving)
    got = copies_of(mailing)
    assert set(got.values()) == {1}
    assert set(addresses) - set(leaving) <= set(got)
    kept_back = set(leaving) - set(got)
    assert len(kept_back) > LEAVING // 8, "the storm came in time for many"
    assert came_first > 20, "and too late for some"


@both_engines
async def test_no_content_begins_after_a_withdrawal_was_answered(tmp_path):
    *books, _ = await storm(tmp_path, EXTENSIONS)
    check_outcome(*books)
    _, _, clicks, _, mailing = books
    began = {message.recipients[0]: message.content_began for message in mailing}
    late = [c for c in clicks if began.get(c.address, 0) > c.answered]
    assert late == []


@both_engines
async def test_no_copy_is_written_after_a_withdrawal_was_answered_with_chunking(tmp_path):
    *books, _ = await storm(tmp_path, (*EXTENSIONS, "CHUNKING"))
    check_outcome(*books)
    _, _, clicks, _, mailing = books
    assert any(message.chunked for message in mailing)
    began = {message.recipients[0]: message.began for message in mailing}
    late = [c for c in clicks if began.get(c.address, 0) > c.answered and not c.on_the_wire]
    assert late == []


async def test_what_one_worker_answered_the_other_obeys_within_a_second(tmp_path):
    *books, upstream = await storm(tmp_path, EXTENSIONS, workers=2)
    check_outcome(*books)
    _, _, clicks, _, mailing = books
    began = {message.recipients[0]: message.content_began for message in mailing}
    assert [c for c in clicks if is_late(upstream, began.get(c.address, 0), c.answered)] == []


@both_engines
async def test_what_other_processes_record_is_obeyed_within_a_second(tmp_path):
    """A withdrawal, a stopped campaign and a frozen sender, recorded beside the gateway."""
    addresses = readers("reader", 3000)
    leaving = addresses[1::3]
    async with Upstream(Script(steps=SLOWLY)) as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port, connections=2)
        gateway.record({address: [granted()] for address in addresses})
        with gateway, gateway.store() as store:
            await begin_mailing(gateway, upstream, addresses, "Withdrawn elsewhere")
            facts = [(parse(address), [withdrawn()]) for address in leaving]
            await store.write(lambda tx: people.record_many(tx, facts))
            recorded = time.time()
            await until(lambda: max(_began(upstream).values()) > recorded + 2, gateway)
            (campaign,) = await store.read(campaign_report.list_all)
            await store.write(lambda tx: campaigns.stop(tx, campaign.id))
            stopped = time.time()
            await until(lambda: states(gateway).keys() <= _ENDED, gateway)
            began = _began(upstream)
            assert [a for a in leaving if is_late(upstream, began.get(a, 0), recorded)] == []
            assert [a for a, when in began.items() if is_late(upstream, when, stopped)] == []
            outcome = states(gateway, set(addresses) - set(leaving))
            assert outcome["stopped"] > 200, "the stop came in the middle"
            assert outcome["delivered"] + outcome["stopped"] == 2000

            await begin_mailing(gateway, upstream, addresses, "Frozen")
            await store.write(lambda tx: campaigns.freeze(tx, "acme"))
            frozen = time.time()
            await until(lambda: states(gateway).keys() <= _ENDED, gateway)
            assert not is_late(upstream, max(_began(upstream).values()), frozen)
            held = states(gateway)["held"]
            assert held > 200, "the freeze came in the middle"

            before = len(upstream.messages)
            await store.write(lambda tx: campaigns.thaw(tx, "acme"))
            await until(lambda: states(gateway).keys() <= _ENDED - {"held"}, gateway)
            assert len(upstream.messages) == before + held


_ENDED = {"delivered", "dropped", "stopped", "held"}


def _began(upstream):
    """When the last copy to each address began."""
    return {m.recipients[0]: m.content_began for m in list(upstream.messages)}
