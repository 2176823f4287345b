"""Reading ahead: for large mailings, and of a few recipients while the disk is not needed."""

import asyncio
import threading
from itertools import chain

import pytest

from gatepost.flow.spool import ahead
from gatepost.flow.spool.ahead import Ahead
from gatepost.mail.address import parse
from gatepost.store import people
from support.consents import granted
from support.submissions import submission

MANY = [f"p{number}@example.org" for number in range(600)]


@pytest.fixture
def blocks(monkeypatch):
    """Says how much came from the disk; the people of each portion are told."""

    class Told(list):
        number = 0

    told = Told()
    touch = people.touch

    def touched(tx, addresses, stream, sender):
        touch(tx, addresses, stream, sender)
        told.append([address.given for address in addresses])
        return told.number

    monkeypatch.setattr(ahead.people, "touch", touched)
    return told


def test_only_many_recipients_with_consents_in_an_embedded_store_pay(store):
    reader = Ahead(store)
    many = submission(*MANY, needs_standing=True)
    assert reader.pays(many) is store.is_embedded
    assert not reader.pays(submission(*MANY[:19], needs_standing=True))
    assert not reader.pays(submission(*MANY, needs_standing=False))


async def test_a_mailing_is_read_whole_while_the_disk_is_needed(store, blocks):
    reader, mailing = Ahead(store), submission(*MANY, needs_standing=True)
    blocks.number = 8
    assert await reader.read(mailing) == len(MANY)
    assert sorted(chain.from_iterable(blocks)) == sorted(MANY)
    assert max(map(len, blocks)) == ahead.PORTION


async def test_a_few_are_tried_while_it_is_not(store, blocks):
    reader, mailing = Ahead(store), submission(*MANY, needs_standing=True)
    assert await reader.read(mailing) == len(MANY) // ahead.TRIED
    assert list(chain.from_iterable(blocks)) == MANY[: len(MANY) // ahead.TRIED]


async def test_nobody_waits_for_all_of_it(store, monkeypatch):
    """Such as who looks for fresh withdrawals, without whom no copy begins."""
    begun, gate = threading.Semaphore(0), threading.Semaphore(0)

    def touched(_tx, **_what):
        begun.release()
        assert gate.acquire(timeout=30)
        return 8

    monkeypatch.setattr(ahead.people, "touch", touched)
    mailing = submission(*MANY, needs_standing=True)
    reading = asyncio.ensure_future(Ahead(store).read(mailing))
    gate.release()  # the few that are tried
    for _ in range(1 + ahead.AT_ONCE):
        assert await asyncio.to_thread(begun.acquire, timeout=30)
    look = asyncio.ensure_future(store.read(lambda _tx: "seen"))
    await asyncio.sleep(0)
    gate.release(ahead.AT_ONCE)
    assert await asyncio.wait_for(look, 30) == "seen"
    gate.release(len(MANY))
    assert await reading == len(MANY)


async def test_a_store_that_is_away_keeps_nothing_from_being_accepted(store):
    reader, mailing = Ahead(store), submission(*MANY, needs_standing=True)
    store.close()
    assert await reader.read(mailing)


def test_touching_reads_what_a_decision_reads(store):
    """Of a person who is known, of a stranger, and of nobody."""
    anna, bo = parse("anna@example.org"), parse("bo@example.org")
    store.write_now(lambda tx: people.record(tx, anna, [granted()]))

    def touch(*addresses):
        return store.read_now(lambda tx: people.touch(tx, addresses, "newsletter", "acme"))

    assert touch(anna, bo) >= 0
    assert touch() >= 0
    assert store.read_now(
        lambda tx: people.look_up(tx, [anna, bo], "newsletter", "acme")
    ).keys() == {anna.key}
