"""Three gateways on one PostgreSQL: one is killed, one is cut off, one has a wrong clock.

Any of them takes mail, sends it, and answers withdrawals. The tests share the three and are run
in their order; each mailing is a campaign with recipients of its own.
"""

import json
import random
import smtplib
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import cycle

import pytest
from sqlalchemy import text

from gatepost.app.wiring import ring_of
from gatepost.consent.tokens import Claim, Purpose, stream_tag
from gatepost.mail.address import parse
from gatepost.store.subjects import ensure_subjects
from support.aftermath import examine, until_quiet
from support.scale import scale
from support.trio import WRONG_SECONDS, Trio, holder_of
from support.watching import copies, mail, request, rows, send, wait_until

TOGETHER = 10  # recipients of one submission
CUT_SECONDS = scale(5, 30)
PATIENCE_SECONDS = scale(240, 600)
READERS = {
    "roaming": [f"roaming{number}@example.org" for number in range(scale(300, 2000))],
    "killed": [f"killed{number}@example.org" for number in range(scale(400, 6000))],
    "cut": [f"cut{number}@example.org" for number in range(scale(450, 4000))],
}
_HELD = text("SELECT address FROM recipient WHERE state = 'sending' AND lease_by = :holder")


@pytest.fixture(scope="module")
def trio(tmp_path_factory, postgres_server):
    everybody = [reader for readers in READERS.values() for reader in readers]
    with Trio(tmp_path_factory.mktemp("trio"), postgres_server, everybody) as three:
        yield three


@pytest.fixture(scope="module")
def acknowledged():
    """Every recipient of what any gateway answered with 250."""
    return []


def parts(readers, size=TOGETHER):
    return [readers[start : start + size] for start in range(0, len(readers), size)]


def mailing(name):
    return mail(name, f"X-Gatepost-Campaign: {name}")


@pytest.fixture(scope="module")
def tokens(trio):
    """What stands in everybody's links; it is the same whichever gateway made it."""
    everybody = [parse(reader) for readers in READERS.values() for reader in readers]
    with trio.first.store() as store:
        ring = ring_of(store.keys)
        subjects = store.write_now(lambda tx: ensure_subjects(tx, everybody))
    tag = stream_tag("newsletter")
    return {
        address: ring.seal(Purpose.UNSUBSCRIBE, Claim(subject, tag, 7))
        for address, subject in subjects.items()
    }


def leave(gateway, addresses, tokens):
    """Clicks on the link of each address at this gateway; when each click was answered."""
    answered = {}
    for address in addresses:
        link = f"http://127.0.0.1:{gateway.http_port}/u/{tokens[address]}"
        assert request("POST", link, b"List-Unsubscribe=One-Click") == 200
        answered[address] = time.time()
    return answered


def held_by(gateway, among):
    """Whose copies this gateway has in hand, or died with."""
    with among.store() as store:
        found = store.read_now(
            lambda tx: tx.connection.execute(_HELD, {"holder": holder_of(gateway)}).all()
        )
    return {address for (address,) in found}


def arrived(trio, readers):
    return len(copies(trio.upstream).keys() & set(readers))


def began_late(trio, answered):
    """Copies that began more than a second after their withdrawal was answered."""
    return [
        (message.recipients[0], message.content_began - answered[message.recipients[0]])
        for message in list(trio.upstream.messages)
        if is_late(trio, message, answered.get(message.recipients[0], message.content_began))
    ]


def is_late(trio, message, known):
    """Whether it began more than a second after `known`, not only was read that late."""
    began = message.content_began
    return began - known - trio.upstream.held_up(known, began) > 1


def settled(trio, readers, *, seconds=PATIENCE_SECONDS):
    """Waits until nobody of `readers` is on the way; their states."""
    wanted = set(readers)

    def ended():
        found = Counter(state for address, state, _ in rows(trio.first) if address in wanted)
        return found if found.keys() <= {"delivered", "dropped"} and found.total() else None

    return wait_until(ended, trio.third, seconds)


