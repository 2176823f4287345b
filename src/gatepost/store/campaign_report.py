"""What became of campaigns: counts by verdict, reason and outcome, and summaries that are due.

In: ids. Out: `CampaignRow`, `CampaignRecipient`, in the shapes that commands print.
*Fails:* `LookupError` for an id that is none.
*Known limits:* counts are made from the recipients' rows each time they are asked for, and
from what was counted of rows that are gone (`purging`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Select, func, select, update

from gatepost.mail.recipient_state import QUEUED, State
from gatepost.mail.verdict import Disposition
from gatepost.store.campaigns import SILENCE
from gatepost.store.engine import Tx
from gatepost.store.subjects import chunks
from gatepost.store.tables import mail as tables
from gatepost.store.tables.uses import campaign_count
from gatepost.store.times import from_ms, to_ms

SUMMARY_AFTER = timedelta(minutes=15)
NOTHING_KNOWN: Mapping[int, int] = MappingProxyType({})

_OUTCOMES = {
    State.DELIVERED: "delivered",
    State.FAILED: "failed",
    State.STOPPED: "stopped",
} | dict.fromkeys(QUEUED, "queued")
_c, _s, _r = tables.campaign.c, tables.submission.c, tables.recipient.c


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRow:
    """One campaign as `campaign list` shows it."""

    id: int
    name: str
    stream: str
    client: str
    sender: str
    started_at: datetime
    last_submission_at: datetime
    stopped_at: datetime | None
    stopped_note: str
    recipients: int
    verdicts: Mapping[str, int]
    reasons: Mapping[str, int]
    outcomes: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRecipient:
    """One recipient of a campaign, as `campaign show` lists it."""

    recipient: str
    verdict: str
    reason: str
    since: datetime | None
    state: str
    attempts: int
    last_reply: str


def list_all(
    tx: Tx, limit: int = 100, *, before: int | None = None, senders: Sequence[str] | None = None
) -> list[CampaignRow]:
    """The newest campaigns with their counts, newest first; of some senders, or of all."""
    newest = select(_c.id).order_by(_c.id.desc()).limit(limit)
    if before is not None:
        newest = newest.where(_c.id < before)
    if senders is not None:
        newest = newest.where(_c.sender.in_(senders))
    return _rows(tx, list(tx.connection.execute(newest).scalars()))


def show(tx: Tx, campaign: int) -> CampaignRow:
    """One campaign with its counts. Raises `LookupError`."""
    rows = _rows(tx, [campaign])
    if not rows:
        raise LookupError(f"there is no campaign {campaign}")
    return rows[0]


def sender_of(tx: Tx, campaign: int) -> str | None:
    """Whose campaign it is; `None` for an id that is none."""
    sender: str | None = tx.connection.execute(select(_c.sender).where(_c.id == campaign)).scalar()
    return sender


def recipients(
    tx: Tx, campaign: int, *, after: int = 0, limit: int = 1000
) -> list[tuple[int, CampaignRecipient]]:
    """Recipients of a campaign with their ids, in the order of ids, `limit` at a time."""
    query = (
        select(
            _r.id, _r.address, _r.verdict, _r.reason, _r.since_ms, _r.state, _r.attempts,
            _r.last_reply,
        )
        .join_from(tables.recipient, tables.submission, _s.id == _r.submission)
        .where(_s.campaign_id == campaign, _r.id > after)
        .order_by(_r.id)
        .limit(limit)
    )  # fmt: skip
    return [
        (
            row.id,
            CampaignRecipient(
                recipient=row.address,
                verdict=row.verdict,
                reason=row.reason,
                since=_moment(row.since_ms),
                state=row.state,
                attempts=row.attempts,
                last_reply=row.last_reply,
            ),
        )
        for row in tx.connection.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at silent campaigns found: whose summary is due, and who needs none so far.

    `nothing` has the others with the time of their last submission; `over` those of them that
    can get no further submission.
    """

    due: Sequence[CampaignRow]
    nothing: Mapping[int, int]
    over: Sequence[int]


