"""A pooler as it stands in front of a managed PostgreSQL: TLS ends there, in records of its size.

with TlsFront(5432, certificate, key) as front:
    front.port   # whatever the server says at once goes on in records of 16 KB, the last one less

PostgreSQL itself cuts what it says into 8 KB.
"""

import asyncio
import contextlib
import threading

from support.certificates import server_context

_TOGETHER_SECONDS = 0.01  # what follows within that was said at once


class TlsFront:
    """Listens on a free port of loopback, in a thread of its own."""

    def __init__(self, target, certificate, key):
        self.port = 0
        self._target = target
        self._context = server_context(certificate, key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        opening = self._open()
        self.port = asyncio.run_coroutine_threadsafe(opening, self._loop).result(60)
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def _close(self):
        self._server.close()
        tasks = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        await reader.readexactly(8)  # SSLRequest
        writer.write(b"S")
        await writer.start_tls(self._context)
        there, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pass_on(reader, to_server), self._join(there, writer))

    async def _pass_on(self, reader, writer):
        while octets := await reader.read(65536):
            writer.write(octets)
        writer.close()

    async def _join(self, reader, writer):
        while octets := await reader.read(1 << 20):
            with contextlib.suppress(TimeoutError):
                while more := await asyncio.wait_for(reader.read(1 << 20), _TOGETHER_SECONDS):
                    octets += more
            writer.write(octets)
            await writer.drain()
        writer.close()
