"""The recipients' application: leaving, choosing, and whether we are there.

In: ASGI requests from browsers, mail clients and scanners. Out: pages. A thin door stands in
front of FastAPI: it takes `POST /u/{token}` the shortest way and turns whatever goes wrong
into a page, so that nobody ever sees a traceback, a redirect or an empty error.

Safe methods change nothing (R8058-14): the only roads to a change are the two POSTs.
*Fails:* a store out of reach, and our own errors, are 503 with Retry-After: never 200.
"""

from collections.abc import MutableMapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from gatepost import maillog
from gatepost.consent.leaving import has_left
from gatepost.consent.tokens import Purpose
from gatepost.store.people import UnknownSubject
from gatepost.store.trouble import StoreUnavailable
from gatepost.web import counters
from gatepost.web.answer import CSS, TEXT, Answer, Send
from gatepost.web.body import Receive
from gatepost.web.health import LOOK, add_health
from gatepost.web.links import Links
from gatepost.web.page import Pages
from gatepost.web.preferences import Preferences
from gatepost.web.site import Site
from gatepost.web.visitor import Scope
from gatepost.web.withdrawal import PREFIX, Withdrawal, person_behind, token_in

_ALLOW = ((b"allow", b"GET, HEAD, POST, OPTIONS"),)
_NO_ROBOTS = "User-agent: *\nDisallow: /\n"


class Door:
    """The application, as ASGI. `recipient_app` makes it."""

    def __init__(self, site: Site) -> None:
        self._pages = Pages(site)
        links = Links(site)
        self._withdrawal = Withdrawal(site, links, self._pages)
        self._rooms = _rooms(site, links, self._pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        started = False

        async def send_on(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if scope["method"] == "POST" and scope["path"].startswith(PREFIX):
                await (await self._withdrawal.answer(scope, receive)).send(send_on)
            else:
                await self._rooms(scope, receive, send_on)
        except UnknownSubject:
            await self._pages.foreign(scope).send(send)
        except StoreUnavailable as error:
            maillog.store_unavailable("web", error)
            await self._pages.unavailable(scope).send(send)
        except Exception as error:  # noqa: BLE001  whatever it is, a person waits for an answer
            maillog.request_failed(error)
            if not started:
                await self._pages.unavailable(scope).send(send)


def recipient_app(site: Site) -> Door:
    """The application for the recipients' listener."""
    return Door(site)


def _rooms(site: Site, links: Links, pages: Pages) -> FastAPI:
    """Everything but the short way: pages that are looked at, and saving preferences."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    preferences = Preferences(site, links, pages)

    async def unsubscribe(request: Request) -> Response:
        return (await _unsubscribe_page(site, links, pages, request.scope)).response()

    async def show(request: Request) -> Response:
        return (await preferences.show(request.scope)).response()

    async def save(request: Request) -> Response:
        return (await preferences.save(request.scope, request.receive)).response()

    async def style() -> Response:
        return Answer(200, pages.style, CSS, cached=True).response()

    async def robots() -> Response:
        return Answer(200, _NO_ROBOTS, TEXT).response()

    async def no_icon() -> Response:
        return Answer(204, "", TEXT).response()

    app.add_api_route("/u/{token:path}", unsubscribe, methods=[*LOOK])
    app.add_api_route("/p/{token:path}", show, methods=[*LOOK])
    app.add_api_route("/p/{token:path}", save, methods=["POST"])
    app.add_api_route(f"/{pages.style_path}", style, methods=[*LOOK])
    app.add_api_route("/robots.txt", robots, methods=[*LOOK])
    app.add_api_route("/favicon.ico", no_icon, methods=[*LOOK])
    add_health(app, site, tell=False)
    _add_troubles(app, pages)
    return app


async def _unsubscribe_page(site: Site, links: Links, pages: Pages, scope: Scope) -> Answer:
    """The page with one button, or the news that there is nothing left to do."""
    link = await links.open(Purpose.UNSUBSCRIBE, token_in(scope))
    if link is None:
        return pages.foreign(scope)
    counters.PAGE_VIEWS.labels("unsubscribe").inc()
    person = await site.store.read(lambda tx: person_behind(tx, link, link.stream_name))
    if has_left(person):
        return pages.for_link("unsubscribed", scope, link, just_now=False)
    return pages.for_link("unsubscribe", scope, link)


def _add_troubles(app: FastAPI, pages: Pages) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        if status == 405 and request.method == "OPTIONS":
            return Answer(204, "", TEXT, _ALLOW).response()
        extra = _ALLOW if status == 405 else ()
        return pages.trouble("page", request.scope, status, extra).response()

    async def foreign(request: Request, _: Exception) -> Response:
        return pages.foreign(request.scope).response()

    async def store_away(request: Request, error: Exception) -> Response:
        maillog.store_unavailable("web", error)
        return pages.unavailable(request.scope).response()

    async def own_error(request: Request, _: Exception) -> Response:
        # Starlette raises the error again after this answer; the door counts and logs it.
        return pages.unavailable(request.scope).response()

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(UnknownSubject, foreign)
    app.add_exception_handler(StoreUnavailable, store_away)
    app.add_exception_handler(Exception, own_error)
