"""What wakes this gateway when another one, or a command, has left it something to do.

In: the store's URL, and what to call for each ring of the bell. Out: calls in the event loop.
Without PostgreSQL there is no bell; then, and whenever it is silent, everybody looks by themselves
several times a second.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from gatepost.store.bell import Bell, Ring


class Waking:
    """The bell of one process."""

    def __init__(self, url: str, calls: Mapping[Ring, Callable[[], None]]) -> None:
        self._calls = calls
        self._loop = asyncio.get_running_loop()
        self._bell = Bell(url, self._heard) if url else None

    def start(self) -> None:
        """Begins to listen."""
        if self._bell:
            self._bell.start()

    async def stop(self) -> None:
        """Ends the listening."""
        if self._bell:
            await asyncio.to_thread(self._bell.close)

    def _heard(self, what: Ring) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is to be woken any more
            self._loop.call_soon_threadsafe(self._calls[what])
