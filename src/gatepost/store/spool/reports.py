"""Mail of our own that follows from the spool: delivery reports and campaign summaries.

The mail and the note that it was made are one transaction, so that it is neither lost nor
sent twice, whatever dies in between (promise 1). Composing is the conductor's; it reads
what is due, writes the mail, and hands both back.

In: `PutJob`s from `own_mail`. Out: `PutResult`, or `None` where somebody was quicker.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, or_, select, update

from gatepost.mail.client import Client
from gatepost.mail.envelope import Arrival, Envelope, Recipient
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.mail.verdict import Disposition, Reason, Verdict
from gatepost.store import campaign_report
from gatepost.store.engine import Tx
from gatepost.store.spool.put import put
from gatepost.store.spool.reading import RECIPIENT_COLUMNS, recipient_from, submissions
from gatepost.store.spool.rows import Heading, PutJob, PutResult, RowDraft, Submission
from gatepost.store.subjects import chunks
from gatepost.store.tables import mail as tables
from gatepost.store.tables.mail import spelled
from gatepost.store.times import from_ms, to_ms

OWN_CLIENT = "gatepost"

_r, _s = tables.recipient.c, tables.submission.c
_UNREPORTED = (
    _r.finished_ms.is_not(None) & (_r.state == spelled(State.FAILED)) & _r.reported_ms.is_(None)
)


@dataclass(frozen=True, slots=True)
class Failure:
    """One recipient that failed and of which the mailer has not been told."""

    id: int
    recipient: Recipient
    upstream: str
    reply: str
    attempts: int
    last_attempt: datetime | None
    failed: datetime


@dataclass(frozen=True, slots=True)
class FailedSubmission:
    """The failures of one submission that belong into one report (RD-4)."""

    submission: Submission
    failures: Sequence[Failure]


def failures_to_report(tx: Tx, gathered_for: timedelta, limit: int = 100) -> list[FailedSubmission]:
    """Submissions with untold failures, once all is finished or the first is that old.

    So a mailing's failures come in few reports. At most `limit` submissions.
    """
    ripe = (
        select(_r.submission)
        .join_from(tables.recipient, tables.submission, _s.id == _r.submission)
        .where(
            _UNREPORTED,
            or_(_s.finished_ms.is_not(None), _r.finished_ms <= to_ms(tx.now - gathered_for)),
        )
        .distinct()
        .limit(limit)
    )
    wanted = list(tx.connection.execute(ripe).scalars())
    heads = submissions(tx, wanted)
    failures: dict[int, list[Failure]] = {submission: [] for submission in wanted}
    query = (
        select(*RECIPIENT_COLUMNS, _r.last_reply, _r.last_attempt_ms, _r.finished_ms)
        .where(_UNREPORTED, _r.submission.in_(wanted))
        .order_by(_r.id)
    )
    for row in tx.connection.execute(query):
        failures[row.submission].append(
            Failure(
                id=row.id,
                recipient=recipient_from(row),
                upstream=row.upstream,
                reply=row.last_reply,
                attempts=row.attempts,
                last_attempt=row.last_attempt_ms and from_ms(row.last_attempt_ms),
                failed=from_ms(row.finished_ms),
            )
        )
    return [FailedSubmission(heads[number], failures[number]) for number in wanted]


def mark_reported(tx: Tx, ids: Iterable[int]) -> list[int]:
    """Notes that these failures were told or need no telling; the ids that had not been."""
    marked: list[int] = []
    for chunk in chunks(sorted(set(ids))):
        note = (
            update(tables.recipient)
            .where(_r.id.in_(chunk), _UNREPORTED)
            .values(reported_ms=bindparam("at"))
            .returning(_r.id)
        )
        marked += tx.connection.execute(note, {"at": tx.now_ms}).scalars()
    return sorted(marked)


def put_report(tx: Tx, report: PutJob, failures: Iterable[int]) -> PutResult | None:
    """Accepts a delivery report together with the note that `failures` are told.

    `None`, and nothing is changed, if another gateway told any of them meanwhile.
    """
    wanted = sorted(set(failures))
    still = [
        number
        for chunk in chunks(wanted)
        for number in tx.connection.execute(
            select(_r.id).where(_r.id.in_(chunk), _UNREPORTED).order_by(_r.id).with_for_update()
        ).scalars()
    ]
    if still != wanted or not wanted:
        return None
    mark_reported(tx, wanted)
    return put(tx, [report])[0]


def put_summary(tx: Tx, summary: PutJob, campaign: int) -> PutResult | None:
    """Accepts a campaign's summary together with the note that it was made; `None` if it was."""
    if not campaign_report.mark_summed_up(tx, campaign):
        return None
    return put(tx, [summary])[0]


def own_mail(
    *,
    id: int,  # noqa: A002  as in PutJob
    at: datetime,
    recipient: Recipient,
    content: bytes,
    upstream: str,
    heading: Heading,
    hostname: str,
    mail_from: str = "",
    smtputf8: bool = False,
    body: str = "7BIT",
    sender: str = "",
    note: str = "",
) -> PutJob:
    """A submission by ourselves: client "gatepost", no stream, kind service.

    Reports leave from the null reverse-path, so that nothing is ever reported about them
    (RFC 5321 §4.5.5).
    """
    verdict = Verdict(Disposition.DELIVER, Reason.SERVICE, "own-mail", at, note)
    draft = RowDraft(recipient, verdict, State.READY, upstream)
    return PutJob(
        id=id,
        arrival=Arrival(
            client=Client(name=OWN_CLIENT), peer="", port=0, ehlo=hostname, protocol="", at=at
        ),
        envelope=Envelope(
            mail_from=mail_from, recipients=(recipient,), smtputf8=smtputf8, body=body
        ),
        stream="",
        kind=Kind.SERVICE,
        sender=sender,
        heading=heading,
        content=content,
        decide=lambda _snapshot: (draft,),
        needs_standing=False,
        note=note,
    )
