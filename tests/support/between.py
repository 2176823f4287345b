"""Something that listens between a program and a server, on a free port of loopback.

class Deaf(Between):
    async def _serve(self, reader, writer): ...

with Deaf(5432) as deaf:
    deaf.port

It has an event loop in a thread of its own, and ends whatever it still serves.
"""

import asyncio
import threading

from support.patience import PATIENCE_SECONDS


class Between:
    """Listens as long as it is entered; `_serve` has each connection."""

    def __init__(self, target):
        self.port = 0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(self, *_):
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _open(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self):
        self._server.close()
        tasks = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
