"""Submissions for tests of the spool: jobs with a decision of the test's own making."""

from datetime import UTC, datetime, timedelta

from gatepost.mail.address import parse
from gatepost.mail.client import Client
from gatepost.mail.envelope import Arrival, Envelope, Recipient
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.mail.verdict import Disposition, Reason, Verdict
from gatepost.store import ids
from gatepost.store.spool import (
    CLAIM,
    MARK,
    PUT,
    CampaignDraft,
    ClaimJob,
    Heading,
    Lease,
    Marked,
    MarkJob,
    PutJob,
    RowDraft,
)

SINCE = datetime(2026, 3, 1, 12, tzinfo=UTC)
DELIVER = Verdict(Disposition.DELIVER, Reason.CONSENTED, "evidence", SINCE)
DROP = Verdict(Disposition.DROP, Reason.WITHDRAWN, "withdrawn", SINCE)
HOLD = Verdict(Disposition.QUARANTINE, Reason.UNCONFIRMED, "evidence", None)
REJECT = Verdict(Disposition.REJECT, Reason.NO_CONSENT, "evidence", None)
STATES = {
    Disposition.DELIVER: State.READY,
    Disposition.DROP: State.DROPPED,
    Disposition.QUARANTINE: State.QUARANTINED,
    Disposition.REJECT: State.REJECTED,
}
LEASE = Lease("gateway-1", timedelta(seconds=60), timedelta(minutes=15))
CONTENT = b"Subject: Hello\r\n\r\nGood news.\r\n"


def submission(
    *addresses,
    verdicts=None,
    decide=None,
    upstream="smarthost",
    claim=False,
    client="crm",
    stream="newsletter",
    kind=Kind.BULK,
    campaign="spring",
    content=CONTENT,
    refused=(),
    expires=None,
    notify="",
    **more,
):
    """A job whose recipients get `DELIVER`, or what `verdicts` says for their address."""
    recipients = tuple(Recipient(parse(address), notify) for address in addresses)
    verdicts = verdicts or {}

    def draft(recipient):
        verdict = verdicts.get(recipient.address.given, DELIVER)
        state = STATES[verdict.disposition]
        return RowDraft(recipient, verdict, state, upstream, False, claim, expires)

    def decide_all(_snapshot):
        rejected = [
            RowDraft(recipient, verdict, State.REJECTED, upstream) for recipient, verdict in refused
        ]
        return [draft(recipient) for recipient in recipients] + rejected

    values = {
        "id": ids.new_id(),
        "arrival": Arrival(
            client=Client(name=client),
            peer="192.0.2.7",
            port=4711,
            ehlo="mailer.example.org",
            protocol="ESMTPS",
            at=SINCE,
            cipher="TLS_AES_256_GCM_SHA384",
        ),
        "envelope": Envelope(
            mail_from="news@acme.example",
            recipients=recipients,
            refused=tuple(refused),
            body="8BITMIME",
            ret="HDRS",
            envid="QQ+2B1",
        ),
        "stream": stream,
        "kind": kind,
        "sender": "acme",
        "heading": Heading(
            message_id="<1@acme.example>", subject="Hello", header_from="news@acme.example"
        ),
        "content": content,
        "decide": decide or decide_all,
        "campaign": CampaignDraft(key=campaign, name=campaign.title()) if campaign else None,
        "lease": LEASE if claim else None,
        "needs_standing": False,
    }
    return PutJob(**(values | more))


def accept(store, *jobs):
    """The results of accepting all of these in one transaction."""
    return store.write_now(lambda tx: PUT.run(tx, jobs))


def claim(store, *, holder="gateway-1", upstreams=("smarthost",), limit=100, decide=None, **more):
    """What is handed out of urgent mail, and then of bulk mail; every recorded verdict stands.

    `limit` is for all together where there is one upstream.
    """
    claimed = []
    for urgent in (True, False):
        values = {
            "holder": holder,
            "rooms": dict.fromkeys(upstreams, limit - len(claimed)),
            "urgent": urgent,
            "lease": LEASE.duration,
            "retry_after": lambda attempts: timedelta(minutes=15 * attempts),
            "decide": decide or (lambda review: [None] * len(review.rows)),
            "needs_standing": lambda _stream: False,
        }
        claimed += store.batch_now(CLAIM, ClaimJob(**(values | more)))
    return claimed


def mark(store, *rows, holder="gateway-1"):
    """Records outcomes; the ids whose lease was lost."""
    return store.batch_now(MARK, MarkJob(holder, rows))


def outcome(row, state, reply="250 2.0.0 Ok", **more):
    """What came of the copy for the claimed `row`."""
    return Marked(row.id, state, reply, **more)


def rows_of(store, table, **conditions):
    """The rows of a table as dicts, in the order of their first column."""
    from sqlalchemy import select

    query = select(table).order_by(*table.primary_key.columns)
    for name, value in conditions.items():
        query = query.where(table.c[name] == value)
    return store.read_now(lambda tx: [dict(row._mapping) for row in tx.connection.execute(query)])


def change(store, table, values, **conditions):
    """Changes rows by hand, as time passing or another program would."""
    from sqlalchemy import update

    statement = update(table).values(**values)
    for name, value in conditions.items():
        statement = statement.where(table.c[name] == value)
    store.write_now(lambda tx: tx.connection.execute(statement))
