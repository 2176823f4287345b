"""Gathers the dossier of one person: events, texts, sources, mail, suppressions, seals.

In: a transaction, a subject. Out: a `consent.dossier.Dossier`. With `sender`, what concerns
other senders is left out; an event whose content is erased concerns nobody in particular, and
is then only counted.

*Fails:* `UnknownSubject`; whatever the database raises.
*Known limits:* of single mails the last `RECENT` are listed; all are counted as long as the
consent they rest on is on record. Recipients' rows are read through once, because no index
leads from a person to them: some 0.3 s per million rows.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select

from gatepost.consent.attestations import COMPETITION, SPOILING, WARRANTED
from gatepost.consent.dossier import (
    Blocked,
    Dossier,
    Entry,
    Picture,
    Place,
    Seal,
    Sent,
    Use,
    Wording,
)
from gatepost.consent.evidence import EventKind, Fact, commitment
from gatepost.consent.standing import Person
from gatepost.mail.address import Address
from gatepost.mail.duration import Duration
from gatepost.store import ledger, people, seals, sources, subjects, suppressions, uses
from gatepost.store.ids import to_text
from gatepost.store.recording import UnknownSubject, covered
from gatepost.store.tables import mail as tables
from gatepost.store.tables.ledger import event, event_payload, subject
from gatepost.store.times import from_ms
from gatepost.store.transaction import Tx

RECENT = 500
_r, _s, _c = tables.recipient.c, tables.submission.c, tables.campaign.c


def find(tx: Tx, address: Address) -> int | None:
    """The subject behind `address`, erased or not; `None` for a stranger."""
    found = subjects.find(tx, [tx.keys.address_hash(address)])
    return next(iter(found.values()), None)


def nothing_held(tx: Tx, address: Address, sender: str = "") -> Dossier:
    """The dossier of somebody the ledger has never met: it says so."""
    return Dossier(
        address=address.given, subject="", sender=sender, made_at=tx.now,
        known_since=None, erased_at=None, head=ledger.head(tx),
    )  # fmt: skip


def gather(
    tx: Tx, of_subject: int, *, address: str = "", sender: str = "", kept_for: Duration
) -> Dossier:
    """Everything on record of one subject. Raises `UnknownSubject`.

    `address` is what to call a person whose address is erased; `kept_for` how long evidence is
    kept after its last use.
    """
    row = tx.connection.execute(select(subject).where(subject.c.id == of_subject)).one_or_none()
    if row is None:
        raise UnknownSubject(f"no subject has the id {of_subject}")
    everything = _entries(tx, of_subject, row.address_hash)
    entries = [one for one in everything if _concerns(one, sender)]
    facts = [one.fact for one in entries if one.fact]
    return Dossier(
        address=row.address or address,
        subject=to_text(of_subject),
        sender=sender,
        made_at=tx.now,
        known_since=from_ms(row.created_ms),
        erased_at=None if row.erased_ms is None else from_ms(row.erased_ms),
        entries=tuple(entries),
        wordings=tuple(_wordings(tx, facts)),
        places=tuple(_places(tx, facts)),
        uses=tuple(
            Use(
                stream=one.stream, sender=one.sender, since=one.since,
                first=one.first, last=one.last, copies=one.copies,
            )
            for one in uses.uses_of(tx, of_subject)
            if not sender or one.sender == sender
        ),
        sent=tuple(_sent(tx, of_subject, row.address_hash, sender)),
        blocked=tuple(
            Blocked(sender=one.sender, scope=one.scope, reason=one.reason, since=one.since)
            for one in suppressions.of_subject(tx, of_subject)
            if not sender or one.sender in ("", sender)
        ),
        left_out=sum(1 for one in everything if sender and one.fact is None),
        head=ledger.head(tx),
        kept_for=kept_for,
    )  # fmt: skip


def person_for(tx: Tx, of_subject: int, stream: str, sender: str) -> Person:
    """The person as a decision sees them, for what would become of a mail now."""
    return people.look_up_subjects(tx, [of_subject], stream, sender)[of_subject]


def _concerns(entry: Entry, sender: str) -> bool:
    if not sender:
        return True
    return entry.fact is not None and entry.fact.sender in ("", sender)


def _entries(tx: Tx, of_subject: int, address_hash: bytes) -> list[Entry]:
    rows = tx.connection.execute(
        select(event, event_payload.c.salt, event_payload.c.payload)
        .select_from(event.outerjoin(event_payload, event_payload.c.event == event.c.id))
        .where(event.c.subject == of_subject)
        .order_by(event.c.id)
    ).all()
    broken = seals.broken(tx, {row.block for row in rows if row.block is not None})
    found = []
    for row in rows:
        fact, altered = _said(row, address_hash)
        found.append(
            Entry(
                id=row.id,
                kind=EventKind(row.kind),
                recorded_at=from_ms(row.recorded_ms),
                fact=fact,
                block=row.block,
                seal=_seal(row.block, broken, altered=altered),
            )
        )
    return found


def _said(row: Any, address_hash: bytes) -> tuple[Fact | None, bool]:
    """What an event says, and whether that was altered after it was recorded."""
    if row.payload is None:
        return None, False  # erased; that an erasure says why is for `ledger.verify`
    try:
        fact = Fact.from_payload(row.payload)
        computed = commitment(row.salt, covered(address_hash, row.payload))
    except (ValueError, TypeError):
        return None, True
    return fact, computed != row.commitment or fact.kind.value != row.kind


def _seal(height: int | None, broken: frozenset[int], *, altered: bool) -> Seal:
    if altered or height in broken:
        return Seal.BROKEN
    return Seal.WAITING if height is None else Seal.HOLDS


def _wordings(tx: Tx, facts: Iterable[Fact]) -> Iterable[Wording]:
    for name, version in sorted({(f.source, f.text_version) for f in facts if f.text_version}):
        text = sources.find_text(tx, name, version)
        if text is None:
            continue
        yield Wording(
            source=name,
            version=version,
            language=text.language,
            body=text.body,
            sha256=text.sha256,
            attested=tuple(_attested(text)),
            is_valid=text.state.value == "valid",
            accepted_lint=text.accepted_lint,
            created_at=text.created_at,
            pictures=tuple(
                Picture(
                    name=picture.name,
                    media_type=picture.media_type,
                    sha256=picture.sha256,
                    added_at=picture.added_at,
                    content=sources.picture_content(tx, picture.id),
                )
                for picture in text.pictures
            ),
        )


def _attested(text: sources.TextRecord) -> Iterable[tuple[str, bool]]:
    """What is warranted, in words; what would spoil a text is told as its contrary."""
    said = text.attestations
    yield from ((word, said.has(word)) for word in WARRANTED)
    yield "names-company", text.names_sender or said.names_company
    if text.kind == COMPETITION:
        yield "prominent", said.prominent
    yield from ((f"not-{word}", not said.has(word)) for word in SPOILING)


def _places(tx: Tx, facts: Iterable[Fact]) -> Iterable[Place]:
    for name in sorted({fact.source for fact in facts if fact.source}):
        record = sources.find_source(tx, name)
        if record is None:
            continue
        yield Place(
            name=name,
            sender=record.sender,
            kind=record.kind,
            description=record.description,
            url=record.url,
            channel=record.channel,
            streams=record.streams,
            categories=record.categories,
            reconstructed=record.reconstructed,
            attested_by=record.attested_by,
            attested_why=record.attested_why,
            created_at=record.created_at,
        )


def _sent(tx: Tx, of_subject: int, address_hash: bytes, sender: str) -> Iterable[Sent]:
    rows = (
        select(
            _s.received_ms, _s.stream, _s.sender, _s.subject, _c.name,
            _r.finished_ms, _r.state, _r.reason, _r.since_ms,
        )
        .select_from(
            tables.recipient.join(tables.submission, _s.id == _r.submission).outerjoin(
                tables.campaign, _c.id == _s.campaign_id
            )
        )
        .where(
            or_(_r.subject == of_subject, _r.address_hash == address_hash), _s.sender != ""
        )
        .order_by(_s.received_ms.desc(), _r.id.desc())
        .limit(RECENT)
    )  # fmt: skip
    if sender:
        rows = rows.where(_s.sender == sender)
    for row in reversed(tx.connection.execute(rows).all()):
        yield Sent(
            at=from_ms(row.received_ms if row.finished_ms is None else row.finished_ms),
            stream=row.stream,
            sender=row.sender,
            subject=row.subject,
            campaign=row.name or "",
            outcome=row.state,
            reason=row.reason,
            since=_moment(row.since_ms),
        )


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else from_ms(milliseconds)
