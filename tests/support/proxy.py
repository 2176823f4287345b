"""A line to a server that can be made to fail: between the program and its PostgreSQL.

with Proxy(5432) as proxy:
    proxy.port
    proxy.hang()            # takes connections, passes nothing on in either direction
    proxy.resume()          # what was held back goes on its way
    proxy.cut()             # every line that is open
    proxy.abandon()         # of these, neither end hears of the other again, not even of its end
    proxy.swallow(b"mark")  # the answer to the next COMMIT behind these octets is lost, and the line
"""

import asyncio
import contextlib
import threading

from support.between import Between


class Proxy(Between):
    """The lines through it fail together, or by what is said on them."""

    def __init__(self, target):
        super().__init__(target)
        self.swallowed = threading.Event()
        self._mark = None
        self._lines = set()

    def hang(self):
        self._do(self._set(self._passing.clear))

    def resume(self):
        self._do(self._set(self._passing.set))

    def cut(self):
        self._do(self._set(lambda: [line.close() for line in list(self._lines)]))

    def abandon(self):
        self._do(self._set(lambda: [line.abandon() for line in list(self._lines)]))

    def swallow(self, mark=b""):
        self.swallowed.clear()
        self._mark = mark

    async def _set(self, how):
        how()

    async def _open(self):
        self._passing, self._over = asyncio.Event(), asyncio.Event()
        self._passing.set()
        await super()._open()

    async def _close(self):
        self._over.set()
        await asyncio.sleep(0)
        await super()._close()

    async def _serve(self, reader, writer):
        with contextlib.suppress(OSError):
            there, to_server = await asyncio.open_connection("127.0.0.1", self._target)
            line = Line(self, writer, to_server)
            self._lines.add(line)
            try:
                await asyncio.gather(
                    line.carry(reader, to_server, line.look), line.carry(there, writer, line.answer)
                )
            finally:
                self._lines.discard(line)
                line.close()
        writer.close()


class Line:
    """One connection, both ways."""

    def __init__(self, proxy, *ends):
        self._proxy = proxy
        self._ends = ends
        self._seen = self._lost = self._abandoned = False

    def close(self):
        for end in self._ends:
            end.close()

    def abandon(self):
        self._abandoned = True

    async def carry(self, reader, writer, look):
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                await self._proxy._passing.wait()
                if self._abandoned or not look(octets):
                    break
                writer.write(octets)
                await writer.drain()
        if self._abandoned:
            await self._proxy._over.wait()
        self.close()

    def look(self, octets):
        """What the client says."""
        mark = self._proxy._mark
        if mark is not None and mark in octets:
            self._seen = True
        return True

    def answer(self, octets):
        """What the server says; false if nobody is to hear it."""
        if self._seen and b"COMMIT\0" in octets:
            self._lost, self._proxy._mark = True, None
            self._proxy.swallowed.set()
        return not self._lost
