"""The bell rings at COMMIT and not before, is heard elsewhere, and comes back with the server."""

import queue
from contextlib import contextmanager

import pytest

from gatepost.mail.address import parse
from gatepost.mail.recipient_state import State
from gatepost.store import bell, campaigns, people
from gatepost.store.bell import Bell, Ring, ring
from gatepost.store.engine import Store
from gatepost.store.spool import quarantine
from gatepost.store.spool import queue as spooled
from support.consents import granted, suppressed, withdrawn
from support.submissions import HOLD, LEASE, accept, claim, mark, outcome, submission

ANN = parse("ann@kund.example")


@pytest.fixture
def store(postgres_url, tmp_path):
    with Store.open(postgres_url, tmp_path / "data") as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(bell, "PAUSE_SECONDS", 0.0)


@contextmanager
def heard_on(url):
    """What a bell hears after its beginning."""
    rings = queue.SimpleQueue()
    listening = Bell(url, rings.put)
    listening.start()
    try:
        first = {rings.get(timeout=120) for _ in Ring}
        assert first == set(Ring), "what was missed before is looked at once"
        yield rings
    finally:
        listening.close()


def held(store):
    """A recipient in quarantine."""
    accept(store, submission("held@kund.example", verdicts={"held@kund.example": HOLD}))
    return store.read_now(quarantine.list_quarantine)[0].id


def deferred(store):
    accept(store, submission("late@kund.example"))
    (row,) = claim(store)
    mark(
        store,
        outcome(
            row, State.DEFERRED, "451 later", next_attempt=store.now() + 10 * LEASE.retry_after
        ),
    )
    return row.id


def test_what_rings(store, postgres_url):
    held_id, late_id = held(store), deferred(store)
    (result,) = accept(store, submission("one@kund.example"))
    store.write_now(lambda tx: people.record(tx, ANN, [granted()]))
    with heard_on(postgres_url) as rings:
        for what, do in (
            (Ring.MAIL, lambda tx: spooled.retry(tx, [late_id])),
            (Ring.ENDINGS, lambda tx: people.record(tx, ANN, [withdrawn()])),
            (Ring.MAIL, lambda tx: quarantine.release(tx, [held_id], "asked for")),
            (Ring.ENDINGS, lambda tx: people.record(tx, ANN, [suppressed()])),
            (Ring.ENDINGS, lambda tx: campaigns.stop(tx, result.campaign)),
            (Ring.ENDINGS, lambda tx: campaigns.freeze(tx, "acme")),
        ):
            store.write_now(do)
            assert rings.get(timeout=120) is what
        accept(store, submission("two@kund.example"))
        assert rings.get(timeout=120) is Ring.MAIL


def test_what_is_nobody_elses_business_is_silent(store, postgres_url):
    with heard_on(postgres_url) as rings:
        accept(store, submission("mine@kund.example", claim=True))
        store.write_now(lambda tx: people.record(tx, ANN, [granted()]))
        store.write_now(lambda tx: ring(tx, Ring.ENDINGS))
        assert rings.get(timeout=120) is Ring.ENDINGS, "it is the first"


def test_what_was_rolled_back_has_not_rung(store, postgres_url):
    def fail(tx):
        ring(tx, Ring.MAIL)
        raise ValueError("no")

    with heard_on(postgres_url) as rings:
        with pytest.raises(ValueError, match="no"):
            store.write_now(fail)
        store.write_now(lambda tx: ring(tx, Ring.ENDINGS))
        assert rings.get(timeout=120) is Ring.ENDINGS


def test_it_does_not_ring_all_the_time(store, postgres_url, monkeypatch):
    monkeypatch.setattr(bell, "PAUSE_SECONDS", 3600.0)
    with heard_on(postgres_url) as rings:
        for _ in range(5):
            store.write_now(lambda tx: ring(tx, Ring.MAIL))
        store.write_now(lambda tx: ring(tx, Ring.ENDINGS))
        assert rings.get(timeout=120) is Ring.MAIL
        assert rings.get(timeout=120) is Ring.ENDINGS


def test_after_the_server_was_away_it_is_heard_again(
    store, postgres_url, postgres_server, monkeypatch
):
    monkeypatch.setattr(bell, "_AGAIN_SECONDS", (0.1,))
    with heard_on(postgres_url) as rings:
        postgres_server.down()
        postgres_server.up()
        assert {rings.get(timeout=120) for _ in Ring} == set(Ring), "who knows what was missed"
        store.write_now(lambda tx: ring(tx, Ring.MAIL))
        assert rings.get(timeout=120) is Ring.MAIL


def test_a_bell_without_a_server_ends_all_the_same(postgres_server):
    silent = Bell("postgresql://gatepost@127.0.0.1:9/none", lambda _what: None)
    silent.start()
    silent.close()
