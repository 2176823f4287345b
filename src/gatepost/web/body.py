"""The body of a POST: read in bounds, never trusted to be well-formed.

In: ASGI's `receive`. Out: its first bytes and whether the rest was read. A one-click POST
means the same whatever its body (RFC 8058, REQUIREMENTS R8058-12), so trouble in reading is
an answer, too, and not an error.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

KEPT_BYTES = 64 * 1024
_SWALLOWED_BYTES = 1024 * 1024  # read and dropped, so that an answer is not lost in a reset
_PATIENCE_SECONDS = 10.0
_ONE_CLICK = re.compile(rb"List-Unsubscribe.{0,400}?One-Click", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Body:
    """The first `KEPT_BYTES` of a body. `is_whole` is false if there is more, or may be."""

    data: bytes
    is_whole: bool

    @property
    def is_one_click(self) -> bool:
        """Whether the pair `List-Unsubscribe=One-Click` is in it, in whatever form."""
        return _ONE_CLICK.search(self.data) is not None

    def form(self) -> dict[str, list[str]] | None:
        """The fields of a form that one of our pages sent; `None` if it is none."""
        if not self.is_whole:
            return None
        try:
            return parse_qs(self.data.decode("ascii"), strict_parsing=True, max_num_fields=1000)
        except ValueError:
            return None


async def read(receive: Receive) -> Body:
    """Reads until the end, until enough was seen, or until patience is at its end."""
    kept = b""
    seen = 0
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while seen <= _SWALLOWED_BYTES:
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            break
        if message["type"] != "http.request":
            break  # the client has gone; what it asked for still holds
        piece: bytes = message.get("body", b"")
        seen += len(piece)
        kept += piece[: KEPT_BYTES - len(kept)]
        if not message.get("more_body", False):
            return Body(kept, seen <= KEPT_BYTES)
    return Body(kept, is_whole=False)
