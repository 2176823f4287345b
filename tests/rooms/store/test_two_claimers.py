"""Two gateways that claim at the same moment: neither waits, and no row is handed out twice."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from gatepost.store.engine import Store
from gatepost.store.spool import CLAIM, ClaimJob
from support.submissions import LEASE, accept, claim, submission

PEOPLE = [f"reader{number}@kund.example" for number in range(400)]


@pytest.fixture
def two(store_url, tmp_path):
    """Two gateways on one store."""
    with (
        Store.open(store_url, tmp_path / "data") as one,
        Store.open(store_url, tmp_path / "data") as other,
    ):
        yield one, other


@pytest.fixture
def on_postgresql(postgres_server, tmp_path):
    url = postgres_server.database()
    with Store.open(url, tmp_path / "data") as one, Store.open(url, tmp_path / "data") as other:
        yield one, other
    postgres_server.drop(url)


def job(holder, limit):
    return ClaimJob(
        holder=holder, rooms={"smarthost": limit}, urgent=False, lease=LEASE.duration,
        retry_after=lambda _attempts: timedelta(minutes=15),
        decide=lambda review: [None] * len(review.rows), needs_standing=lambda _stream: False,
    )  # fmt: skip


def test_the_second_passes_over_what_the_first_is_claiming(on_postgresql):
    """FOR UPDATE SKIP LOCKED: the first has not committed yet, and the second does not wait."""
    one, other = on_postgresql
    accept(one, submission(*PEOPLE))
    claimed, go_on = threading.Event(), threading.Event()

    def slowly(tx):
        (rows,) = CLAIM.run(tx, [job("gateway-1", 100)])
        claimed.set()
        assert go_on.wait(120), "the second waited for the first"
        return rows

    with ThreadPoolExecutor() as threads:
        first = threads.submit(one.write_now, slowly)
        assert claimed.wait(120)
        seconds = claim(other, holder="gateway-2", limit=1000)
        go_on.set()
        firsts = first.result(120)
    assert len(firsts) == 100
    assert len(seconds) >= 200, "it looks at more rows than it takes"
    seconds += claim(other, holder="gateway-2", limit=1000)
    assert len(seconds) == 300
    assert not {row.id for row in firsts} & {row.id for row in seconds}


def test_claims_at_the_same_time_hand_out_every_row_once(two):
    accept(two[0], submission(*PEOPLE))
    begin = threading.Barrier(2)

    def all_of_it(store, holder):
        begin.wait()
        mine = []
        while got := claim(store, holder=holder, limit=7):
            mine += [row.id for row in got]
        return mine

    with ThreadPoolExecutor() as threads:
        ones, others = threads.map(all_of_it, two, ("gateway-1", "gateway-2"))
    assert len(ones) + len(others) == len(set(ones) | set(others)) == len(PEOPLE)
