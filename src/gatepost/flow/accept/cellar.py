"""Where large content waits: in files without names, and then for its share of memory.

Theory of operation. What comes in is held in memory up to a bound per connection; beyond it
goes into a file of `folder` that has no name, so that nothing is left of it whatever happens.
Reading a whole message back, taking it apart and storing it takes memory, `COST` octets for
each of its own. That is given out of one budget: whoever finds no room waits, and so does its
client, by not hearing an answer yet. Clients have their turns one after the other, so that a
flood of large messages from one of them does not keep another waiting. Small messages never
come here.

*Fails:* `Crowded` for who has waited for `patience` seconds. A disk without room is not a
failure here: the content says so when it is finished.
*Known limits:* a message that alone takes more than the budget has its turn when nobody else
holds any. Belongs to one event loop.
"""

import asyncio
import tempfile
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from gatepost import houselog
from gatepost.flow.accept.content import Content, Trouble

COST = 2  # octets of memory for each octet of a message, while it is taken apart and stored
IN_MEMORY = 256 * 1024  # octets of one message
IN_MEMORY_CROWDED = 32 * 1024  # the same with more than `CROWD` sessions
CROWD = 100
UNDERWAY = 16_000_000  # octets on their way to a file, above which the event loop writes them
PATIENCE_SECONDS = 240.0  # RQ-1: a client waits ten minutes for the answer to its dot

T = TypeVar("T")
Given = TypeVarTuple("Given")
_Line = deque[tuple[int, asyncio.Future[None]]]


class Crowded(Exception):  # noqa: N818  a state of affairs, answered 452
    """There was no memory for the message for too long; try again later."""


class Cellar:
    """The large content of all listeners of a process. `memory` is its budget in octets."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        memory: int = 100_000_000,
        patience: float = PATIENCE_SECONDS,
        has_room: Callable[[int], bool] = lambda _octets: True,
    ) -> None:
        """`has_room` says whether the disk takes a message of so many octets."""
        self.memory = memory
        self._has_room = has_room
        self._folder = folder or Path(tempfile.gettempdir())
        self._patience = patience
        self._used = 0
        self._underway = 0
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cellar")

    @property
    def used(self) -> int:
        """The octets of memory given out."""
        return self._used

    def takes(self, content: Content, sessions: int) -> bool:
        """Whether `put_away` is due. In a rush the content is put away before this returns."""
        if content.in_memory <= (IN_MEMORY if sessions <= CROWD else IN_MEMORY_CROWDED):
            return False
        if self._underway + content.in_memory <= UNDERWAY:
            return True
        self._put_away(content)
        return False

    async def put_away(self, content: Content) -> None:
        """Moves what `content` holds in memory to its file; trouble is told at the end of data.

        A word before that would be taken for the answer to the whole message.
        """
        octets = content.in_memory
        self._underway += octets
        try:
            await self._in_thread(self._put_away, content)
        except Exception as error:  # noqa: BLE001  such as a system without threads to give
            houselog.housekeeping_failed("cellar", error)
            content.give_up()
        finally:
            self._underway -= octets

    async def fetch(self, content: Content) -> bytes | Trouble:
        """The complete content from its file; inside of `room`."""
        return await self._in_thread(content.finish)

    @asynccontextmanager
    async def room(self, client: str, octets: int) -> AsyncIterator[None]:
        """Memory for a message of so many octets, as long as the block lasts.

        Raises `Crowded`.
        """
        cost = octets * COST
        await self._wait(client, cost)
        try:
            yield
        finally:
            self._used -= cost
            self._serve()

    def close(self) -> None:
        """Lets the thread go; nothing can be put away afterwards."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _put_away(self, content: Content) -> None:
        if self._has_room(content.size):
            content.put_away(self._folder)
        else:
            content.give_up()

    async def _wait(self, client: str, cost: int) -> None:
        if not self._lines and self._fits(cost):
            self._used += cost
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(client, deque()).append((cost, turn))
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self._used -= cost
            turn.cancel()
            self._serve()
            if isinstance(error, TimeoutError):
                raise Crowded from None
            raise

    def _fits(self, cost: int) -> bool:
        return not self._used or self._used + cost <= self.memory

    def _serve(self) -> None:
        """Gives what is free to those who wait, one client after the other."""
        while self._lines:
            client, line = next(iter(self._lines.items()))
            cost, turn = line[0]
            if not turn.done():
                if not self._fits(cost):
                    return
                self._used += cost
                turn.set_result(None)
                self._lines.move_to_end(client)
            line.popleft()
            if not line:
                del self._lines[client]

    async def _in_thread(self, do: Callable[[*Given], T], *given: *Given) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, do, *given)
