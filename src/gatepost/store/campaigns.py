"""Campaigns on the mail path: found or made, stopped; and senders, frozen and thawed.

A submission belongs to the campaign with the same client, stream and key (a name from a
header, a List-Id, a subject) unless that has been silent for six hours; then a new one
begins. A sender's bulk mail can be frozen as a whole.

In: wishes from the accepting transaction; ids and names from people. Out: `Entered`.
*Fails:* `LookupError` for an id that is none.
*Known limits:* `last_submission_ms` is kept to five seconds, so that many submissions of one
mailing do not all wait for one row.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, case, delete, func, insert, select, update

from gatepost.mail.recipient_state import State
from gatepost.mail.verdict import Disposition, Reason
from gatepost.store import hot
from gatepost.store.bell import Ring, ring
from gatepost.store.ending import close_finished
from gatepost.store.engine import Tx
from gatepost.store.plain import plain
from gatepost.store.tables import mail as tables
from gatepost.store.tables.mail import spelled
from gatepost.store.times import to_ms

SILENCE = timedelta(hours=6)
FROZEN = "sender-frozen"  # the rule noted on queued mail that waits for a thaw

_TOUCH_MS = 5_000
_MS = timedelta(milliseconds=1)
_c, _s, _r = tables.campaign.c, tables.submission.c, tables.recipient.c

_FIND = (
    select(_c.id, _c.stopped_ms, _c.last_submission_ms)
    .where(
        _c.client == bindparam("client"),
        _c.stream == bindparam("stream"),
        _c.key == bindparam("key"),
        _c.explicit == bindparam("explicit"),
        _c.last_submission_ms >= bindparam("since"),
    )
    .order_by(_c.id.desc())
    .limit(1)
)
_MAKE = (
    insert(tables.campaign)
    .values({
        name: bindparam(name)
        for name in (
            "name", "explicit", "client", "stream", "sender", "key",
            "started_ms", "last_submission_ms", "stopped_note",
        )
    })
    .returning(_c.id)
)  # fmt: skip
_TOUCH = (
    update(tables.campaign)
    .where(_c.id == bindparam("which"))
    .values(last_submission_ms=bindparam("at"))
)
_ALONE = select(func.pg_advisory_xact_lock(bindparam("lock")))
_STOPPED = select(_c.id).where(
    _c.id.in_(bindparam("ids", expanding=True)), _c.stopped_ms.is_not(None)
)
_STOPPED_SINCE = select(_c.id).where(
    _c.stopped_ms.is_not(None), _c.stopped_ms >= bindparam("since")
)
_FROZEN = select(tables.sender_state.c.sender).where(tables.sender_state.c.frozen_ms.is_not(None))


class Wish(NamedTuple):
    """A campaign that a submission wants to belong to."""

    client: str
    stream: str
    explicit: bool
    key: str
    sender: str
    name: str


class Entered(NamedTuple):
    """The campaign it got, and whether that was stopped."""

    id: int
    stopped: bool


def enter(tx: Tx, wishes: Iterable[Wish]) -> dict[Wish, Entered]:
    """The campaign for each wish, made where there is none."""
    return enter_later(tx, wishes)()


def enter_later(tx: Tx, wishes: Iterable[Wish]) -> Callable[[], dict[Wish, Entered]]:
    """What does the same, looked for together with what is asked next (`hot.Hot.later`)."""
    # In one order in every gateway, so that none waits in a circle for another.
    found = {wish: _find(tx, wish) for wish in sorted(set(wishes))}
    return lambda: {wish: _enter(tx, wish, rows()) for wish, rows in found.items()}


def stopped(tx: Tx, ids: Iterable[int]) -> frozenset[int]:
    """Which of these campaigns are stopped."""
    wanted = list(set(ids))
    rows = hot.compile_once(_STOPPED, tx.dialect).rows(tx, {"ids": wanted}) if wanted else ()
    return frozenset(row[0] for row in rows)


def stopped_since(tx: Tx, since: datetime) -> frozenset[int]:
    """Campaigns stopped after `since`: what claimed copies of theirs have to be kept back."""
    rows = hot.compile_once(_STOPPED_SINCE, tx.dialect).rows(tx, {"since": to_ms(since)})
    return frozenset(row[0] for row in rows)


def stop(tx: Tx, campaign: int, note: str = "") -> int:
    """Stops a campaign: ends what is queued, refuses what comes later; says how many ended.

    Copies on the wire are not called back. Stopping twice is the same as once. Raises
    `LookupError`.
    """
    mark = (
        update(tables.campaign)
        .where(_c.id == campaign)
        .values(
            stopped_ms=func.coalesce(_c.stopped_ms, tx.now_ms),
            stopped_note=case((_c.stopped_ms.is_(None), plain(note)), else_=_c.stopped_note),
        )
    )
    if not tx.connection.execute(mark).rowcount:
        raise LookupError(f"there is no campaign {campaign}")
    end = (
        update(tables.recipient)
        .where(
            _r.submission.in_(select(_s.id).where(_s.campaign_id == campaign)),
            _r.state.in_((State.READY, State.DEFERRED, State.HELD)),
        )
        .values(
            state=State.STOPPED,
            verdict=Disposition.DROP,
            reason=Reason.CAMPAIGN_STOPPED,
            rule=Reason.CAMPAIGN_STOPPED,
            since_ms=tx.now_ms,
            note=plain(note),
            finished_ms=tx.now_ms,
            held_ms=None,
        )
        .returning(_r.submission)
    )
    ended = list(tx.connection.execute(end).scalars())
    close_finished(tx, ended)
    ring(tx, Ring.ENDINGS)
    return len(ended)


def frozen_senders(tx: Tx) -> frozenset[str]:
    """The senders whose bulk mail is refused."""
    return frozen_senders_later(tx)()


def frozen_senders_later(tx: Tx) -> Callable[[], frozenset[str]]:
    """What says the same, asked together with what is asked next (`hot.Hot.later`)."""
    rows = hot.compile_once(_FROZEN, tx.dialect).later(tx, {})
    return lambda: frozenset(row[0] for row in rows())


def freeze(tx: Tx, sender: str, note: str = "") -> None:
    """Refuses the sender's bulk mail for the time being; what of it is queued is held."""
    _forget_state(tx, sender)
    row = {"sender": sender, "frozen_ms": tx.now_ms, "note": plain(note)}
    tx.connection.execute(insert(tables.sender_state), row)
    ring(tx, Ring.ENDINGS)