def look_for_summaries(
    tx: Tx, silence: timedelta = SUMMARY_AFTER, known: Mapping[int, int] = NOTHING_KNOWN
) -> Look:
    """Looks at the campaigns without a summary that have been silent for so long.

    A campaign whose recipients were all mailed is read whole to know it, so this is for a
    reader. One that is among `known` with the same last submission is believed to be as it was.
    """
    silent = (
        select(_c.id, _c.last_submission_ms)
        .where(_c.summary_sent_ms.is_(None), _c.last_submission_ms <= to_ms(tx.now - silence))
        .order_by(_c.last_submission_ms)
    )
    due: list[int] = []
    nothing: dict[int, int] = {}
    for campaign, last_ms in tx.connection.execute(silent).all():
        if known.get(campaign) != last_ms and tx.connection.execute(_not_mailed(campaign)).first():
            due.append(campaign)
        else:
            nothing[campaign] = last_ms
    ended_ms = to_ms(tx.now - SILENCE)
    over = [campaign for campaign, last_ms in nothing.items() if last_ms < ended_ms]
    return Look(_rows(tx, due), nothing, over)


def settle(tx: Tx, campaigns: Sequence[int]) -> None:
    """Notes that these need no summary: they got no submission since they were looked at."""
    over = _c.last_submission_ms < to_ms(tx.now - SILENCE)
    for chunk in chunks(campaigns):
        which = _c.id.in_(chunk), _c.summary_sent_ms.is_(None), over
        tx.connection.execute(
            update(tables.campaign).where(*which).values(summary_sent_ms=tx.now_ms)
        )


def not_mailed(tx: Tx, campaign: int, limit: int) -> list[tuple[str, str, str]]:
    """The first recipients of a campaign who got no copy, with verdict and reason."""
    rows = tx.connection.execute(_not_mailed(campaign).order_by(_r.id).limit(limit))
    return [(row.address, row.verdict, row.reason) for row in rows]


def mark_summed_up(tx: Tx, campaign: int) -> bool:
    """Notes that the summary goes out in this transaction; false if it did already."""
    mark = (
        update(tables.campaign)
        .where(_c.id == campaign, _c.summary_sent_ms.is_(None))
        .values(summary_sent_ms=tx.now_ms)
    )
    return tx.connection.execute(mark).rowcount == 1


def decided(tx: Tx, campaign: int) -> Counter[tuple[str, str]]:
    """How many recipients of a campaign got which verdict for which reason."""
    total: Counter[tuple[str, str]] = Counter()
    for verdict, reason, _, number in _counts(tx, [campaign])[campaign]:
        total[verdict, reason] += number
    return total


def _not_mailed(campaign: int) -> Select[Any]:
    return (
        select(_r.address, _r.verdict, _r.reason)
        .join_from(tables.submission, tables.recipient, _r.submission == _s.id)
        .where(_s.campaign_id == campaign, _r.verdict != Disposition.DELIVER)
    )


def _rows(tx: Tx, ids: Sequence[int]) -> list[CampaignRow]:
    counts = _counts(tx, ids)
    query = select(tables.campaign).where(_c.id.in_(ids)).order_by(_c.id.desc())
    return [
        CampaignRow(
            id=row.id,
            name=row.name,
            stream=row.stream,
            client=row.client,
            sender=row.sender,
            started_at=from_ms(row.started_ms),
            last_submission_at=from_ms(row.last_submission_ms),
            stopped_at=_moment(row.stopped_ms),
            stopped_note=row.stopped_note,
            recipients=sum(number for *_, number in counts[row.id]),
            verdicts=_total((verdict, number) for verdict, _, _, number in counts[row.id]),
            reasons=_total((reason, number) for _, reason, _, number in counts[row.id]),
            outcomes=dict.fromkeys(("delivered", "queued", "failed", "stopped"), 0)
            | _total(
                (_OUTCOMES[State(state)], number)
                for _, _, state, number in counts[row.id]
                if state in _OUTCOMES
            ),
        )
        for row in tx.connection.execute(query)
    ]


def _counts(tx: Tx, ids: Sequence[int]) -> dict[int, list[tuple[str, str, str, int]]]:
    """Per campaign: (verdict, reason, state, how many)."""
    query = (
        select(_s.campaign_id, _r.verdict, _r.reason, _r.state, func.count())
        .join_from(tables.submission, tables.recipient, _s.id == _r.submission)
        .where(_s.campaign_id.in_(ids))
        .group_by(_s.campaign_id, _r.verdict, _r.reason, _r.state)
    )
    gone = select(campaign_count).where(campaign_count.c.campaign.in_(ids))
    counts: dict[int, list[tuple[str, str, str, int]]] = {campaign: [] for campaign in ids}
    for statement in (query, gone):
        for campaign, verdict, reason, state, number in tx.connection.execute(statement):
            counts[campaign].append((verdict, reason, state, number))
    return counts


def _total(numbers: Iterable[tuple[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for name, number in numbers:
        total[name] += number
    return dict(total)


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else from_ms(milliseconds)
