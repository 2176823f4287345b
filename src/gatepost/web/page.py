"""Pages: a template, the visitor's language and the sender's identity, made into an answer.

In: the request's scope and values. Out: an `Answer`. Every link on a page is relative to it,
so that pages work behind any host name and path prefix, and none is built from `Host`.
"""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from gatepost import maillog
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream
from gatepost.web import counters
from gatepost.web.answer import TEXT, Answer, Headers, Prepared, retry_later
from gatepost.web.branding import Branding
from gatepost.web.limits import BAD_LINKS_PER_NETWORK, Limits, Rate, network_of
from gatepost.web.links import Link
from gatepost.web.place import root
from gatepost.web.site import Site
from gatepost.web.visitor import Scope, header, preferred_languages, visitor

FALLBACK_LANGUAGE = "en"
PAGE_FIELD = "page"  # the button of our own page sends it; a mail client's one-click does not
_PAGES = {"/u/": "unsubscribe", "/p/": "preferences", "/c/": "confirm"}


class Pages:
    """Makes pages for one site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.branding = Branding(site)
        self.limits = Limits(time.monotonic)
        self._done: dict[tuple[str, str, str], Prepared] = {}
        self._done_for: object = None

    def language(self, scope: Scope, stream: Stream | None = None) -> str:
        """By the link's `?lang=`, else the stream's, else the browser's, else English."""
        known = self._site.texts.language
        asked = _query(scope).get("lang", [""])[0]
        for tag in (asked, stream.language if stream else ""):
            if tag and known(tag):
                return known(tag)
        for tag in preferred_languages(header(scope, b"accept-language")):
            if known(tag):
                return known(tag)
        return FALLBACK_LANGUAGE

    def page(
        self,
        name: str,
        scope: Scope,
        language: str,
        *,
        sender: Sender | None = None,
        status: int = 200,
        extra: Headers = (),
        values: Mapping[str, object] | None = None,
    ) -> Answer:
        """The page `name` of `templates/pages/`."""
        text = self._site.texts.render(
            f"pages/{name}.html",
            language,
            sender=sender,
            root=root(scope),
            look=self.branding.look(sender),
            keep=_kept(scope),
            asking=f"?sender={quote(sender.name)}" if sender and self._site.letters else "",
            **(values or {}),
        )
        return Answer(status, text, extra=(*extra, (b"content-language", language.encode())))

    async def static(self, scope: Scope) -> Answer:
        """A file that pages refer to by the hash of what is in it."""
        file = self.branding.file(scope["path"][1:])
        return file if file is not None else self.trouble("page", scope, 404)

    def for_link(self, name: str, scope: Scope, link: Link, **values: object) -> Answer:
        """A page about one link."""
        language = self.language(scope, link.stream)
        token = link.preferences_token
        return self.page(
            name,
            scope,
            language,
            sender=link.sender,
            values={
                "name": link.legal_name,
                "title": link.title(language),
                "description": link.description(language),
                "preferences_path": f"p/{token}" if token else "",
                "page_field": PAGE_FIELD,
                **values,
            },
        )

    def one_click_done(self, scope: Scope, link: Link) -> Prepared:
        """The short text for a mail client, which shows it to nobody (R8058-13).

        A mailing brings thousands of them at once, so each is made once per configuration.
        """
        streams = self._site.streams()
        if streams is not self._done_for:  # reloaded, and the texts with them
            self._done_for, self._done = streams, {}
        language = self.language(scope, link.stream)
        key = link.legal_name, link.title(language), language
        done = self._done.get(key)
        if done is None:
            name, title, _ = key
            text = self._site.texts.render(
                "pages/unsubscribed.txt", language, name=name, title=title
            )
            done = self._done[key] = Answer(200, text, TEXT).prepared()
        return done

    def trouble(self, kind: str, scope: Scope, status: int, extra: Headers = ()) -> Answer:
        """The page that says why there is no other; `kind` is one of those in the template."""
        language = self.language(scope)
        return self.page(
            "trouble", scope, language, status=status, extra=extra, values={"trouble": kind}
        )

    def foreign(self, scope: Scope) -> Answer:
        """The page for a token that is altered, of another purpose, or of another store."""
        page = _PAGES.get(scope["path"][:3], "other")
        counters.BAD_LINKS.labels(page).inc()
        ip = visitor(scope, self._site.trusted_proxies()).ip
        if not self.limits.allows(BAD_LINKS_PER_NETWORK, network_of(ip)):
            return self.too_many(BAD_LINKS_PER_NETWORK, scope)
        maillog.bad_link(page, ip)
        return self.trouble("link", scope, 404)

    def too_many(self, rate: Rate, scope: Scope) -> Answer:
        """For whoever asks more often than a person can, or shares a network with one who does."""
        counters.TURNED_AWAY.labels(rate.name).inc()
        return self.trouble("many", scope, 429, retry_later())

    def retired(self, scope: Scope, link: Link) -> Answer:
        """The page for a link that is too old to choose by: leaving still works."""
        language = self.language(scope, link.stream)
        path = f"u/{link.unsubscribe_token}"
        values = {"trouble": "retired", "unsubscribe_path": path}
        return self.page("trouble", scope, language, sender=link.sender, status=410, values=values)

    def unavailable(self, scope: Scope) -> Answer:
        """The page for a store out of reach, and for our own errors: come back later."""
        return self.trouble("unavailable", scope, 503, retry_later())


def _kept(scope: Scope) -> str:
    """What a link to the same page in another language must say again."""
    sender = _query(scope).get("sender", [""])[0]
    return f"{urlencode({'sender': sender})}&" if sender else ""


def _query(scope: Scope) -> dict[str, list[Any]]:
    raw: bytes = scope.get("query_string", b"")
    return parse_qs(raw[:2000].decode("latin-1")) if raw else {}
