"""How often a gateway waits for a PostgreSQL that is far away: as often for a thousand as for one."""

import pytest

from gatepost.mail.address import parse
from gatepost.mail.recipient_state import State
from gatepost.store import content, ids, people
from gatepost.store.engine import Store
from support.consents import granted, withdrawn
from support.long_line import LongLine
from support.submissions import accept, claim, mark, outcome, submission

MANY = [f"reader{number}@kund.example" for number in range(1000)]
MEGABYTES = 5


@pytest.fixture
def line(postgres_server):
    with LongLine(postgres_server.port) as line:
        yield line


@pytest.fixture
def store(line, postgres_server, postgres_url, tmp_path):
    url = postgres_url.replace(f":{postgres_server.port}/", f":{line.port}/")
    with Store.open(url, tmp_path / "data") as store:
        yield store


def counted(line, work, *given):
    """How often somebody waits for the server while `work` is done, and what it says."""
    before = line.turns
    found = work(*given)
    return line.turns - before, found


def test_a_mailing_is_accepted_claimed_and_marked_in_as_many_turns_as_one_mail(store, line):
    def mailing(addresses):
        accepting, _ = counted(line, accept, store, submission(*addresses))
        claiming, rows = counted(line, lambda: claim(store, limit=len(addresses)))
        assert len(rows) == len(addresses)
        done = [outcome(row, State.DELIVERED) for row in rows]
        marking, lost = counted(line, lambda: mark(store, *done))
        assert not lost
        return accepting, claiming, marking

    mailing(MANY[:2])  # whatever is prepared once
    for size in (1, 50, len(MANY)):
        accepting, claiming, marking = mailing(MANY[:size])
        assert accepting <= 4
        assert claiming <= 12  # two: urgent mail, and bulk mail
        assert marking <= 4


def test_consents_and_withdrawals_are_recorded_in_as_many_turns_as_one(store, line):
    def record(addresses, fact):
        return counted(
            line,
            store.write_now,
            lambda tx: people.record_many(tx, [(parse(one), [fact]) for one in addresses]),
        )[0]

    record(MANY[:2], granted())
    assert record(MANY[:1], withdrawn()) <= 10
    assert record(MANY, granted()) <= 10
    assert record(MANY, withdrawn()) <= 10


async def test_large_content_takes_some_turns_for_each_megabyte(store, line):
    large, number = b"x" * (MEGABYTES << 20), ids.new_id()
    before = line.turns
    await content.stage(store, number, large)
    assert line.turns - before <= 4 * MEGABYTES + 4
    loading, found = counted(line, store.read_now, lambda tx: content.load(tx, number))
    assert found == large
    assert loading <= MEGABYTES + 12  # a reader connects
