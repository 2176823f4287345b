"""Campaigns: counted, shown, stopped."""

import pytest

from gatepost.mail.recipient_state import State
from gatepost.store import campaign_report, campaigns
from gatepost.store.tables import mail as tables
from support.submissions import (
    DROP,
    HOLD,
    accept,
    claim,
    mark,
    outcome,
    rows_of,
    submission,
)

ADDRESSES = [f"user{number}@example.org" for number in range(6)]


def mailed(store):
    """A campaign with one recipient delivered, failed, sending, deferred, dropped, held."""
    first = submission(*ADDRESSES[:3])
    second = submission(*ADDRESSES[3:], verdicts={ADDRESSES[4]: DROP, ADDRESSES[5]: HOLD})
    result, _ = accept(store, first, second)
    rows = claim(store)
    later = store.now()
    mark(
        store,
        outcome(rows[0], State.DELIVERED),
        outcome(rows[1], State.FAILED, "550 5.1.1 No"),
        outcome(rows[3], State.DEFERRED, "450 4.2.0 Later", next_attempt=later),
    )
    return result.campaign


def show(store, campaign):
    return store.read_now(lambda tx: campaign_report.show(tx, campaign))


def test_counts_by_verdict_reason_and_outcome(store):
    row = show(store, mailed(store))
    assert (row.name, row.stream, row.client, row.sender) == (
        "Spring", "newsletter", "crm", "acme",
    )  # fmt: skip
    assert row.recipients == 6
    assert row.verdicts == {"deliver": 4, "drop": 1, "quarantine": 1}
    assert row.reasons == {"consented": 4, "withdrawn": 1, "unconfirmed": 1}
    assert row.outcomes == {"delivered": 1, "queued": 2, "failed": 1, "stopped": 0}


def test_the_list_is_newest_first_and_limited(store):
    accept(store, submission("a@example.org", campaign="one"))
    accept(store, submission("a@example.org", campaign="two"))
    rows = store.read_now(campaign_report.list_all)
    assert [row.name for row in rows] == ["Two", "One"]
    assert [row.name for row in store.read_now(lambda tx: campaign_report.list_all(tx, 1))] == [
        "Two"
    ]


def test_the_recipients_of_a_campaign_come_in_pages(store):
    campaign = mailed(store)
    accept(store, submission("other@example.org", campaign="autumn"))

    def page(after):
        return store.read_now(
            lambda tx: campaign_report.recipients(tx, campaign, after=after, limit=4)
        )

    first = page(0)
    second = page(first[-1][0])
    assert page(second[-1][0]) == []
    seen = [row for _, row in (*first, *second)]
    assert [row.recipient for row in seen] == ADDRESSES
    assert (seen[1].state, seen[1].last_reply) == ("failed", "550 5.1.1 No")
    assert (seen[4].verdict, seen[4].reason) == ("drop", "withdrawn")
    assert seen[4].since == DROP.since


def test_stopping_ends_what_is_queued(store):
    campaign = mailed(store)
    (_,) = accept(store, submission("later@example.org"))
    assert store.write_now(lambda tx: campaigns.stop(tx, campaign, "wrong list")) == 2
    states = {row["address"]: row["state"] for row in rows_of(store, tables.recipient)}
    assert states[ADDRESSES[2]] == "sending", "what is on the wire is not called back"
    assert states[ADDRESSES[3]] == states["later@example.org"] == "stopped"
    assert states[ADDRESSES[5]] == "quarantined"
    row = show(store, campaign)
    assert row.outcomes == {"delivered": 1, "queued": 1, "failed": 1, "stopped": 2}
    assert row.reasons["campaign-stopped"] == 2
    assert row.stopped_note == "wrong list"
    assert claim(store) == []
    finished = [head["finished_ms"] is not None for head in rows_of(store, tables.submission)]
    assert sorted(finished) == [False, False, True]


def test_stopping_twice_is_the_same_as_once(store):
    campaign = mailed(store)
    store.write_now(lambda tx: campaigns.stop(tx, campaign))
    before = show(store, campaign)
    assert store.write_now(lambda tx: campaigns.stop(tx, campaign)) == 0
    assert show(store, campaign).stopped_at == before.stopped_at


def test_an_id_that_is_none(store):
    with pytest.raises(LookupError):
        show(store, 99)
    with pytest.raises(LookupError):
        store.write_now(lambda tx: campaigns.stop(tx, 99))


def test_freezing_and_thawing(store):
    store.write_now(lambda tx: campaigns.freeze(tx, "acme", "complaints"))
    store.write_now(lambda tx: campaigns.freeze(tx, "acme", "still"))
    assert store.read_now(campaigns.frozen_senders) == {"acme"}
    assert store.write_now(lambda tx: campaigns.thaw(tx, "acme")) is True
    assert store.write_now(lambda tx: campaigns.thaw(tx, "acme")) is False
    assert store.read_now(campaigns.frozen_senders) == frozenset()


def test_two_gateways_make_one_campaign(store_url, engine, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    from gatepost.store.engine import Store

    with (
        Store.open(store_url, tmp_path / "data") as here,
        Store.open(store_url, tmp_path / "data") as there,
        ThreadPoolExecutor(2) as pool,
    ):
        for round_ in range(10):
            jobs = [submission("a@example.org", campaign=f"c{round_}") for _ in range(2)]
            done = [
                pool.submit(accept, at, job) for at, job in zip((here, there), jobs, strict=True)
            ]
            ids = {future.result()[0].campaign for future in done}
            assert len(ids) == 1
