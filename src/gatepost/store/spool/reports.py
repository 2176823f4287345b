"""Mail of our own that follows from the spool: delivery reports and campaign summaries.

The mail and the note that it was made are one transaction, so that it is neither lost nor
sent twice, whatever dies in between (promise 1). Composing is the conductor's; it reads
what is due, writes the mail, and hands both back.

In: `PutJob`s from `own_mail`. Out: `PutResult`, or `None` where somebody was quicker.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

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
from gatepost.store.tables.mail import is_untold
from gatepost.store.times import from_ms, to_ms

OWN_CLIENT = "gatepost"
MOST_RECIPIENTS = 20_000  # of the reports that are written in one go, for the memory's sake

_r, _s = tables.recipient.c, tables.submission.c
_UNTOLD = is_untold()


@dataclass(frozen=True, slots=True)
class Untold:
    """One recipient of whom the mailer is still to be told.

    It failed, or else (`relayed`) its copy was taken by an upstream that will tell nothing.
    """

    id: int
    recipient: Recipient
    upstream: str
    relayed: bool
    reply: str
    attempts: int
    last_attempt: datetime | None
    finished: datetime


@dataclass(frozen=True, slots=True)
class DueReport:
    """What is to be told of one submission, in one report (RD-4)."""

    submission: Submission
    untold: Sequence[Untold]


def due_reports(tx: Tx, gathered_for: timedelta, limit: int = 100) -> list[DueReport]:
    """Submissions with something untold, once all is finished or the first of it is that old.

    So what happens to a mailing comes in few reports. At most `limit` submissions, and no more
    than have `MOST_RECIPIENTS` together, unless one alone has: the others are due next time.
    """
    ripe = (
        select(_r.submission)
        .join_from(tables.recipient, tables.submission, _s.id == _r.submission)
        .where(
            _UNTOLD,
            or_(_s.finished_ms.is_not(None), _r.finished_ms <= to_ms(tx.now - gathered_for)),
        )
        .distinct()
        .limit(limit)
    )
    wanted = list(tx.connection.execute(ripe).scalars())
    heads = submissions(tx, wanted)
    wanted = _few_enough([heads[number] for number in wanted])
    untold: dict[int, list[Untold]] = {submission: [] for submission in wanted}
    query = (
        select(*RECIPIENT_COLUMNS, _r.relayed_ms, _r.last_reply, _r.last_attempt_ms, _r.finished_ms)
        .where(_UNTOLD, _r.submission.in_(wanted))
        .order_by(_r.id)
    )
    for row in tx.connection.execute(query):
        untold[row.submission].append(
            Untold(
                id=row.id,
                recipient=recipient_from(row),
                upstream=row.upstream,
                relayed=row.relayed_ms is not None,
                reply=row.last_reply,
                attempts=row.attempts,
                last_attempt=row.last_attempt_ms and from_ms(row.last_attempt_ms),
                finished=from_ms(row.finished_ms),
            )
        )
    return [DueReport(heads[number], untold[number]) for number in wanted]


def _few_enough(heads: Sequence[Submission]) -> list[int]:
    """The ids of the first submissions, as many as have few enough recipients together."""
    sums = accumulate(head.recipients for head in heads)
    few = [head.id for head, so_far in zip(heads, sums, strict=True) if so_far <= MOST_RECIPIENTS]
    return few or [head.id for head in heads[:1]]


def mark_reported(tx: Tx, ids: Iterable[int]) -> list[int]:
    """Notes that these were told or need no telling; the ids that had not been."""
    marked: list[int] = []
    for chunk in chunks(sorted(set(ids))):
        note = (
            update(tables.recipient)
            .where(_r.id.in_(chunk), _UNTOLD)
            .values(reported_ms=bindparam("at"))
            .returning(_r.id)
        )
        marked += tx.connection.execute(note, {"at": tx.now_ms}).scalars()
    return sorted(marked)


def put_report(tx: Tx, report: PutJob, ids: Iterable[int]) -> PutResult | None:
    """Accepts a delivery report together with the note that its recipients `ids` are told.

    `None`, and nothing is changed, if another gateway told any of them meanwhile.
    """
    wanted = sorted(set(ids))
    still = [
        number
        for chunk in chunks(wanted)
        for number in tx.connection.execute(
            select(_r.id).where(_r.id.in_(chunk), _UNTOLD).order_by(_r.id).with_for_update()
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
