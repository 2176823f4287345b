"""Rows of the database, read into nouns.

In: tuples, in the order of `SUBMISSION_COLUMNS` and `RECIPIENT_COLUMNS`. Out: `Submission`,
and the parts of a recipient. Readers are lenient: a row that an older or newer version wrote
must not keep the queue from moving.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Update, bindparam, select, update

from gatepost.mail.address import Address, AddressError, parse
from gatepost.mail.envelope import Recipient
from gatepost.mail.stream import Kind
from gatepost.mail.verdict import Disposition, Reason, Verdict
from gatepost.store import hot
from gatepost.store.engine import Tx
from gatepost.store.spool.rows import Submission
from gatepost.store.tables import mail as tables
from gatepost.store.times import from_ms

_s = tables.submission.c
SUBMISSION_COLUMNS = (
    _s.id, _s.received_ms, _s.client, _s.stream, _s.kind, _s.sender, _s.campaign_id,
    _s.mail_from, _s.ret, _s.envid, _s.smtputf8, _s.body8bit, _s.message_id, _s.subject,
    _s.header_from, _s.size, _s.recipients, _s.peer, _s.protocol, _s.ehlo, _s.cipher,
    _s.replaced, _s.note,
)  # fmt: skip
SUBMISSION_NAMES = tuple(column.name for column in SUBMISSION_COLUMNS)

_r = tables.recipient.c
RECIPIENT_COLUMNS = (
    _r.id, _r.submission, _r.address, _r.notify, _r.orcpt, _r.subject, _r.upstream,
    _r.verdict, _r.reason, _r.rule, _r.since_ms, _r.note, _r.attempts, _r.next_attempt_ms,
)  # fmt: skip
RECIPIENT_NAMES = tuple(column.name for column in RECIPIENT_COLUMNS)

_RECEIVED = select(_s.received_ms).where(_s.id == bindparam("id"))
_BY_ID = select(*SUBMISSION_COLUMNS).where(_s.id.in_(bindparam("ids", expanding=True)))


def submissions(tx: Tx, ids: Iterable[int]) -> dict[int, Submission]:
    """The submissions with these ids."""
    wanted = list(set(ids))
    found: dict[int, Submission] = {}
    for start in range(0, len(wanted), hot.MAX_LIST):
        chunk = {"ids": wanted[start : start + hot.MAX_LIST]}
        for row in hot.compile_once(_BY_ID, tx.dialect).rows(tx, chunk):
            found[row[0]] = submission_from(row)
    return found


def received_at(tx: Tx, submission: int) -> datetime | None:
    """When a submission came in; `None` where it is not on record (any more)."""
    rows = hot.compile_once(_RECEIVED, tx.dialect).rows(tx, {"id": submission})
    return from_ms(rows[0][0]) if rows else None


def submission_from(row: Sequence[Any]) -> Submission:
    """The submission that a tuple of `SUBMISSION_COLUMNS` says."""
    return Submission(
        id=row[0],
        received=from_ms(row[1]),
        client=row[2],
        stream=row[3],
        kind=Kind(row[4]),
        sender=row[5],
        campaign=row[6],
        mail_from=row[7],
        ret=row[8],
        envid=row[9],
        smtputf8=bool(row[10]),
        body8bit=bool(row[11]),
        message_id=row[12],
        subject=row[13],
        header_from=row[14],
        size=row[15],
        recipients=row[16],
        peer=row[17],
        protocol=row[18],
        ehlo=row[19],
        cipher=row[20],
        replaced=row[21],
        note=row[22],
    )


def recipient_from(row: Sequence[Any]) -> Recipient:
    """The forward-path that a tuple of `RECIPIENT_COLUMNS` says."""
    return Recipient(address_from(row[2]), row[3], row[4])


def verdict_from(row: Sequence[Any]) -> Verdict:
    """The verdict that a tuple of `RECIPIENT_COLUMNS` says."""
    since = None if row[10] is None else from_ms(row[10])
    return Verdict(Disposition(row[7]), Reason(row[8]), row[9], since, row[11])


def address_from(given: str) -> Address:
    """The address that was accepted in this spelling, also if today's rules would not take it."""
    try:
        return parse(given)
    except AddressError:
        return Address(given, given.casefold())


def setting(*names: str) -> Update:
    """The statement that sets these columns of the recipient `which` to the values `new_…`."""
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    return update(tables.recipient).where(_r.id == bindparam("which")).values(values)