def test_any_of_them_accepts_sends_and_answers_withdrawals(trio, tokens, acknowledged):
    readers = READERS["roaming"]
    leaving = random.Random(5).sample(readers, len(readers) // 2)
    shares = {one: leaving[number::3] for number, one in enumerate(trio.all)}
    with ThreadPoolExecutor() as together, trio.upstream.thinking(0.2):
        thirds = parts(readers, -(-len(readers) // 3))
        said = together.map(
            lambda each: send(*each, mailing("roaming")), zip(trio.all, thirds, strict=True)
        )
        assert {code for code, _ in said} == {250}
        clicks = [together.submit(leave, one, share, tokens) for one, share in shares.items()]
        answered = {address: when for click in clicks for address, when in click.result().items()}
    acknowledged += readers
    outcome = settled(trio, readers)
    assert outcome.total() == len(readers)
    assert outcome["dropped"] > 20, "the clicks came in time for many"
    assert began_late(trio, answered) == []
    senders = Counter(trio.sender_of(message).folder.name for message in trio.upstream.messages)
    assert senders.keys() == {"first", "second", "third"}


def test_the_third_believes_in_another_time_throughout(trio):
    last = json.loads(trio.third.log().splitlines()[-1])
    ahead = datetime.fromisoformat(last["timestamp"]).timestamp() - time.time()
    assert WRONG_SECONDS - 300 < ahead < WRONG_SECONDS + 60  # it may have been silent for a while


def test_one_is_killed_under_load(trio, acknowledged):
    readers = READERS["killed"]
    waiting = iter(parts(readers))

    def client(choice):
        taken = []
        for part in waiting:
            try:
                (code, _), _ = trio.send_somewhere(choice, part, mailing("killed"))
            except (OSError, smtplib.SMTPException):  # it was killed before it could answer
                continue
            if code == 250:
                taken += part
        return taken

    with ThreadPoolExecutor() as together:
        with trio.upstream.thinking(0.2):
            clients = [together.submit(client, gateway) for gateway in trio.all * 2]
            wait_until(lambda: arrived(trio, readers) > 60, trio.third)
            trio.first.kill()
            in_flight = held_by(trio.first, trio.third)
        taken = [reader for one in clients for reader in one.result()]
    acknowledged += taken
    assert in_flight, "it died with work in hand"
    assert arrived(trio, readers) < len(readers), "the kill came in the middle"
    if scale(short=True, full=False):  # else the others take its work up when its lease is over
        trio.first.start()
    outcome = settled(trio, taken)
    assert outcome.total() == outcome["delivered"] >= len(readers) - 6 * TOGETHER
    got = copies(trio.upstream)
    twice = {reader for reader in readers if got[reader] > 1}
    assert twice <= in_flight, "twice is what the dead one had on the wire, and nothing else"
    assert max(got[reader] for reader in readers) <= 2
    if scale(short=False, full=True):
        trio.first.start()


def test_one_is_cut_off_from_the_store(trio, tokens, acknowledged):
    """It begins nothing within a second, so that those who leave elsewhere have left."""
    readers = READERS["cut"]
    own, others = readers[: len(readers) * 2 // 3], readers[len(readers) * 2 // 3 :]
    assert send(trio.second, own, mailing("cut"))[0] == 250
    wait_until(lambda: arrived(trio, own) > 40, trio.second)
    trio.line.hang()
    trio.line.cut()
    cut_at = time.time()
    in_hand = sorted(held_by(trio.second, trio.third) - copies(trio.upstream).keys())
    leaving = in_hand[len(in_hand) // 2 :]
    with ThreadPoolExecutor() as together:
        clicks = [
            together.submit(leave, trio.first, leaving[::2], tokens),
            together.submit(leave, trio.third, leaving[1::2], tokens),
        ]
        for part, gateway in zip(parts(others), cycle((trio.first, trio.third)), strict=False):
            assert send(gateway, part, mailing("cut"))[0] == 250
        answered = {address: when for click in clicks for address, when in click.result().items()}
    wait_until(lambda: time.time() > cut_at + CUT_SECONDS)
    back_at = time.time()
    trio.line.resume()
    acknowledged += readers
    outcome = settled(trio, readers)
    assert outcome.total() == len(readers)
    assert len(leaving) >= outcome["dropped"] > 50, "it had much in hand"
    assert began_late(trio, answered) == []
    blind = [
        message
        for message in trio.upstream.messages
        if is_late(trio, message, cut_at)
        and message.content_began < back_at
        and trio.sender_of(message) is trio.second
    ]
    assert blind == []
    got = copies(trio.upstream)
    assert {got[reader] for reader in set(readers) - set(leaving)} == {1}
    assert sum(got[reader] for reader in readers) == outcome["delivered"], "nothing twice"


def test_the_books_are_right_and_the_same_everywhere(trio, acknowledged):
    until_quiet(trio.first)
    books = examine(trio.first, trio.upstream, acknowledged=acknowledged, lost_answers=1)

    def asked(gateway):
        return [
            json.loads(gateway.run("campaign", "show", str(one["id"]), "--json").stdout)
            for one in json.loads(gateway.run("campaign", "list", "--json").stdout)
        ]

    with ThreadPoolExecutor() as together:
        first, second, third = together.map(asked, trio.all)
    assert first == second == third
    assert {one["name"] for one in first} == READERS.keys()
    for campaign in first:
        mine = [row for row in books.rows if row.address in set(READERS[campaign["name"]])]
        there = Counter(row.state for row in mine)
        assert campaign["recipient_count"] == len(mine) == len(campaign["recipients"])
        assert campaign["outcomes"]["delivered"] == there["delivered"]
        assert campaign["outcomes"]["queued"] == campaign["outcomes"]["failed"] == 0
        assert campaign["verdicts"].get("drop", 0) == there["dropped"]
