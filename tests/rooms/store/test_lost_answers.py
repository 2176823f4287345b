"""The line breaks between COMMIT and its answer: nobody knows, and it must not matter."""

import pytest

from gatepost.mail.recipient_state import State
from gatepost.store.engine import Store, StoreUnavailable
from gatepost.store.spool.leases import recover
from gatepost.store.tables import mail as tables
from support.proxy import Proxy
from support.submissions import accept, claim, mark, outcome, rows_of, submission

ADDRESS = "anna@example.org"


@pytest.fixture
def far(postgres_server, tmp_path):
    """A store behind a line, and the line."""
    url = postgres_server.database()
    with Proxy(postgres_server.port) as proxy:
        there = url.replace(f":{postgres_server.port}/", f":{proxy.port}/")
        with Store.open(there, tmp_path / "data") as store:
            yield store, proxy
    postgres_server.drop(url)


def lose_the_answer(proxy, work, mark=b""):
    proxy.swallow(mark)
    with pytest.raises(StoreUnavailable):
        work()
    assert proxy.swallowed.is_set()


def recipients(store):
    return [(row["state"], row["attempts"]) for row in rows_of(store, tables.recipient)]


def test_an_acceptance_nobody_heard_of_is_not_repeated_by_us(far):
    store, proxy = far
    lose_the_answer(proxy, lambda: accept(store, submission(ADDRESS)))
    assert recipients(store) == [("ready", 0)], "stored once; the client may send it again"


def test_a_claim_nobody_heard_of_goes_back_at_the_next_start(far):
    store, proxy = far
    accept(store, submission(ADDRESS))
    lose_the_answer(proxy, lambda: claim(store), b"UPDATE recipient SET state")
    assert recipients(store) == [("sending", 1)]
    assert list(claim(store)) == [], "it is under a lease, ours or not"
    assert store.write_now(lambda tx: recover(tx, ["gateway-1"])) == 1
    assert [row.recipient.address.key for row in claim(store)] == [ADDRESS]


@pytest.mark.parametrize(
    ("state", "left"), [(State.DELIVERED, ("delivered", 1)), (State.FAILED, ("failed", 1))]
)
def test_an_outcome_nobody_heard_of_is_recorded_once(far, state, left):
    store, proxy = far
    accept(store, submission(ADDRESS))
    (row,) = claim(store)
    lose_the_answer(proxy, lambda: mark(store, outcome(row, state)))
    before = rows_of(store, tables.recipient)
    assert recipients(store) == [left]
    mark(store, outcome(row, state))  # as the queue does, until the store says that it has it
    assert rows_of(store, tables.recipient) == before
    assert not list(claim(store))
