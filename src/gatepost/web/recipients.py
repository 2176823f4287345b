"""The recipients' application: leaving, choosing, and whether we are there.

In: ASGI requests from browsers, mail clients and scanners. Out: pages. A thin door stands in
front of FastAPI: it takes `POST /u/{token}` the shortest way and turns whatever goes wrong
into a page, so that nobody ever sees a traceback, a redirect or an empty error.

Safe methods change nothing (R8058-14): the only roads to a change are the two POSTs.
*Fails:* a store out of reach, and our own errors, are 503 with Retry-After: never 200.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from gatepost import houselog
from gatepost.store.people import UnknownSubject
from gatepost.store.trouble import StoreUnavailable
from gatepost.web import visits
from gatepost.web.answer import TEXT, Answer, Headers, Send
from gatepost.web.body import Receive
from gatepost.web.branding import STATIC
from gatepost.web.by_mail import MANAGE, PRIVACY, ByMail
from gatepost.web.confirmation import Confirmation
from gatepost.web.health import LOOK, add_health
from gatepost.web.links import Links
from gatepost.web.page import Pages
from gatepost.web.place import placed, prefixes
from gatepost.web.preferences import Preferences
from gatepost.web.signup import SignUpForm
from gatepost.web.site import Site
from gatepost.web.visitor import Scope
from gatepost.web.withdrawal import PREFIX, Withdrawal

_FILES = {
    "/robots.txt": Answer(200, "User-agent: *\nDisallow: /\n", TEXT),
    "/favicon.ico": Answer(204, "", TEXT),
}

Look = Callable[[Scope], Awaitable[Answer]]
Form = Callable[[Scope, Receive], Awaitable[Answer]]


class Door:
    """The application, as ASGI. `recipient_app` makes it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: tuple[object, tuple[str, ...]] = (None, ())
        self._pages = Pages(site)
        links = Links(site)
        self._withdrawal = Withdrawal(site, links, self._pages)
        self._by_mail = ByMail(site, self._pages)
        self._rooms = _rooms(site, links, self._pages, self._withdrawal, self._by_mail)

    async def finish(self) -> None:
        """Returns when what was promised to visitors is in the store."""
        await self._by_mail.finish()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        scope = placed(scope, self._prefixes())
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
            houselog.store_unavailable("web", error)
            await self._pages.unavailable(scope).send(send)
        except Exception as error:  # noqa: BLE001  whatever it is, a person waits for an answer
            houselog.request_failed(error)
            if not started:
                await self._pages.unavailable(scope).send(send)

    def _prefixes(self) -> tuple[str, ...]:
        """The paths of the public URLs, worked out once per configuration."""
        senders = self._site.senders()
        if senders is not self._known[0]:
            self._known = senders, prefixes(sender.public_url for sender in senders.values())
        return self._known[1]


def recipient_app(site: Site) -> Door:
    """The application for the recipients' listener."""
    return Door(site)


def _rooms(
    site: Site, links: Links, pages: Pages, withdrawal: Withdrawal, by_mail: ByMail
) -> FastAPI:
    """Everything but the short way: pages that are looked at, and forms that are sent."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    preferences = Preferences(site, links, pages)
    sign_up, confirmation = SignUpForm(site, pages), Confirmation(site, pages)
    looks: dict[str, Look] = {
        "/u/{token:path}": withdrawal.show,
        "/p/{token:path}": preferences.show,
        "/c/{token:path}": confirmation.show,
        "/subscribe/{source:path}": sign_up.show,
        f"/{PRIVACY}/{{token:path}}": by_mail.stored,
        f"/{PRIVACY}": partial(by_mail.show, PRIVACY),
        f"/{MANAGE}": partial(by_mail.show, MANAGE),
        f"/{STATIC}{{name}}": pages.static,
    }
    forms: dict[str, Form] = {
        "/p/{token:path}": preferences.save,
        "/c/{token:path}": confirmation.confirm,
        "/subscribe/{source:path}": sign_up.send,
        f"/{PRIVACY}": partial(by_mail.send, PRIVACY),
        f"/{MANAGE}": partial(by_mail.send, MANAGE),
    }
    for path, look in looks.items():
        app.add_api_route(path, _looking(look), methods=[*LOOK])
    for path, form in forms.items():
        app.add_api_route(path, _sending(form), methods=["POST"])
    for path, answer in _FILES.items():
        app.add_api_route(path, answer.response, methods=[*LOOK])
    add_health(app, site, tell=False)
    _add_troubles(app, pages)
    return app


def _allow(app: FastAPI, scope: Scope) -> Headers:
    """All methods for a path. The framework names those of one route, and a form has two."""
    methods = {"OPTIONS", "POST"} if scope["path"].startswith(PREFIX) else {"OPTIONS"}
    for route in app.routes:
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return ((b"allow", ", ".join(sorted(methods)).encode("ascii")),)


def _looking(look: Look) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return (await look(request.scope)).response()

    return answer


def _sending(form: Form) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return (await form(request.scope, request.receive)).response()

    return answer


def _add_troubles(app: FastAPI, pages: Pages) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        if status == 405:
            visits.count("other", request.scope)
        extra = _allow(app, request.scope) if status == 405 else ()
        if status == 405 and request.method == "OPTIONS":
            return Answer(204, "", TEXT, extra).response()
        return pages.trouble("page", request.scope, status, extra).response()

    async def foreign(request: Request, _: Exception) -> Response:
        return pages.foreign(request.scope).response()

    async def store_away(request: Request, error: Exception) -> Response:
        houselog.store_unavailable("web", error)
        return pages.unavailable(request.scope).response()

    async def own_error(request: Request, _: Exception) -> Response:
        # Starlette raises the error again after this answer; the door counts and logs it.
        return pages.unavailable(request.scope).response()

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(UnknownSubject, foreign)
    app.add_exception_handler(StoreUnavailable, store_away)
    app.add_exception_handler(Exception, own_error)
