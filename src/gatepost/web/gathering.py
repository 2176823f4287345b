"""What is written in one turn of the event loop leaves in one write.

uvicorn writes the head and the body of an answer one after the other. Each write is a call of
the system, and the first wakes whoever waits for the answer before there is one.

In: a transport and writes. Out: the same octets in the same order, when the loop turns or the
transport is closed.
"""

import asyncio
from typing import Any


class Gathering:
    """A transport that writes once per turn of the loop; everything else is the transport's."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Keeps `data` until the loop's next turn."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        """Writes what is left and closes."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held and not self._transport.is_closing():
            self._transport.write(b"".join(self._held))
        self._held.clear()
