"""How much is composed and not yet done with: octets of copies, over all upstreams.

A copy of a large message is large, and each recipient has one; so copies are made only while
there is room for them. An upstream may use what the others leave free up to half, so that one
that hangs never holds all of it; and it may always have one thing, or nothing large could
ever leave. Who wants room for the same upstream waits in line, or smaller copies would take, one
after the other, the room that a larger one needs.

*Known limits:* with many upstreams that all get large mail at once, each of them has one copy
whatever the limit. Belongs to one event loop.
"""

import asyncio
from collections import Counter, defaultdict


class Load:
    """Octets in hand per upstream, and a limit on their sum."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: Counter[str] = Counter()
        self._total = 0
        self._freed = asyncio.Event()
        self._lines: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # first come

    @property
    def total(self) -> int:
        """The octets held now."""
        return self._total

    async def take(self, upstream: str, octets: int) -> None:
        """Counts so many octets, as soon as there is room for them."""
        async with self._lines[upstream]:
            while not self._fits(upstream, octets):
                self._freed.clear()
                await self._freed.wait()
            self.add(upstream, octets)

    def add(self, upstream: str, octets: int) -> None:
        """Counts so many octets, room or not."""
        self._held[upstream] += octets
        self._total += octets
        if octets < 0:
            self._freed.set()

    def give(self, upstream: str, octets: int) -> None:
        """These octets are gone."""
        self.add(upstream, -octets)

    def _fits(self, upstream: str, octets: int) -> bool:
        own = self._held[upstream]
        return not own or own + octets <= self.limit - self._total
