"""What is on record of a person, as commands and the API show it.

In: a transaction, the policy and an address. Out: a `Record`: standings with verdicts, events,
suppressions, in the shape that programs get. A standing is shown for each bulk stream of the
configuration, and for retired streams that something is on record for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from gatepost.app import telling
from gatepost.consent.evidence import Fact, TextState
from gatepost.consent.leaving import left_at
from gatepost.consent.standing import STRANGER, Grant, Person
from gatepost.flow.decide.case import Case
from gatepost.flow.decide.evidence import weigh
from gatepost.flow.decide.policy import Policy
from gatepost.mail.address import Address
from gatepost.mail.stream import Stream
from gatepost.mail.verdict import Verdict
from gatepost.store import people, sources
from gatepost.store.engine import Tx
from gatepost.store.ids import to_text
from gatepost.store.people import History, Recorded
from gatepost.store.suppressions import Suppressed


@dataclass(frozen=True, slots=True)
class Record:
    """Everything about one address. `history` is `None` for a stranger."""

    address: str
    history: History | None
    standings: tuple[dict[str, Any], ...]

    @property
    def is_known(self) -> bool:
        """Whether the ledger has met the address."""
        return self.history is not None

    def as_json(self) -> dict[str, Any]:
        """The shape that programs get."""
        history = self.history
        return {
            "address": self.address,
            "subject": to_text(history.subject) if history else "",
            "erased_at": history.erased_at if history else None,
            "standings": self.standings,
            "events": [_event(one) for one in history.events] if history else [],
            "suppressions": [_suppression(one) for one in history.suppressions] if history else [],
        }

    def for_senders(self, sees: Callable[[str], bool]) -> dict[str, Any]:
        """The same as far as it is the business of some senders.

        Somebody whom only others know is told apart from a stranger by nothing.
        """
        shown = self.as_json()
        shown["standings"] = [row for row in self.standings if sees(row["sender"])]
        history = self.history
        if history is not None:
            shown["events"] = [
                _event(one) for one in history.events if one.fact and sees(one.fact.sender)
            ]
            shown["suppressions"] = [
                _suppression(one)
                for one in history.suppressions
                if sees(one.sender) or not one.sender
            ]
        told = shown["events"] or any(row["state"] != "none" for row in shown["standings"])
        if not told:
            shown.update(subject="", erased_at=None)
        return shown


def read(tx: Tx, policy: Policy, who: Address) -> Record:
    """What is on record of `who`, and what would become of mail to them now."""
    history = people.history(tx, who)
    known = policy.streams
    current = [
        _standing(tx, policy, who, stream) for _, stream in sorted(known.items()) if stream.is_bulk
    ]
    retired = [
        _row(one.stream, one.sender, Person(standing=one.standing))
        for one in (history.standings if history else ())
        if one.stream not in known
    ]
    return Record(who.given, history, (*current, *retired))


def _standing(tx: Tx, policy: Policy, who: Address, stream: Stream) -> dict[str, Any]:
    person = people.look_up(tx, [who], stream.name, stream.sender).get(who.key, STRANGER)
    verdict = policy.judge(stream, who, person, tx.now)
    case = Case(
        stream=stream,
        sender=policy.senders.get(stream.sender),
        address=who,
        person=person,
        now=tx.now,
        bases=policy.bases,
    )
    weighing = weigh(case)
    grant = weighing.grant
    # A return that does not count leaves the person where they were (X6).
    row = _row(stream.name, stream.sender, person, verdict, grant, left=weighing.withdrawn_at)
    return row | {
        "why": telling.why(verdict, grant, stream),
        "cure": telling.cure(verdict),
        "marks": _marks(tx, row["source"], row["text_version"]),
    }


def _marks(tx: Tx, source: str, version: str) -> tuple[str, ...]:
    """What whoever relies on a consent from this source should know, such as "no picture"."""
    record = sources.find_source(tx, source) if source else None
    if record is None:
        return ()
    return record.marks_of(next((one for one in record.texts if one.version == version), None))


def _row(
    stream: str,
    sender: str,
    person: Person,
    verdict: Verdict | None = None,
    grant: Grant | None = None,
    *,
    left: datetime | None = None,
) -> dict[str, Any]:
    left = left or left_at(person)
    grant = grant or max(person.standing.evidence(), key=lambda one: one.effective_at, default=None)
    return {
        "stream": stream,
        "sender": sender,
        "state": _state(left, grant),
        "basis": grant.basis if grant else "",
        "since": _since(left, grant, verdict),
        "verdict": verdict.disposition if verdict else "",
        "reason": verdict.reason if verdict else "",
        "source": grant.source if grant else "",
        "text_version": grant.text_version if grant else "",
        "text_state": grant.text_state if grant else TextState.NONE,
        "confirmed_at": grant.confirmed_at if grant else None,
        "withdrawn_at": left,
        "categories": grant.categories if grant else (),
        "why": "the configuration does not know the stream any more",
        "cure": "",
        "marks": (),
    }


def _state(left: datetime | None, grant: Grant | None) -> str:
    """In one word, what the person said last, whatever it is worth for a mail."""
    if left is not None:
        return "withdrawn"
    if grant is None:
        return "none"
    return "requested" if grant.pending else "granted"


def _since(left: datetime | None, grant: Grant | None, verdict: Verdict | None) -> datetime | None:
    if left is not None:
        return left
    if grant is not None:
        return grant.effective_at
    return verdict.since if verdict else None


def _event(recorded: Recorded) -> dict[str, Any]:
    head: dict[str, Any] = {
        "id": recorded.id,
        "kind": recorded.kind,
        "recorded_at": recorded.recorded_at,
        "sealed_in": recorded.block,
    }
    return head | dict(_said(recorded.fact)) if recorded.fact else head | {"erased": True}


def _said(fact: Fact) -> Iterator[tuple[str, Any]]:
    """What a fact says, without what it leaves open."""
    for spec in fields(Fact):
        value = getattr(fact, spec.name)
        if spec.name != "kind" and value not in ("", (), None, False):
            yield spec.name, value


def _suppression(one: Suppressed) -> dict[str, Any]:
    return {
        "sender": one.sender or "*",
        "scope": one.scope,
        "reason": one.reason,
        "since": one.since,
    }
