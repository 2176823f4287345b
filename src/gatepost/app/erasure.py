"""A person asks to be erased: honoured at once, and for the evidence on its date (JU-24, B4).

What must be kept to prove a consent that mail was sent on stays until its term is over; all
else goes now, and no bulk mail is sent from this moment. Where nothing must be kept, everything
goes now. Suppressions and links survive: they need only the hash of the address and a random
id. The retention run completes on its date what is begun here.

In: an address. Out: an `Erasure`: what was done, what stays, by which rule, and until when.
*Fails:* `StoreUnavailable`.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from gatepost.app.retention import forget
from gatepost.consent.bases import Bases
from gatepost.consent.evidence import ALL, REST, EventKind, Fact
from gatepost.consent.retention import REQUEST, UNCONFIRMED, Terms
from gatepost.mail.address import Address
from gatepost.store import people, places, retention
from gatepost.store.engine import Store, Tx
from gatepost.store.people import History
from gatepost.store.places import Who

ERASED = "erased"  # the reason of a suppression that an erasure brought


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What was done for a person, or would be.

    `extent` is "" for a stranger, "all" where nothing stays, "rest" where the evidence stays
    until `due`. `already` says that an earlier request had been honoured so far before.
    """

    extent: str
    due: datetime | None
    evidence: int
    other: int
    already: bool
    places: Counter[str]
    unreachable: tuple[str, ...]
    done: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the ledger says to do."""

    who: Who
    extent: str
    due: datetime | None
    evidence: int
    other: int
    already: bool
    is_silent: bool = False  # whether no mail at all goes to them because of an erasure


class Eraser:
    """Honours requests for erasure."""

    def __init__(self, store: Store, terms: Terms, bases: Bases) -> None:
        self._store, self._terms, self._bases = store, terms, bases

    def preview(self, address: Address) -> Erasure:
        """What a request would come to now; changes nothing."""
        plan = self._store.read_now(partial(self._plan, address=address, transactional=False))
        found = self._store.read_now(partial(places.find, people=[plan.who]))
        count = Counter({"rows of mail": len(found.rows), "mail sent": len(found.written_by)})
        return _erasure(plan, +count, (), done=False)

    def erase(self, address: Address, *, note: str = "", transactional: bool = False) -> Erasure:
        """Erases now what may go. With `transactional` no mail at all is sent to the address."""
        known = self._store.read_now(partial(self._plan, address=address, transactional=False))
        has_mail = not known.who.subject and self._has_mail(known.who)

        def record(tx: Tx) -> _Plan:
            plan = self._plan(tx, address, transactional)
            facts = [] if plan.already else [_fact(tx, plan, note)]
            if transactional and not plan.is_silent:
                facts.append(_no_mail_at_all(tx))
            if plan.who.subject:
                people.record_for_subject(tx, plan.who.subject, facts)
            elif transactional or has_mail:
                people.record(tx, address, facts)
            if plan.extent == ALL and plan.who.subject:
                retention.forget_uses(tx, [plan.who.subject])
            return plan

        plan = self._store.write_now(record)
        count, unreachable = forget(self._store, [plan.who])
        self._store.empty_log()
        return _erasure(plan, count, tuple(unreachable), done=True)

    def _has_mail(self, who: Who) -> bool:
        found = self._store.read_now(partial(places.find, people=[who]))
        return bool(found.rows or found.written_by)

    def _plan(self, tx: Tx, address: Address, transactional: bool) -> _Plan:
        known = people.history(tx, address)
        digest = tx.keys.address_hash(address)
        who = Who(known.subject if known else 0, digest, address, tx.now_ms, transactional)
        if known is None:
            return _Plan(who, "", None, 0, 0, already=False)
        kept = retention.kept_until(tx, known.subject, self._terms, self._bases, tx.now)
        expiry = kept.expiry
        must_stay = expiry is not None and expiry.rule != UNCONFIRMED and expiry.due > tx.now
        evidence, other = _count(known)
        extent = REST if must_stay else ALL
        return _Plan(
            who,
            extent,
            expiry.due if expiry and must_stay else None,
            evidence,
            other,
            already=_is_honoured(known, extent),
            is_silent=any(one.reason == ERASED for one in known.suppressions),
        )


def _count(known: History) -> tuple[int, int]:
    """How many events are evidence, and how many are not, of those with a payload."""
    probe = Fact(kind=EventKind.ERASED, at=known.created_at, extent=REST)
    told = [one.kind for one in known.events if one.fact and one.kind is not EventKind.ERASED]
    other = sum(probe.erases(kind) for kind in told)
    return len(told) - other, other


def _is_honoured(known: History, extent: str) -> bool:
    """Whether the last thing on record but suppressions is an erasure that reaches so far."""
    bare = {EventKind.SUPPRESSED, EventKind.SUPPRESSION_LIFTED}
    last = next((one for one in reversed(known.events) if one.kind not in bare), None)
    if last is None or last.kind is not EventKind.ERASED:
        return False
    return last.fact is None or last.fact.extent != REST or extent == REST


def _fact(tx: Tx, plan: _Plan, note: str) -> Fact:
    return retention.erasure(tx.now, REQUEST, plan.extent or ALL, plan.due, note)


def _no_mail_at_all(tx: Tx) -> Fact:
    return Fact(
        kind=EventKind.SUPPRESSED,
        at=tx.now,
        scope="all",
        suppression=ERASED,
        actor="staff",
        method="cli",
    )


def _erasure(
    plan: _Plan, count: Counter[str], unreachable: tuple[str, ...], *, done: bool
) -> Erasure:
    return Erasure(
        extent=plan.extent,
        due=plan.due,
        evidence=plan.evidence,
        other=plan.other,
        already=plan.already,
        places=+count,
        unreachable=unreachable,
        done=done,
    )
