"""Joining on either engine, also when two gateways do it at the same moment."""

import threading
from datetime import timedelta

import pytest

from gatepost.app.wiring import ring_of
from gatepost.consent.evidence import EventKind, TextState
from gatepost.mail.address import parse
from gatepost.mail.duration import Duration
from gatepost.mail.recipient_state import State
from gatepost.store import people, signups
from gatepost.store.engine import Store
from gatepost.store.tables import mail as tables
from gatepost.store.tables.signups import signup, welcome
from gatepost.web.joining import Joiner, Wanted
from gatepost.web.site import Confirming
from gatepost.web.visitor import Visitor
from support.signups import letters
from support.site import SENDERS, STREAMS, correspondence
from support.submissions import change, claim, mark, outcome, rows_of

ANNA = parse("anna@example.org")
CONFIRMING = Confirming(Duration(seconds=7 * 86400), Duration(seconds=86400))


def wanted(*streams):
    return Wanted(
        sender=SENDERS["acme"], streams=[STREAMS[name] for name in streams], language="sv",
        visitor=Visitor("192.0.2.7", "Browser"), method="form", text_state=TextState.VALID,
        source="web", text_version="1",
    )  # fmt: skip


@pytest.fixture
def joiner(store, tmp_path):
    ring = ring_of(store.keys)
    write = correspondence(tmp_path, store, ring, STREAMS).write
    return Joiner(write, lambda: ring, lambda: CONFIRMING)


def join(store, joiner, *streams):
    return store.write_now(lambda tx: joiner.join(tx, ANNA, wanted(*streams)))


def at_once(store_url, folder, do):
    """Runs `do` in two stores on one database at the same moment; what came out."""
    barrier, results = threading.Barrier(2), []

    def run():
        with Store.open(store_url, folder / "data") as own:
            barrier.wait()
            results.append(own.write_now(do))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def kinds(store):
    found = store.read_now(lambda tx: people.history(tx, ANNA))
    return [event.kind for event in found.events]


def test_both_ways_in_one_act(store, joiner):
    done = join(store, joiner, "newsletter", "club")
    assert [one.name for one in done.asked] == ["club"]
    assert [one.name for one in done.joined] == ["newsletter"]
    assert done.letters == 2
    assert kinds(store) == [EventKind.REQUESTED, EventKind.GRANTED]
    assert {one["Content-Language"] for one in letters(store)} == {"sv"}


def test_two_gateways_write_one_letter_between_them(store, store_url, tmp_path, joiner):
    """JU-19, whoever answers which press of the button."""
    results = at_once(store_url, tmp_path, lambda tx: joiner.join(tx, ANNA, wanted("club")))
    assert sorted(one.letters for one in results) == [0, 1]
    assert kinds(store) == [EventKind.REQUESTED]
    assert len(letters(store)) == 1


def test_two_gateways_record_one_welcome_between_them(store, store_url, tmp_path, joiner):
    join(store, joiner, "newsletter")
    (row,) = claim(store, upstreams=("",))
    mark(store, outcome(row, State.DELIVERED))
    results = at_once(store_url, tmp_path, signups.settle_welcomes)
    assert sorted(len(one) for one in results) == [0, 1]
    assert kinds(store) == [EventKind.GRANTED, EventKind.WELCOMED]


def test_who_was_welcomed_and_never_left_is_not_welcomed_again(store, joiner):
    join(store, joiner, "newsletter")
    (row,) = claim(store, upstreams=("",))
    mark(store, outcome(row, State.DELIVERED))
    store.write_now(signups.settle_welcomes)
    change(store, welcome, {"written_ms": 1})
    done = join(store, joiner, "newsletter")
    assert (len(done.joined), done.letters) == (1, 0)
    person = store.read_now(lambda tx: people.look_up(tx, [ANNA], "newsletter", "acme"))[ANNA.key]
    assert person.standing.is_welcomed


def test_after_a_day_a_new_act_sends_a_new_letter(store, joiner):
    """JU-19: never a reminder; asking again is the person's own act."""
    join(store, joiner, "club")
    before = int(timedelta(hours=25).total_seconds() * 1000)
    (row,) = rows_of(store, signup)
    change(store, signup, {"requested_ms": row["requested_ms"] - before})
    assert join(store, joiner, "club").letters == 1
    assert kinds(store) == [EventKind.REQUESTED, EventKind.REQUESTED]
    assert len(rows_of(store, tables.submission)) == 2
