"""The gate before the API: a key before anything is read, bounds on what is, answers to all.

In: ASGI requests below `/api`. Out: the same for the rooms behind, with the key in the scope.
Nobody without a key makes us read a body; nobody with one more than `MOST_BYTES` of it, or for
longer than `BODY_WITHIN_SECONDS`. A store out of reach and what nobody foresaw are 503 with
Retry-After, never a traceback.

*Known limits:* wrong keys are not counted against anybody: 256 random bits are not guessed, and
the listener is not for strangers.
"""

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from gatepost import houselog
from gatepost.store import api_keys
from gatepost.store.api_keys import ApiKey
from gatepost.store.engine import Store, StoreUnavailable
from gatepost.web.answer import Headers, Send
from gatepost.web.api import problems
from gatepost.web.api.problems import Problem
from gatepost.web.body import Receive
from gatepost.web.server import Application
from gatepost.web.visitor import Scope, header

MOST_BYTES = 8 * 1024 * 1024
BODY_WITHIN_SECONDS = 60.0
KEY = "gatepost.api_key"  # where in the scope the rooms find it
ENDED_BY = "gatepost.ended_by"  # the refusal that ended the reading of the body
OWN_ERROR = problems.unavailable("an error of our own: try again later")
TOO_LARGE = Problem(413, f"a request has at most {MOST_BYTES} bytes: send it in parts")
TOO_SLOW = Problem(408, "the rest of the request did not come")
_OPEN = ("/docs", "/docs.css", "/openapi.json")
_ALWAYS: Headers = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; frame-ancestors 'none'"),
)


class Gate:
    """The API's application, as ASGI."""

    def __init__(self, store: Store, rooms: Application) -> None:
        self._store = store
        self._rooms = rooms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        started = False

        async def send_on(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                known = {name for name, _ in message["headers"]}
                added = [pair for pair in _ALWAYS if pair[0] not in known]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        try:
            if not inner_path(scope).startswith(_OPEN):
                scope[KEY] = await self._key(scope)
            await self._rooms(scope, _bounded(scope, receive), send_on)
        except Exception as error:  # noqa: BLE001  whatever it is, a program waits for an answer
            found = refusal(error)
            if not started:
                await found.answer().send(send)

    async def _key(self, scope: Scope) -> ApiKey:
        given = header(scope, b"authorization")
        kind, _, text = given.partition(" ")
        if kind.lower() != "bearer" or not text.strip():
            raise problems.unauthenticated(
                "a key is needed: Authorization: Bearer …", invalid=bool(given)
            )
        key = await self._store.read(lambda tx: api_keys.find(tx, text.strip()))
        if key is None:
            raise problems.unauthenticated("the key is none, or not any more", invalid=True)
        if not api_keys.is_use_noted(key, self._store.now()):
            with suppress(StoreUnavailable):
                await self._store.write(lambda tx: api_keys.note_use(tx, key.id))
        return key


def refusal(error: Exception) -> Problem:
    """What a program is told of whatever went wrong."""
    match error:
        case Problem():
            return error
        case StoreUnavailable():
            houselog.store_unavailable("api", error)
            return problems.unavailable("the store is out of reach: try again later")
        case _:
            houselog.request_failed(error)
            return OWN_ERROR


def inner_path(scope: Scope) -> str:
    """The path below `/api`."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _bounded(scope: Scope, receive: Receive) -> Receive:
    length = header(scope, b"content-length")
    if length.isdigit() and int(length) > MOST_BYTES:
        raise TOO_LARGE
    seen, whole = 0, False
    deadline = asyncio.get_running_loop().time() + BODY_WITHIN_SECONDS

    async def receive_on() -> MutableMapping[str, Any]:
        nonlocal seen, whole
        try:
            async with asyncio.timeout_at(None if whole else deadline):
                message = await receive()
        except TimeoutError:
            raise _ended(scope, TOO_SLOW) from None
        seen += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if seen > MOST_BYTES:
            raise _ended(scope, TOO_LARGE)
        return message

    return receive_on


def _ended(scope: Scope, by: Problem) -> Problem:
    """`by`, left in the scope as well: FastAPI takes whatever reading raises for bad JSON."""
    scope[ENDED_BY] = by
    return by
