"""The order in which those who compose for one upstream put copies, as there is room for them.

In: copies that belong together. Out: they are in the pool, each as soon as there is room. Without
turns, who composes without a pause would take all the room that comes free, and the others would
wait with their copies in hand until a long mailing has gone.

While the circuit is not closed nobody waits: the pool gives back at once what it does not want.
"""

import asyncio

from gatepost.flow.transmit.copy import Copy
from gatepost.flow.transmit.pool import Pool


class Turns:
    """The turns at one pool: urgent copies wait for urgent ones only, and the others for others."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        # A lock hands itself on in the order of asking.
        self._of_bulk, self._of_urgent = asyncio.Lock(), asyncio.Lock()

    async def put(self, copies: list[Copy]) -> None:
        """Puts `copies`, all urgent or none, and takes out of the list what is put.

        So whoever is cancelled finds in it what the pool did not get.
        """
        pool, urgent = self._pool, copies[0].urgent
        copies.reverse()
        async with self._of_urgent if urgent else self._of_bulk:
            while copies:
                if pool.healthy and not pool.room(urgent=urgent):
                    await pool.wait_for_room(urgent=urgent)
                pool.put(copies.pop())
