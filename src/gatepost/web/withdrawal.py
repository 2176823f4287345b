"""`POST /u/{token}`: leaving, by one click in a mail client or by the button on our page.

RFC 8058 to the letter, and beyond it: any POST with a valid token withdraws, whatever its
body, since a POST there can mean nothing else. No cookie, login, question or redirect; `200`
only after the withdrawal is committed; again is the same as once.

*Fails:* never by an exception of its own: a bad token is 404, a store out of reach 503 with
Retry-After (both from `recipients`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.leaving import has_left
from gatepost.consent.standing import Person
from gatepost.consent.tokens import Purpose
from gatepost.store import ids, people
from gatepost.store.transaction import BatchOp, Tx
from gatepost.web import body, counters
from gatepost.web.answer import Answer
from gatepost.web.body import Receive
from gatepost.web.links import Link, Links
from gatepost.web.page import PAGE_FIELD, Pages
from gatepost.web.site import Site
from gatepost.web.visitor import Scope, Visitor, visitor

PREFIX = "/u/"
ONE_CLICK = "one-click"
PAGE = "page"
_BUTTON = f"{PAGE_FIELD}=1".encode()


@dataclass(frozen=True, slots=True)
class Act:
    """One person's act on one of our links, as the evidence will describe it."""

    link: Link
    visitor: Visitor
    method: str
    note: str = ""

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
    """Answers the POST."""

    def __init__(self, site: Site, links: Links, pages: Pages) -> None:
        self._site = site
        self._links = links
        self._pages = pages

    async def answer(self, scope: Scope, receive: Receive) -> Answer:
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
        )
        await withdraw(self._site, act)
        counters.WITHDRAWALS.labels(act.method).inc()
        if by_button:
            return self._pages.for_link("unsubscribed", scope, link, just_now=True)
        return self._pages.one_click_done(scope, link)


async def withdraw(site: Site, act: Act) -> None:
    """Records the withdrawal from the link's stream, and returns when it holds everywhere.

    Nothing is recorded if the person has withdrawn already. Raises `StoreUnavailable`, and
    `UnknownSubject` for the link of another store.
    """
    link = act.link
    if not await site.store.batch(WITHDRAW, act):
        raise people.UnknownSubject(f"no subject has the id {link.claim.subject}")
    site.on_withdrawn(link.claim.subject, link.sender_name, link.stream_name)


def _withdraw_all(tx: Tx, acts: Sequence[Act]) -> list[bool]:
    """Withdrawals that wait together, in one look-up per stream; whether each one's person is."""
    together: dict[tuple[str, str], list[Act]] = {}
    for act in acts:
        together.setdefault((act.link.stream_name, act.link.sender_name), []).append(act)
    known: set[int] = set()
    facts: dict[tuple[int, str], Fact] = {}  # who clicks twice at once has left once
    for (stream, sender), same in together.items():
        ids = [act.link.claim.subject for act in same]
        persons = people.look_up_subjects(tx, ids, stream, sender)
        known |= persons.keys()
        for act in same:
            person = persons.get(act.link.claim.subject)
            if person is not None and not has_left(person):
                facts[person.subject, stream] = act.fact(EventKind.WITHDRAWN, tx, stream)
    if facts:
        people.record_for_subjects(tx, [(subject, fact) for (subject, _), fact in facts.items()])
    return [act.link.claim.subject in known for act in acts]


WITHDRAW: BatchOp[Act, bool] = BatchOp("withdraw", _withdraw_all)


def person_behind(tx: Tx, link: Link, stream: str) -> Person:
    """The person whom the link belongs to, for one stream of its sender."""
    subject = link.claim.subject
    found = people.look_up_subjects(tx, [subject], stream, link.sender_name)
    if subject not in found:
        raise people.UnknownSubject(f"no subject has the id {subject}")
    return found[subject]


def token_in(scope: Scope) -> str:
    """The token in a path such as `/u/{token}`."""
    path: str = scope["path"]
    return path[len(PREFIX) :].rstrip("/")
