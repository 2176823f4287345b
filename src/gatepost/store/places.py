"""Every place in the store where an address can be, and how it leaves it.

The ledger sees to itself (`recording`): address, payloads and standings of whoever is erased.
Here is the rest: rows of mail, their submissions and content, names of campaigns and notes.
`PLACES` says of every table what can be in it; `docs/erasure.md` tells people the same.

Rows are looked for by a reader, because no index leads from a person to their mail (it would
cost every accepted recipient), and changed by the writer in slices. Mail that waits for an erased
person is ended. A copy that is on the wire, or may still go because it is not bulk mail, keeps
its address until it is finished, and goes with the next run.

In: people, by subject, hash and address. Out: counts by what was done.
*Fails:* whatever the database raises.
*Known limits:* whatever staff or mailers write about a person in other people's mail goes
when the rows of that mail go.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from sqlalchemy import Table, case, delete, func, or_, select, update

from gatepost.mail.address import Address, AddressError, parse
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.mail.verdict import Disposition, Reason
from gatepost.store.ending import close_finished
from gatepost.store.subjects import chunks
from gatepost.store.tables import mail as tables
from gatepost.store.tables.complaints import complaint_case
from gatepost.store.tables.ledger import subject
from gatepost.store.tables.mail import is_untold
from gatepost.store.tables.onward import webhook_delivery
from gatepost.store.transaction import Tx

SLICE = 1000  # rows of mail in one transaction
ENDED = "erased"  # the rule noted on mail that was ended
_SHORTEST = 3  # a local part shorter than this is a letter or two of any text

_s, _r, _c = tables.submission.c, tables.recipient.c, tables.campaign.c
_CODES = re.compile(r"[245]\d\d(?:[ -][245]\.\d{1,3}\.\d{1,3})?")
_TEXTS = ("mail_from", "envid", "message_id", "subject", "header_from", "replaced", "note")
_WAITING = (State.READY, State.DEFERRED, State.HELD)


@dataclass(frozen=True, slots=True)
class Who:
    """A person to be forgotten. `address` is `None` where only the hash is left.

    Mail received after `before_ms` stays: they may have come back, or bought something.
    """

    subject: int
    address_hash: bytes
    address: Address | None
    before_ms: int
    transactional: bool = False  # whether waiting mail that is not bulk is ended, too

    def needles(self) -> tuple[str, ...]:
        """How the address is written in addresses, return paths and links, in small letters."""
        if self.address is None:
            return ()
        local, _, domain = self.address.given.casefold().rpartition("@")
        key = self.address.key
        forms = {key, f"{local}@{domain}", f"{local}={domain}", quote(f"{local}@{domain}", safe="")}
        return tuple(sorted(form.casefold() for form in forms))


@dataclass(frozen=True, slots=True)
class Trace:
    """One row of mail to a person: `who` is the place of the person among those looked for."""

    id: int
    submission: int
    who: int


@dataclass(slots=True)
class Found:
    """Where people were found, by a reader."""

    people: Sequence[Who]
    rows: list[Trace] = field(default_factory=list)
    written_by: list[int] = field(default_factory=list)  # submissions that they sent themselves


def who_are(tx: Tx, ids: Iterable[int], *, transactional: bool = False) -> list[Who]:
    """The people behind these subjects, with all mail up to now."""
    found: list[Who] = []
    for chunk in chunks(sorted(set(ids))):
        query = select(subject.c.id, subject.c.address_hash, subject.c.address)
        for number, digest, given in tx.connection.execute(query.where(subject.c.id.in_(chunk))):
            found.append(Who(number, digest, _address(given), tx.now_ms, transactional))
    return found


def find(tx: Tx, people: Sequence[Who]) -> Found:
    """All rows of mail to or from these people. Reads the whole table: for a reader."""
    found = Found(people)
    by_hash = {who.address_hash: place for place, who in enumerate(people)}
    for chunk in chunks(sorted(by_hash)):
        query = select(_r.id, _r.submission, _r.address_hash, _s.received_ms).join_from(
            tables.recipient, tables.submission, _s.id == _r.submission
        )
        query = query.where(_r.address_hash.in_(chunk), _r.address != "")
        for number, submission, digest, received_ms in tx.connection.execute(query):
            place = by_hash[digest]
            if received_ms <= people[place].before_ms:
                found.rows.append(Trace(number, submission, place))
    found.written_by = _written_by(tx, people)
    return found


def left_over(tx: Tx, limit: int = SLICE) -> Found:
    """Mail to erased people from before their erasure that still bears their address.

    It was on the wire then, or was left to go. Reads the whole table, unless nobody was ever
    erased: for a reader.
    """
    erased = select(subject.c.address_hash).where(subject.c.erased_ms.is_not(None))
    if tx.connection.execute(erased.limit(1)).first() is None:
        return Found([])
    query = (
        select(
            _r.id,
            _r.submission,
            subject.c.id,
            subject.c.erased_ms,
            _r.address_hash,
            subject.c.address,
        )
        .select_from(
            tables.recipient.join(subject, subject.c.address_hash == _r.address_hash).join(
                tables.submission, _s.id == _r.submission
            )
        )
        .where(
            _r.address_hash.in_(erased),  # few: asking row by row reads people at random
            subject.c.erased_ms.is_not(None),
            _s.received_ms <= subject.c.erased_ms,
            _r.address != "",
            _r.finished_ms.is_not(None),
        )
        .limit(limit)
    )
    people: dict[int, tuple[int, Who]] = {}
    found = Found([])
    for number, submission, who, erased_ms, digest, given in tx.connection.execute(query):
        person = Who(who, digest, _address(given), erased_ms)
        place, _ = people.setdefault(who, (len(people), person))
        found.rows.append(Trace(number, submission, place))
    found.people = [who for _, who in people.values()]
    return found


def still_known(tx: Tx) -> list[Who]:
    """Erased people whose evidence and address are kept until it is due, with mail up to then."""
    query = select(subject.c.id, subject.c.address_hash, subject.c.address, subject.c.erased_ms)
    query = query.where(subject.c.erased_ms.is_not(None), subject.c.address.is_not(None))
    return [
        Who(number, digest, _address(given), erased_ms)
        for number, digest, given, erased_ms in tx.connection.execute(query)
    ]


def slices(found: Found) -> Iterable[Found]:
    """What was found, in portions for one transaction each; at least one."""
    for start in range(0, max(len(found.rows), 1), SLICE):
        written = found.written_by if start == 0 else []
        yield Found(found.people, found.rows[start : start + SLICE], written)


def forget(tx: Tx, found: Found) -> Counter[str]:
    """Ends what waits, and blanks what is finished; counts by place."""
    done: Counter[str] = Counter()
    by_id = {trace.id: trace for trace in found.rows}
    waiting = [i for i, trace in by_id.items() if found.people[trace.who].transactional]
    done["waiting copies ended"] = _end(tx, list(by_id), _s.kind == Kind.BULK.value)
    done["waiting copies ended"] += _end(tx, waiting, _s.kind != Kind.BULK.value)
    blanked = _blank_rows(tx, list(by_id))
    done["rows of mail blanked"] = len(blanked)
    done["copies still on their way"] = len(by_id) - len(blanked)
    touched: dict[int, set[int]] = {}
    for number in blanked:
        touched.setdefault(by_id[number].submission, set()).add(by_id[number].who)
    for number in found.written_by:
        touched.setdefault(number, set())
    done += _forget_submissions(tx, touched, found)
    return done


def forget_elsewhere(tx: Tx, people: Sequence[Who]) -> Counter[str]:
    """Blanks the address in names and notes, and wherever another table holds it."""
    done: Counter[str] = Counter()
    for place in PLACES:
        if place.forget is not None:
            done[place.what] += place.forget(tx, people)
    return done


def _end(tx: Tx, ids: Sequence[int], of_kind: Any) -> int:
    """Ends rows that wait: queued ones are stopped, held ones dropped."""
    mine = select(_s.id).where(_s.id == _r.submission, of_kind).exists()
    ended: list[int] = []
    for chunk in chunks(ids):
        end = (
            update(tables.recipient)
            .where(_r.id.in_(chunk), _r.state.in_((*_WAITING, State.QUARANTINED)), mine)
            .values(
                state=case(
                    (_r.state == State.QUARANTINED, State.DROPPED.value), else_=State.STOPPED.value
                ),
                verdict=Disposition.DROP,
                reason=Reason.ERASED,
                rule=ENDED,
                since_ms=tx.now_ms,
                note="",
                finished_ms=tx.now_ms,
                held_ms=None,
                expires_ms=None,
            )
            .returning(_r.submission)
        )
        ended += tx.connection.execute(end).scalars()
    close_finished(tx, ended)
    return len(ended)


def _blank_rows(tx: Tx, ids: Sequence[int]) -> list[int]:
    """Takes address and texts from finished rows; which these were."""
    blanked: list[int] = []
    for chunk in chunks(ids):
        query = select(_r.id, _r.last_reply).where(_r.id.in_(chunk), _r.finished_ms.is_not(None))
        rows = tx.connection.execute(query).all()
        for number, reply in rows:
            blank = update(tables.recipient).where(_r.id == number)
            code = _CODES.match(reply or "")
            tx.connection.execute(
                blank.values(
                    address="", orcpt="", note="", last_reply=code.group() if code else "",
                    reported_ms=case((is_untold(), tx.now_ms), else_=_r.reported_ms),
                )
            )  # fmt: skip
            blanked.append(number)
    return blanked


def _forget_submissions(tx: Tx, touched: Mapping[int, set[int]], found: Found) -> Counter[str]:
    """Texts and content of submissions to, or by, these people.

    While others still wait for the mail, its return path and its content stay.
    """
    done: Counter[str] = Counter()
    for chunk in chunks(sorted(touched)):
        query = select(tables.submission).where(_s.id.in_(chunk))
        for row in tx.connection.execute(query).all():
            people = [found.people[place] for place in touched[row.id]]
            texts: dict[str, str] = dict.fromkeys(_bearing(row, people, found), "")
            if row.finished_ms is None:
                texts.pop("mail_from", None)
            elif row.recipients == 1 and people and row.content_state == "kept":
                which = tables.content.c.submission == row.id
                tx.connection.execute(delete(tables.content).where(which))
                texts["content_state"] = "purged"
                done["messages removed"] += 1
            if any(getattr(row, name) != text for name, text in texts.items()):
                change = update(tables.submission).where(_s.id == row.id).values(**texts)
                tx.connection.execute(change)
                done["headers blanked"] += 1
    return done


def _bearing(row: Any, people: Sequence[Who], found: Found) -> Iterable[str]:
    """The texts of a submission that may name these people: all of them, in mail to one alone."""
    if row.id in found.written_by or (row.recipients == 1 and people):
        return _TEXTS
    needles = [needle for who in people for needle in (*who.needles(), *_local_part(who))]
    return [
        name
        for name in _TEXTS
        if any(needle in getattr(row, name).casefold() for needle in needles)
    ]


def _local_part(who: Who) -> tuple[str, ...]:
    if who.address is None:
        return ()
    local = who.address.given.rpartition("@")[0].casefold()
    return (local,) if len(local) >= _SHORTEST else ()


def _written_by(tx: Tx, people: Sequence[Who]) -> list[int]:
    """Submissions whose author or return path is one of these people."""
    until = {needle: who.before_ms for who in people for needle in who.needles()}
    found: set[int] = set()
    for chunk in chunks(sorted(until)):
        sender, author = func.lower(_s.mail_from), func.lower(_s.header_from)
        query = select(_s.id, _s.received_ms, sender, author).where(
            or_(sender.in_(chunk), author.in_(chunk))
        )
        for number, received_ms, *names in tx.connection.execute(query):
            if any(received_ms <= until[name] for name in names if name in until):
                found.add(number)
    return sorted(found)


def _blank_notes(table: Table, *names: str) -> Callable[[Tx, Sequence[Who]], int]:
    """Blanks these columns of a small table wherever they hold an address."""
    key = next(iter(table.primary_key.columns))

    def blank(tx: Tx, people: Sequence[Who]) -> int:
        needles = {needle for who in people for needle in who.needles()}
        count = 0
        for column in (table.c[name] for name in names):
            marks = or_(*(column.contains(mark, autoescape=True) for mark in "@=%"))
            query = select(key, column).where(marks)
            hits = [
                number
                for number, text in tx.connection.execute(query)
                if any(needle in text.casefold() for needle in needles)
            ]
            for chunk in chunks(hits):
                change = update(table).where(key.in_(chunk)).values({column.name: ""})
                count += tx.connection.execute(change).rowcount
        return count

    return blank


def _address(given: str | None) -> Address | None:
    try:
        return parse(given) if given else None
    except AddressError:
        return None


@dataclass(frozen=True, slots=True)
class Place:
    """One table: what of a person can be in it, and what forgets it.

    `forget` is `None` where nothing is, or where recording or `forget` above sees to it.
    """

    table: str
    what: str
    forget: Callable[[Tx, Sequence[Who]], int] | None = None


PLACES: tuple[Place, ...] = (
    Place("subject", "the address"),
    Place("event", "nothing: a random id and a commitment"),
    Place("event_payload", "what was recorded"),
    Place("block", "nothing: digests"),
    Place("standing", "times and names of sources"),
    Place("suppression", "nothing: a random id"),
    Place("signup", "nothing: a random id, streams and times"),
    Place("welcome", "nothing: a random id, streams and times"),
    Place("consent_use", "times of mail, by random id"),
    Place("retention_look", "nothing: times and random ids"),
    Place("recipient", "address, replies, notes"),
    Place("submission", "senders, subjects and list headers of mail"),
    Place("content", "messages"),
    Place("content_staged", "nothing: ids of messages under way"),
    Place(
        "campaign",
        "names of campaigns",
        _blank_notes(tables.campaign, "name", "key", "stopped_note"),
    ),
    Place("campaign_count", "nothing: numbers"),
    Place("sender_state", "notes on frozen senders", _blank_notes(tables.sender_state, "note")),
    Place(
        "complaint_case",
        "what staff wrote about complaints",
        _blank_notes(complaint_case, "answer", "closing"),
    ),
    Place("bulk_window", "nothing: fingerprints of texts"),
    Place("written_file", "files with rejected rows"),
    Place("import_progress", "nothing: counts of imports under way"),
    Place("source", "nothing of recipients: where consent is collected"),
    Place("consent_text", "nothing of recipients: words"),
    Place("picture", "nothing of recipients: pictures of forms"),
    Place("stream_name", "nothing: names of streams"),
    Place("api_key", "nothing of recipients: digests of keys"),
    Place("api_request", "nothing: fingerprints and outcomes"),
    Place("webhook", "nothing: names and heights"),
    Place(
        "webhook_delivery",
        "answers of other systems",
        _blank_notes(webhook_delivery, "last_error"),
    ),
    Place("meta", "nothing: facts about the store"),
)
