"""A connection to one of our HTTP listeners: uvicorn's, with bounds on what it may cost.

uvicorn waits for ever for a request that does not come or does not end, and takes a head of any
size. Here a head has `HEAD_WITHIN_SECONDS` and `MOST_HEAD_BYTES`, and what is left of a body after
its answer has `REST_WITHIN_SECONDS`, however it drips. How long a body is waited for before the
answer is for the applications to say. Idle connections are uvicorn's to close.

We take no Upgrade. But the parser believes in each that is offered, and would take the body behind
it for the next request, which is how one visitor smuggles requests into the connection that a
proxy shares among all. So nothing is read behind such a head, and the answer ends the connection.

In: octets. Out: requests for an application; `431` for a head that is too large; silence and an
end for one that is too slow.
*Known limits:* who does not read an answer keeps the connection; a proxy in front reads all. The
body of a request that offers an Upgrade counts as empty.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gatepost.web.gathering import Gathering

HEAD_WITHIN_SECONDS = 20.0
REST_WITHIN_SECONDS = 5.0
MOST_HEAD_BYTES = 64 * 1024

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
)


class Connection(HttpToolsProtocol):
    """One connection. uvicorn makes it, and calls it as asyncio and its parser do."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True
        self._head_bytes = 0
        self._reads_on = True
        self._deadline: asyncio.TimerHandle | None = None

    # Called by asyncio

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there; it has as long for its first head as for any."""
        super().connection_made(Gathering(transport, self.loop))  # type: ignore[arg-type]
        self._end_within(HEAD_WITHIN_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._go_on()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Octets came."""
        if self.transport.is_closing() or not self._reads_on:
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._deadline is None:
                self._end_within(HEAD_WITHIN_SECONDS)
        super().data_received(data)
        if self._in_head and self._head_bytes > MOST_HEAD_BYTES:
            self._refuse()

    # Called by the parser

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._in_head = False
        self._go_on()
        fields = sum(len(name) + len(value) + 4 for name, value in self.headers)
        if len(self.url) + fields > MOST_HEAD_BYTES:
            self._refuse()
            raise ValueError("the head is too large")  # stops the parser
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self._reads_on = False
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """A request is whole."""
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0
        if self.cycle.response_complete:
            self._end_within(HEAD_WITHIN_SECONDS)

    # Called by uvicorn

    def on_response_complete(self) -> None:
        """An answer was written, perhaps before its request was whole."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self._end_within(REST_WITHIN_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP, unless it was refused already."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    # Bounds

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def _end_within(self, seconds: float) -> None:
        self._go_on()
        self._deadline = self.loop.call_later(seconds, self._too_slow, seconds)

    def _go_on(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self, seconds: float) -> None:
        self._deadline = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._end_within(seconds)  # the request before is still being answered
        elif not self.transport.is_closing():
            self.transport.close()
