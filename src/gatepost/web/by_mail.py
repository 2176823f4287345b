"""`/privacy` and `/manage`: asked for with an address, answered by a mail to that address.

`/privacy` leads to what is stored about a person, `/manage` to what they may choose (SO-14).
Whoever types an address gets the same answer, as fast, whether it is known or not: what is to
be done is done afterwards. Only who reads the mailbox gets further. The link to what is stored
works for a day; a link from a newsletter never opens it, because newsletters are forwarded.

In: forms. Out: pages, and letters through `Site.letters`. The host of a request at most chooses
which sender's form is shown; the link in the letter is built from the sender's public URL.
*Fails:* a store that is not ready is 503; trouble afterwards is logged and counted.
*Known limits:* one who asks twice within a second on two workers gets two letters.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import parse_qs, urlsplit

from gatepost import houselog
from gatepost.consent.tokens import Claim, Purpose, stream_tag
from gatepost.mail.address import Address, AddressError, parse
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream
from gatepost.store.acquaintance import known_to
from gatepost.store.transaction import Tx
from gatepost.web import body, counters, visits
from gatepost.web.answer import Answer
from gatepost.web.body import Receive
from gatepost.web.documents import document
from gatepost.web.limits import (
    DOSSIERS_PER_LINK,
    FORMS_PER_NETWORK,
    LETTERS_PER_ADDRESS,
    network_of,
)
from gatepost.web.page import Pages
from gatepost.web.site import Letters, Site
from gatepost.web.visitor import Scope, header, visitor

PRIVACY, MANAGE = "privacy", "manage"
LINK_WORKS = timedelta(days=1)
_MAX_ADDRESS = 320


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """Somebody asks, for one sender, for one kind of link."""

    page: str
    sender: Sender
    address: Address
    language: str


class ByMail:
    """Answers the forms, and the link to what is stored."""

    def __init__(self, site: Site, pages: Pages) -> None:
        self._site = site
        self._pages = pages
        self._under_way: set[asyncio.Task[None]] = set()

    async def show(self, page: str, scope: Scope) -> Answer:
        """The form; with several senders, first the choice among them."""
        if self._letters(page) is None:
            return self._pages.trouble("page", scope, 404)
        visits.count(page, scope)
        return self._form(page, scope, self._sender(page, scope, {}))

    async def send(self, page: str, scope: Scope, receive: Receive) -> Answer:
        """Takes the form. The answer says nothing about the address."""
        letters = self._letters(page)
        if letters is None:
            return self._pages.trouble("page", scope, 404)
        ip = visitor(scope, self._site.trusted_proxies()).ip
        if not self._pages.limits.allows(FORMS_PER_NETWORK, network_of(ip)):
            return self._pages.too_many(FORMS_PER_NETWORK, scope)
        fields = (await body.read(receive)).form() or {}
        sender = self._sender(page, scope, fields)
        if sender is None:
            return self._form(page, scope, None, status=400)
        typed = fields.get("address", [""])[0].strip()[:_MAX_ADDRESS]
        try:
            address = parse(typed)
        except AddressError:
            return self._form(page, scope, sender, status=400, wrong=True, typed=typed)
        if await self._site.ready():
            return self._pages.unavailable(scope)
        language = self._pages.language(scope)
        asked = _Request(page=page, sender=sender, address=address, language=language)
        task = asyncio.create_task(self._see_to(asked, letters))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return self._form(page, scope, sender, sent=True)

    async def stored(self, scope: Scope) -> Answer:
        """`/privacy/{token}`: what is stored, for whoever has the letter. Changes nothing."""
        claim = self._site.ring().open(Purpose.DOSSIER, _token(scope))
        sender = self._sender_of_tag(claim.stream) if claim else None
        if claim is None or sender is None:
            return self._pages.foreign(scope)
        if claim.submission < self._site.store.now().timestamp():
            return self._trouble("expired", scope, sender, 410)
        if not self._pages.limits.allows(DOSSIERS_PER_LINK, _token(scope)):
            return self._pages.too_many(DOSSIERS_PER_LINK, scope)
        visits.count("dossier", scope)
        show = self._site.dossier
        found = (
            await show(claim.subject, sender.name, self._pages.language(scope)) if show else None
        )
        if found is None:
            return self._trouble("nothing", scope, sender, 404)
        return document(found)

    async def finish(self) -> None:
        """Returns when everything asked for so far is done."""
        await asyncio.gather(*self._under_way)

    # What the form leads to

    async def _see_to(self, asked: _Request, letters: Letters) -> None:
        """Writes the letter, if there is anything to write about; never raises."""
        key = self._site.store.keys.address_hash(asked.address)
        key += f" {asked.page} {asked.sender.name}".encode()
        if not self._pages.limits.allows(LETTERS_PER_ADDRESS, key):
            outcome = "too often"
        else:
            try:
                write = partial(self._write, asked=asked, letters=letters)
                outcome = "mailed" if await self._site.store.write(write) else "not known"
            except Exception as error:  # noqa: BLE001  the page was answered long ago
                houselog.request_failed(error)
                outcome = "failed"
        counters.LETTERS_ASKED.labels(asked.page, outcome).inc()

    def _write(self, tx: Tx, *, asked: _Request, letters: Letters) -> bool:
        subject = known_to(tx, asked.address, asked.sender.name)
        if subject is None:
            return False
        until = tx.now + LINK_WORKS
        letters(
            tx,
            to=asked.address,
            sender=asked.sender,
            template="dossier-link" if asked.page == PRIVACY else "manage-link",
            language=asked.language,
            note=f"asked for on the page /{asked.page}",
            values={"link": self._link(asked, subject, until), "until": until},
        )
        return True

    def _link(self, asked: _Request, subject: int, until: datetime) -> str:
        ring, sender = self._site.ring(), asked.sender
        if asked.page == PRIVACY:
            claim = Claim(subject, _tag(sender), int(until.timestamp()))
            path = f"{PRIVACY}/{ring.seal(Purpose.DOSSIER, claim)}"
        else:
            claim = Claim(subject, stream_tag(self._streams(sender)[0].name), 0)
            path = f"p/{ring.seal(Purpose.PREFERENCES, claim)}"
        return f"{sender.public_url.rstrip('/')}/{path}?lang={asked.language}"

    # Whose form it is

    def _letters(self, page: str) -> Letters | None:
        """How to write, if there is anybody to write for."""
        return self._site.letters if self._senders(page) else None

    def _senders(self, page: str) -> Mapping[str, Sender]:
        senders = self._site.senders()
        if page == PRIVACY:
            return senders
        return {name: sender for name, sender in senders.items() if self._streams(sender)}

    def _sender(self, page: str, scope: Scope, fields: Mapping[str, list[str]]) -> Sender | None:
        """By the form, the query, or the host; `None` where a person must choose."""
        senders = self._senders(page)
        query = parse_qs(scope.get("query_string", b"")[:2000].decode("latin-1"))
        for given in (fields.get("sender"), query.get("sender")):
            if given:
                return senders.get(given[0])
        candidates = self._at_host(scope, senders)
        return next(iter(candidates.values())) if len(candidates) == 1 else None

    @staticmethod
    def _at_host(scope: Scope, senders: Mapping[str, Sender]) -> Mapping[str, Sender]:
        host = header(scope, b"host").lower()
        here = {n: s for n, s in senders.items() if urlsplit(s.public_url).netloc.lower() == host}
        return here or senders

    def _streams(self, sender: Sender) -> list[Stream]:
        every = self._site.streams().values()
        return [stream for stream in every if stream.is_bulk and stream.sender == sender.name]

    def _sender_of_tag(self, tag: int) -> Sender | None:
        return next((one for one in self._site.senders().values() if _tag(one) == tag), None)

    # Pages

    def _form(
        self,
        page: str,
        scope: Scope,
        sender: Sender | None,
        *,
        status: int = 200,
        sent: bool = False,
        wrong: bool = False,
        typed: str = "",
    ) -> Answer:
        candidates = self._at_host(scope, self._senders(page)) if sender is None else {}
        values = {
            "kind": page,
            "choices": candidates,
            "name": sender.legal_name if sender else "",
            "sent": sent,
            "wrong": wrong,
            "typed": typed,
            "may_manage": sender is not None and bool(self._streams(sender)),
        }
        language = self._pages.language(scope)
        return self._pages.page(
            "by-mail", scope, language, sender=sender, status=status, values=values
        )

    def _trouble(self, kind: str, scope: Scope, sender: Sender, status: int) -> Answer:
        values = {"trouble": kind, "name": sender.legal_name, "sender_name": sender.name}
        language = self._pages.language(scope)
        return self._pages.page(
            "trouble", scope, language, sender=sender, status=status, values=values
        )


def _tag(sender: Sender) -> int:
    """What stands for a sender in a token; no stream's name begins like this."""
    return stream_tag(f"sender:{sender.name}")


def _token(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(f"/{PRIVACY}/").rstrip("/")
