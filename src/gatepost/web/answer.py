"""Answers: pages and short texts with the headers that every one of them carries.

The pages hold links that act for a person. So they are not stored, not framed, not indexed,
tell nobody where the visitor came from, set no cookie, and run nothing: the policy allows one
style sheet of our own and forms to ourselves.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from fastapi.responses import Response

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

RETRY_AFTER_SECONDS = 120
HTML = b"text/html; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"
CSS = b"text/css; charset=utf-8"

_POLICY = (
    b"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    b"base-uri 'none'; frame-ancestors 'none'"
)
_ALWAYS: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", _POLICY),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-robots-tag", b"noindex, nofollow"),
)
_NOT_STORED: Headers = ((b"cache-control", b"no-store"),)
_FOR_EVER: Headers = ((b"cache-control", b"public, max-age=31536000, immutable"),)


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer. `cached` is for files whose name changes with their content.

    A header in `extra` takes the place of the one that every answer carries.
    """

    status: int
    text: str | bytes
    content_type: bytes = HTML
    extra: Headers = ()
    cached: bool = False

    @property
    def body(self) -> bytes:
        """What is sent after the headers."""
        return self.text.encode() if isinstance(self.text, str) else self.text

    def headers(self) -> list[tuple[bytes, bytes]]:
        """All headers of the answer; with 204 there is no content to describe (RFC 9110 §8.6)."""
        content = (
            (b"content-type", self.content_type),
            (b"content-length", str(len(self.body)).encode("ascii")),
        )
        own = {name for name, _ in self.extra}
        return [
            *(content if self.status != 204 else ()),
            *(_FOR_EVER if self.cached else _NOT_STORED),
            *(field for field in _ALWAYS if field[0] not in own),
            *self.extra,
        ]

    async def send(self, send: Send) -> None:
        """Sends it as ASGI messages; the server leaves the body out for HEAD."""
        await self.prepared().send(send)

    def prepared(self) -> "Prepared":
        """The same, to be sent many times."""
        return Prepared(self)

    def response(self) -> Response:
        """The same for FastAPI."""
        response = Response(self.body, self.status)
        response.raw_headers = self.headers()
        return response


class Prepared:
    """An answer as the messages it is sent by."""

    __slots__ = ("_body", "_start")

    def __init__(self, answer: Answer) -> None:
        status, headers = answer.status, answer.headers()
        self._start = {"type": "http.response.start", "status": status, "headers": headers}
        self._body = {"type": "http.response.body", "body": answer.body}

    async def send(self, send: Send) -> None:
        """Sends it as ASGI messages; the server leaves the body out for HEAD."""
        await send(self._start)
        await send(self._body)


def retry_later() -> Headers:
    """What tells a mail client to come back."""
    return ((b"retry-after", str(RETRY_AFTER_SECONDS).encode("ascii")),)
