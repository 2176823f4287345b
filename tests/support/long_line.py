"""A long line to a server: each octet is under way for a while, and turns are counted.

with LongLine(5432, seconds=0.01) as line:
    line.port
    before = line.turns
    ...
    line.turns - before   # how often somebody waited for an answer before saying more
    line.hold(50_000)     # after so many octets from the server nothing passes, either way
    line.hold(turns=1)    # the same after so many more turns
    line.cut()            # every line ends, in the middle of what was under way

A turn is something said to the server after it had said something: on a line of 10 ms each way
it costs 20. What is said need not be understood, so that TLS is counted as well.
"""

import asyncio
import contextlib
import math
import threading

from support.between import Between


class LongLine(Between):
    """Every connection through it is as long."""

    def __init__(self, target, *, seconds=0.0):
        super().__init__(target)
        self.turns = 0
        self.seconds = seconds
        self.held = threading.Event()
        self._left = None  # octets that the server may still say
        self._last_turn = math.inf
        self._writers = set()

    def hold(self, octets=0, *, turns=None):
        """Passes so many more from the server, and then nothing; new lines hear nothing either."""
        self.held.clear()
        self._last_turn = math.inf if turns is None else self.turns + turns
        self._left = octets if turns is None else math.inf

    def cut(self):
        """Ends all lines; those made afterwards pass everything on."""

        async def end():
            self._left = None
            for writer in list(self._writers):
                writer.transport.abort()
            self._cut.set()
            self._cut = asyncio.Event()

        self._do(end())

    async def _open(self):
        self._cut = asyncio.Event()
        await super()._open()

    async def _serve(self, reader, writer):
        try:
            there, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        ends = {writer, to_server}
        self._writers |= ends
        said = []  # who spoke last
        try:
            await asyncio.gather(
                self._carry(reader, to_server, said, from_server=False),
                self._carry(there, writer, said, from_server=True),
            )
        except asyncio.CancelledError:
            return
        finally:
            self._writers -= ends
            for end in ends:
                end.close()

    async def _carry(self, reader, writer, said, *, from_server):
        under_way = asyncio.Queue()
        passing = asyncio.create_task(self._arrive(under_way, writer))
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                if not from_server and said != [False]:
                    self.turns += 1
                said[:] = [from_server]
                octets = await self._allowed(octets, from_server)
                under_way.put_nowait((self._loop.time() + self.seconds, octets))
        under_way.put_nowait((self._loop.time() + self.seconds, b""))
        await passing

    async def _allowed(self, octets, from_server):
        if self._left is None:
            return octets
        if self.turns > self._last_turn:
            self._left = 0
        if self._left == math.inf or (not from_server and self._left > 0):
            return octets
        octets, self._left = octets[: self._left], max(0, self._left - len(octets))
        if not octets:
            self.held.set()
            await self._cut.wait()
        return octets

    async def _arrive(self, under_way, writer):
        with contextlib.suppress(OSError):
            while True:
                due, octets = await under_way.get()
                await asyncio.sleep(due - self._loop.time())
                if not octets:
                    break
                writer.write(octets)
                await writer.drain()
        writer.close()
