"""Whatever is done often finds its rows by an index, on both engines, however much is over.

A new operation that is done often, or beside the mail, gets a line in `OFTEN`.
"""

from datetime import timedelta

import pytest

from gatepost.consent.bases import Bases
from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.retention import Terms
from gatepost.mail.address import parse
from gatepost.mail.duration import Duration
from gatepost.mail.recipient_state import State
from gatepost.store import (
    acquaintance,
    api_keys,
    campaign_report,
    campaigns,
    complaint_cases,
    complaint_rate,
    content,
    ledger,
    looks,
    onward,
    people,
    places,
    purging,
    retention,
    signups,
    strangers,
    suppressions,
    uses,
)
from gatepost.store.engine import Store
from gatepost.store.spool import (
    CLAIM,
    MARK,
    PUT,
    ClaimJob,
    Marked,
    MarkJob,
    leases,
    quarantine,
    queue,
    reports,
    sightings,
)
from support.plans import PEOPLE, fill, full_scans
from support.submissions import LEASE, submission

FEW = [parse(f"p{number}@example.org") for number in range(1, 31)]
MANY = [parse(f"p{number}@example.org") for number in range(1, PEOPLE // 60)]
IDS = list(range(1, 31))
LATE = timedelta(days=400)
TERMS = Terms(evidence=Duration(months=24), unconfirmed=Duration(months=1))


def claim(tx):
    job = ClaimJob(
        holder="gateway-1", rooms={"smarthost": 50}, urgent=False, lease=LEASE.duration,
        retry_after=lambda _attempts: timedelta(minutes=15),
        decide=lambda review: [None] * len(review.rows), needs_standing=lambda _stream: True,
    )  # fmt: skip
    (rows,) = CLAIM.run(tx, [job])
    assert rows
    return rows


def mark(tx):
    rows = claim(tx)
    MARK.run(
        tx, [MarkJob("gateway-1", [Marked(row.id, State.DELIVERED, "250 ok") for row in rows])]
    )


def put(tx):
    addresses = [address.given for address in FEW]
    PUT.run(tx, [submission(*addresses, needs_standing=True), submission("new@example.org")])


def withdraw(tx):
    fact = Fact(kind=EventKind.WITHDRAWN, at=tx.now, sender="acme", stream="newsletter",
                actor="recipient", method="one-click")  # fmt: skip
    people.record_for_subjects(tx, [(number, fact) for number in IDS])


OFTEN = {
    "snapshot of a few": lambda tx: people.look_up(tx, FEW, "newsletter", "acme"),
    "snapshot of a mailing": lambda tx: people.look_up(tx, MANY, "newsletter", "acme"),
    "a token's person": lambda tx: people.look_up_subjects(tx, IDS, "newsletter", "acme"),
    "history of a person": lambda tx: people.history_of_subject(tx, 7),
    "put": put,
    "claim": claim,
    "mark": mark,
    "renew": lambda tx: leases.renew(tx, "dead", range(30_000, 30_100), timedelta(minutes=2)),
    "next due": lambda tx: leases.next_due(tx, ["smarthost"]),
    "recover": lambda tx: leases.recover(tx, ["dead"]),
    "withdraw": withdraw,
    "mark of withdrawals": people.withdrawals_mark,
    "fresh withdrawals": lambda tx: people.withdrawals_after(tx, 23_000),
    "stopped campaigns": lambda tx: campaigns.stopped_since(tx, tx.now - timedelta(hours=1)),
    "seal": ledger.seal,
    "content": lambda tx: content.load(tx, 7),
    "late rows": lambda tx: queue.late(tx, "smarthost", tx.now),
    "give up": lambda tx: queue.give_up(tx, range(30_000, 30_100), "too late"),
    "thawed mail": campaigns.release_thawed,
    "whether mail is thawed": campaigns.has_thawed,
    "mail that is configured again": lambda tx: queue.configured_again(
        tx, lambda *said: said[-1] == "bulk"
    ),
    "release of it": lambda tx: queue.release_known(tx, range(30_000, 30_100)),
    "end of a quarantine": quarantine.expire,
    "end of contents": lambda tx: content.purge(tx, tx.now),
    "staged contents": content.sweep_staged,
    "old sightings": lambda tx: sightings.forget(tx, timedelta(hours=2)),
    "old requests": api_keys.forget_requests,
    "old sign-ups": lambda tx: signups.forget(tx, tx.now - LATE),
    "sign-ups of a person": lambda tx: signups.unconfirmed(tx, 7, "acme", tx.now - LATE),
    "last welcome": lambda tx: signups.last_welcomed(tx, 7, "newsletter"),
    "welcomes": signups.settle_welcomes,
    "unwanted welcomes": signups.unwanted_welcomes,
    "stop of them": lambda tx: signups.stop_welcomes(tx, range(30_000, 30_100)),
    "waiting welcomes": signups.waiting_welcomes,
    "uses": uses.gather,
    "uses to be changed": uses.touch,
    "uses of a person": lambda tx: uses.uses_of(tx, 7),
    "queue list": queue.list_queue,
    "queue retry": lambda tx: queue.retry(tx, range(30_000, 30_100)),
    "queue of an upstream that is gone": lambda tx: queue.foreign_upstreams(tx, ["smarthost"]),
    "states for metrics": queue.count_states,
    "oldest in the queue": queue.oldest,
    "quarantine list": quarantine.list_quarantine,
    "delivery reports": lambda tx: reports.due_reports(tx, timedelta(minutes=5)),
    "campaign show": lambda tx: campaign_report.show(tx, 7),
    "recipients of a campaign": lambda tx: campaign_report.recipients(tx, 7),
    "summaries": campaign_report.look_for_summaries,
    "campaigns without summary": lambda tx: campaign_report.settle(tx, [7]),
    "what a summary says": lambda tx: campaign_report.decided(tx, 7),
    "who was not mailed": lambda tx: campaign_report.not_mailed(tx, 7, 200),
    "stop a campaign": lambda tx: campaigns.stop(tx, 7),
    "complaint rate": lambda tx: complaint_rate.find_alarms(
        tx, senders=["acme"], rate=0.003, minimum_delivered=1000
    ),
    "complaint cases": lambda tx: complaint_cases.expire(tx, tx.now - LATE, freezes=True),
    "deliveries of complaints": complaint_cases.note_deliveries,
    "suppressions of a person": lambda tx: suppressions.of_subject(tx, 7),
    "suppressions of a sender": lambda tx: suppressions.list_suppressed(tx, sender="sender7"),
    "cursor of a webhook": lambda tx: onward.news(tx, 23, [EventKind.WITHDRAWN]),
    "on the way to a webhook": lambda tx: onward.waiting(tx, "hook1"),
    "a slice of old submissions": lambda tx: purging.purge(tx, [3, 4], tx.now),
    "how far retention has come": lambda tx: looks.where(tx, "rules"),
    "a page of everybody": lambda tx: looks.people_after(tx, 0),
    "new events": lambda tx: looks.news(tx, 0),
    "looks whose time has come": looks.due,
    "possible strangers": looks.strangers,
    "looks that were taken": lambda tx: looks.strike(tx, [looks.Look(1, 7)]),
    "strangers among people": lambda tx: strangers.among(tx, IDS),
    "strangers of mail": lambda tx: strangers.of_mail(tx, [3, 4]),
    "whose address is of no use": lambda tx: strangers.split(tx, IDS, tx.now),
    "a person's retention": lambda tx: retention.judge(tx, IDS, TERMS, Bases.built_in()),
    "old submissions": lambda tx: purging.old_submissions(tx, tx.now, 0, 100),
    "erased people who are still known": places.still_known,
    "acquaintance": lambda tx: acquaintance.known_to(tx, FEW[0], "acme"),
}


class Undone(Exception):
    """So that the next operation finds what this one found."""


@pytest.fixture(scope="module")
def history(each_engine, tmp_path_factory):
    """A store with much that is over."""
    from support.engines import store_url

    folder = tmp_path_factory.mktemp("plans")
    with Store.open(store_url(folder), folder / "data") as opened:
        fill(opened)
        yield opened


@pytest.mark.parametrize("name", OFTEN)
def test_no_big_table_is_read_whole(history, name):
    found = []

    def look(tx):
        found.extend(full_scans(tx, OFTEN[name]))
        raise Undone

    with pytest.raises(Undone):
        history.write_now(look)
    assert found == []
