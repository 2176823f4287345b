"""`POST /u/{token}`: leaving, by one click in a mail client or by the button on our page.

RFC 8058 to the letter, and beyond it: any POST with a valid token withdraws, whatever its
body, since a POST there can mean nothing else. No cookie, login, question or redirect; `200`
only after the withdrawal is committed; again is the same as once.

*Fails:* never by an exception of its own: a bad token is 404, a store out of reach 503 with
Retry-After (both from `recipients`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache

from prometheus_client import Counter

from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.leaving import has_left, left_at
from gatepost.consent.standing import Person
from gatepost.consent.tokens import Purpose
from gatepost.store import ids, people
from gatepost.store.streams import KnownStream
from gatepost.store.transaction import BatchOp, Tx
from gatepost.web import body, choices, counters, visits
from gatepost.web.answer import Answer, Prepared
from gatepost.web.body import Receive
from gatepost.web.limits import LOOKS_PER_LINK
from gatepost.web.links import Link, Links
from gatepost.web.page import PAGE_FIELD, Pages
from gatepost.web.site import Site
from gatepost.web.visitor import Scope, Visitor, visitor

PREFIX = "/u/"
ONE_CLICK = "one-click"
PAGE = "page"
_BUTTON = f"{PAGE_FIELD}=1".encode()
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


@cache
def _counter_of(method: str) -> Counter:
    """One counter; finding it costs more than counting."""
    return counters.WITHDRAWALS.labels(method)


def _tell_nobody(_: Tx) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Act:
    """One person's act on one of our links, as the evidence will describe it.

    `tell` runs in the transaction that records it, once, if there was anything to record.
    """

    link: Link
    visitor: Visitor
    method: str
    note: str = ""
    tell: Callable[[Tx], None] = _tell_nobody

    def fact(
        self,
        kind: EventKind,
        tx: Tx,
        stream: str,
        *,
        basis: str = "",
        text_state: TextState = TextState.NONE,
        note: str = "",
    ) -> Fact:
        """The fact that the ledger records for it."""
        submission = self.link.claim.submission
        return Fact(
            kind=kind,
            at=tx.now,
            sender=self.link.sender_name,
            stream=stream,
            basis=basis,
            text_state=text_state,
            actor="recipient",
            method=self.method,
            ip=self.visitor.ip,
            user_agent=self.visitor.user_agent,
            note=note or self.note,
            submission=ids.to_text(submission) if submission else "",
        )


class Withdrawal:
    """Answers both methods."""

    def __init__(self, site: Site, links: Links, pages: Pages) -> None:
        self._site = site
        self._links = links
        self._pages = pages

    async def show(self, scope: Scope) -> Answer:
        """The page with one button, or the news that there is nothing left to do.

        Raises `StoreUnavailable`.
        """
        link = await self._links.open(Purpose.UNSUBSCRIBE, token_in(scope))
        if link is None:
            return self._pages.foreign(scope)
        visits.count("unsubscribe", scope)
        if not self._pages.limits.allows(LOOKS_PER_LINK, link.token):
            return self._pages.for_link("unsubscribe", scope, link)  # leaving needs no look-up
        person = await self._person(link)
        if has_left(person):
            return self._done(scope, link, person, just_now=False)
        return self._pages.for_link("unsubscribe", scope, link)

    async def answer(self, scope: Scope, receive: Receive) -> Answer | Prepared:
        """Withdraws and says so. Raises `StoreUnavailable`."""
        link = await self._links.open(Purpose.UNSUBSCRIBE, token_in(scope))
        if link is None:
            return self._pages.foreign(scope)
        sent = await body.read(receive)
        by_button = _BUTTON in sent.data.split(b"&")
        act = Act(
            link,
            visitor(scope, self._site.trusted_proxies()),
            PAGE if by_button else ONE_CLICK,
            "" if by_button or sent.is_one_click else "the body did not say One-Click",
            self._telling(scope, link) if by_button else _tell_nobody,
        )
        await withdraw(self._site, act)
        if by_button:
            return self._done(scope, link, await self._person(link), just_now=True)
        return self._pages.one_click_done(scope, link)

    def _telling(self, scope: Scope, link: Link) -> Callable[[Tx], None]:
        known = KnownStream(link.stream_name, link.sender_name)
        language = self._pages.language(scope, link.stream)

        def tell(tx: Tx) -> None:
            self._site.farewell(tx, link.claim, known, language)

        return tell

    async def _person(self, link: Link) -> Person:
        return await self._site.store.read(lambda tx: person_behind(tx, link, link.stream_name))

    def _done(self, scope: Scope, link: Link, person: Person, *, just_now: bool) -> Answer:
        """The page after leaving, with a way back as long as that restores what was there."""
        now = self._site.store.now()
        back = link.stream is not None and choices.may_undo(link.stream, person, now)
        return self._pages.for_link(
            "unsubscribed",
            scope,
            link,
            just_now=just_now,
            since=None if just_now else left_at(person),
            undo=[link.stream_name] if back else [],
        )


async def withdraw(site: Site, act: Act) -> None:
    """Records the withdrawal from the link's stream, and returns when it holds everywhere.

    Nothing is recorded if the person has withdrawn already. Raises `StoreUnavailable`, and
    `UnknownSubject` for the link of another store.
    """
    link = act.link
    who = (link.claim.subject, link.sender_name, link.stream_name)
    match await site.store.batch(WITHDRAW, act):
        case Left.NOW:
            site.on_withdrawn(*who)
            _counter_of(act.method).inc()
        case Left.BEFORE:  # perhaps by another gateway, of which this one has not heard yet
            site.on_left_again(*who)
        case Left.NOBODY:
            raise people.UnknownSubject(f"no subject has the id {link.claim.subject}")


class Left(Enum):
    """What a withdrawal came to."""

    NOW = auto()
    BEFORE = auto()
    NOBODY = auto()


def _withdraw_all(tx: Tx, acts: Sequence[Act]) -> list[Left]:
    """Withdrawals that wait together, in one look-up per stream."""
    together: dict[tuple[str, str], list[tuple[int, Act]]] = {}
    for position, act in enumerate(acts):
        key = act.link.stream_name, act.link.sender_name
        together.setdefault(key, []).append((position, act))
    known: set[int] = set()
    facts: dict[tuple[int, str], Fact] = {}
    leaving: set[int] = set()  # by position: who clicks twice at once leaves once
    for (stream, sender), same in together.items():
        ids = [act.link.claim.subject for _, act in same]
        persons = people.look_up_subjects(tx, ids, stream, sender)
        known |= persons.keys()
        for position, act in same:
            person = persons.get(act.link.claim.subject)
            if person is None or has_left(person) or (person.subject, stream) in facts:
                continue
            facts[person.subject, stream] = act.fact(EventKind.WITHDRAWN, tx, stream)
            leaving.add(position)
    if facts:
        people.record_for_subjects(tx, [(subject, fact) for (subject, _), fact in facts.items()])
    for position in sorted(leaving):
        acts[position].tell(tx)
    return [
        Left.NOW
        if position in leaving
        else Left.BEFORE
        if act.link.claim.subject in known
        else Left.NOBODY
        for position, act in enumerate(acts)
    ]


WITHDRAW: BatchOp[Act, Left] = BatchOp("withdraw", _withdraw_all)


def person_behind(tx: Tx, link: Link, stream: str) -> Person:
    """The person whom the link belongs to, for one stream of its sender."""
    subject = link.claim.subject
    found = people.look_up_subjects(tx, [subject], stream, link.sender_name)
    if subject not in found:
        raise people.UnknownSubject(f"no subject has the id {subject}")
    return found[subject]


def token_in(scope: Scope) -> str:
    """The token in a path such as `/u/{token}`, without what a text put behind the link.

    Mail programs take the full stop of a sentence or a bracket into a link, and trackers add
    to it; whatever begins with a character that no token has is not part of one.
    """
    path: str = scope["path"]
    found = _TOKEN.match(path, len(PREFIX))
    return found.group() if found else ""
