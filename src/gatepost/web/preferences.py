"""`/p/{token}`: every bulk stream of the sender, on or off, or nothing at all (SO-11, HR-7).

Opening the page changes nothing; what is confirmed by a button is recorded at once, and only
what differs from what holds. Streams that the page did not show are left alone, so that a
stream added in the meantime is neither joined nor left by somebody who never saw it.

Who ticks a stream signs up for it on the sender's own page: the page names the company and
the stream and says how to leave again, and the event keeps the words that were shown. A stream
with double opt-in is asked for here, and joined by the link in the mail that follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.standing import Person
from gatepost.consent.tokens import Purpose
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream
from gatepost.store import people
from gatepost.store.transaction import Tx
from gatepost.web import body, choices, counters, visits, words
from gatepost.web.answer import Answer
from gatepost.web.body import Receive
from gatepost.web.choices import Wish
from gatepost.web.joining import Joiner, Wanted
from gatepost.web.limits import LOOKS_PER_LINK, SAVES_PER_LINK
from gatepost.web.links import Link, Links
from gatepost.web.page import Pages
from gatepost.web.site import Site
from gatepost.web.visitor import Scope, visitor
from gatepost.web.withdrawal import PAGE, Act, person_behind, token_in

BASIS = "newsletter-form"


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of the page.

    `by_mail` where a tick is not enough to join, `locked` where it leads to nothing.
    """

    name: str
    title: str
    description: str
    on: bool
    locked: bool
    by_mail: bool


class Preferences:
    """Answers both methods."""

    def __init__(self, site: Site, links: Links, pages: Pages) -> None:
        self._site = site
        self._links = links
        self._pages = pages

    async def show(self, scope: Scope) -> Answer:
        """The page as things stand. Raises `StoreUnavailable`."""
        link = await self._links.open(Purpose.PREFERENCES, token_in(scope))
        if link is None:
            return self._foreign(scope)
        if link.is_retired:
            return self._pages.retired(scope, link)
        visits.count("preferences", scope)
        if not self._pages.limits.allows(LOOKS_PER_LINK, link.token):
            return self._pages.too_many(LOOKS_PER_LINK, scope)
        return await self._page(scope, link)

    async def save(self, scope: Scope, receive: Receive) -> Answer:
        """Records the changes, then the page. Raises `StoreUnavailable`."""
        link = await self._links.open(Purpose.PREFERENCES, token_in(scope))
        if link is None:
            return self._foreign(scope)
        if link.is_retired:
            return self._pages.retired(scope, link)
        wish = _wish(await body.read(receive))
        if wish is None:
            return self._pages.trouble("form", scope, 400)
        asked_for = wish
        if not wish.nothing and not self._pages.limits.allows(SAVES_PER_LINK, link.token):
            wish = await self._leaving(link, wish)  # that has no limit
        act = Act(link, visitor(scope, self._site.trusted_proxies()), PAGE)
        language = self._pages.language(scope, link.stream)
        lost = await self._record(act, wish, language)
        if wish != asked_for:
            return self._pages.too_many(SAVES_PER_LINK, scope)
        if wish.back:
            return await self._back(scope, link, wish)
        asked = await self._ask(act, wish, language)
        return await self._page(
            scope, link, saved=True, lost=lost if wish.nothing else (), asked=asked
        )

    def _foreign(self, scope: Scope) -> Answer:
        """For a token that does not open: one of a compromised key is told from an altered one."""
        if self._site.ring().is_compromised(token_in(scope)):
            return self._pages.trouble("out-of-use", scope, 410)
        return self._pages.foreign(scope)

    async def _leaving(self, link: Link, wish: Wish) -> Wish:
        """What of the wish takes away and turns nothing on."""
        streams = self._streams(link)
        persons = await self._site.store.read(lambda tx: _persons(tx, link, streams))
        return choices.leaving(streams, persons, wish)

    async def _back(self, scope: Scope, link: Link, wish: Wish) -> Answer:
        """The page after an undoing, or why there was none; doing it twice is doing it once."""
        streams = [stream for stream in self._streams(link) if stream.name in wish.back]
        persons = await self._site.store.read(lambda tx: _persons(tx, link, streams))
        language = self._pages.language(scope, link.stream)
        titles = [
            words.title(stream, language)
            for stream in streams
            if choices.is_on(stream, persons[stream.name])
        ]
        if not titles:
            return await self._page(scope, link, late=True)
        return self._pages.for_link("back", scope, link, titles=titles)

    async def _record(self, act: Act, wish: Wish, language: str) -> list[str]:
        """Records what differs; the names of the streams that the person had until now."""
        link = act.link
        subject, sender = link.claim.subject, link.sender_name
        streams = self._streams(link)

        def record(tx: Tx) -> tuple[list[Stream], list[str], list[str]]:
            persons = _persons(tx, link, streams)
            joined, left = choices.changes(streams, persons, wish, tx.now)
            facts = [act.fact(EventKind.WITHDRAWN, tx, name) for name in left]
            facts += [
                _joining(act, tx, stream, persons[stream.name], language) for stream in joined
            ]
            if facts:
                people.record_for_subject(tx, subject, facts)
            return joined, left, choices.lost(streams, persons, left)

        joined, left, lost = await self._site.store.write(record)
        for name in left:
            self._site.on_withdrawn(subject, sender, name)
            counters.WITHDRAWALS.labels("preferences").inc()
        for name in choices.unwanted(streams, wish):
            if name not in left:  # perhaps at another gateway, of which this one has not heard yet
                self._site.on_left_again(subject, sender, name)
        counters.RESUBSCRIPTIONS.inc(len(joined))
        return lost

    async def _ask(self, act: Act, wish: Wish, language: str) -> list[str]:
        """Asks by mail for what a tick cannot turn on; the titles of these streams."""
        link, site = act.link, self._site
        letters, sender, subject = site.letters, link.sender, link.claim.subject
        if letters is None or sender is None or not wish.ticked:
            return []
        joiner = Joiner(letters, site.ring, site.confirming)

        def ask(tx: Tx) -> list[Stream]:
            address = people.address_of(tx, subject)
            persons = _persons(tx, link, self._streams(link))
            wanted = choices.to_ask(self._streams(link), persons, wish, tx.now)
            if address is None or not wanted:
                return []
            joiner.join(tx, address, _wanted(act, sender, wanted, language))
            return wanted

        asked = await site.store.write(ask)
        return [words.title(stream, language) for stream in asked]

    async def _page(
        self,
        scope: Scope,
        link: Link,
        *,
        saved: bool = False,
        late: bool = False,
        lost: Sequence[str] = (),
        asked: Sequence[str] = (),
    ) -> Answer:
        streams = self._streams(link)
        now = self._site.store.now()
        persons = await self._site.store.read(lambda tx: _persons(tx, link, streams))
        language = self._pages.language(scope, link.stream)
        lines = []
        for stream in streams:
            person = persons[stream.name]
            on = choices.is_on(stream, person)
            title, about = words.title(stream, language), words.description(stream, language)
            locked = not on and not choices.may_join(stream, person, now)
            by_mail = locked and self._site.letters is not None
            locked = locked and not by_mail
            lines.append(Choice(stream.name, title, about, on, locked, by_mail))
        return self._pages.for_link(
            "preferences",
            scope,
            link,
            choices=lines,
            saved=saved,
            late=late,
            asked=asked,
            undo=[
                stream.name
                for stream in streams
                if stream.name in lost and choices.may_undo(stream, persons[stream.name], now)
            ],
            anything=any(line.on for line in lines),
            blocked=any(choices.is_blocked(person) for person in persons.values()),
        )

    def _streams(self, link: Link) -> list[Stream]:
        """The bulk streams of the link's sender, in the order of the configuration."""
        return [
            stream
            for stream in self._site.streams().values()
            if stream.is_bulk and stream.sender == link.sender_name
        ]