def thaw(tx: Tx, sender: str) -> bool:
    """Takes the sender's bulk mail again; false if it was not frozen."""
    thawed = _forget_state(tx, sender) > 0
    release_thawed(tx)
    return thawed


def release_thawed(tx: Tx) -> int:
    """Makes ready what was held for a frozen sender that is none any more; says how many rows.

    They are decided anew at their claim. To be called now and then, too: on PostgreSQL a claim
    may hold rows by a freeze that was lifted while it ran.
    """
    ready = (
        update(tables.recipient)
        .where(_is_thawed(tx))
        .values(state=State.READY, next_attempt_ms=tx.now_ms, held_ms=None)
    )
    released = tx.connection.execute(ready).rowcount
    if released:
        ring(tx, Ring.MAIL)
    return released


def has_thawed(tx: Tx) -> bool:
    """Whether `release_thawed` has anything to do: all that is set aside is read by a reader."""
    return tx.connection.execute(select(_r.id).where(_is_thawed(tx)).limit(1)).first() is not None


def _is_thawed(tx: Tx) -> ColumnElement[bool]:
    frozen = sorted(frozen_senders(tx))
    return and_(
        _r.held_ms.is_not(None),  # for the index
        _r.state == spelled(State.HELD),
        _r.rule == FROZEN,
        select(_s.id).where(_s.id == _r.submission, _s.sender.not_in(frozen)).exists(),
    )


def _enter(tx: Tx, wish: Wish, found: Sequence[hot.Row]) -> Entered:
    if not found:  # by now one may have been made: by another wish, or by another gateway
        if tx.dialect == "postgresql":
            hot.compile_once(_ALONE, tx.dialect).later(tx, {"lock": _lock_for(wish)})
        found = _find(tx, wish)()
    if not found:
        values = wish._asdict() | {
            "name": plain(wish.name),
            "key": plain(wish.key),
            "started_ms": tx.now_ms,
            "last_submission_ms": tx.now_ms,
            "stopped_note": "",
        }
        made = hot.compile_once(_MAKE, tx.dialect).rows(tx, values)
        return Entered(made[0][0], stopped=False)
    campaign, stopped_ms, last_ms = found[0]
    if tx.now_ms - last_ms >= _TOUCH_MS:
        touch = {"which": campaign, "at": tx.now_ms}
        hot.compile_once(_TOUCH, tx.dialect).executemany(tx, [touch])
    return Entered(campaign, stopped_ms is not None)


def _find(tx: Tx, wish: Wish) -> Callable[[], Sequence[hot.Row]]:
    return hot.compile_once(_FIND, tx.dialect).later(
        tx,
        {
            "client": wish.client,
            "stream": wish.stream,
            "key": plain(wish.key),
            "explicit": wish.explicit,
            "since": tx.now_ms - SILENCE // _MS,
        },
    )


def _lock_for(wish: Wish) -> int:
    """The same number in every gateway, so that only one of them makes the campaign."""
    text = "\0".join((wish.client, wish.stream, str(wish.explicit), plain(wish.key)))
    digest = blake2b(text.encode(), digest_size=8, person=b"campaign").digest()
    return int.from_bytes(digest, "big", signed=True)


def _forget_state(tx: Tx, sender: str) -> int:
    state = tables.sender_state
    return tx.connection.execute(delete(state).where(state.c.sender == sender)).rowcount