def _persons(tx: Tx, link: Link, streams: list[Stream]) -> dict[str, Person]:
    return {stream.name: person_behind(tx, link, stream.name) for stream in streams}


def _joining(act: Act, tx: Tx, stream: Stream, person: Person, language: str) -> Fact:
    """The event of a tick: undoing a fresh withdrawal, or signing up."""
    if choices.may_undo(stream, person, tx.now):
        return act.fact(EventKind.RESUBSCRIBED, tx, stream.name)
    return act.fact(
        EventKind.RESUBSCRIBED,
        tx,
        stream.name,
        basis=BASIS,
        text_state=TextState.VALID,
        note=_shown(act, stream, language),
    )


def _wanted(act: Act, sender: Sender, streams: Sequence[Stream], language: str) -> Wanted:
    return Wanted(
        sender=sender,
        streams=streams,
        language=language,
        visitor=act.visitor,
        method=PAGE,
        text_state=TextState.VALID,
        notes={stream.name: _shown(act, stream, language) for stream in streams},
    )


def _shown(act: Act, stream: Stream, language: str) -> str:
    """The words beside the box, for the record."""
    shown = f"{stream.title_in(language)}: {stream.description_in(language)}".removesuffix(": ")
    return f"ticked on the preferences page ({language}) of {act.link.legal_name}: {shown}"


def _wish(sent: body.Body) -> Wish | None:
    """What the form says; `None` if our page did not send it."""
    fields = sent.form() or {}
    match fields.get("action"):
        case ["nothing"]:
            return Wish(nothing=True)
        case ["undo"]:
            back = frozenset(fields.get("back", ()))
            return Wish(back=back) if back else None
        case ["save"]:
            return Wish(frozenset(fields.get("shown", ())), frozenset(fields.get("on", ())))
        case _:
            return None
