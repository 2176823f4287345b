"""How much each client uses: open connections, and messages per time.

One `Usage` serves all listeners of a process, so that a client has one allowance however it
connects. Rates are token buckets: a client that was silent may send its whole allowance in
one burst. The time is given, not read.
"""

from collections import Counter

from gatepost.mail.client import Client


class Usage:
    """Counts; nothing here waits or refuses by itself."""

    def __init__(self) -> None:
        self._connections: Counter[str] = Counter()
        self._buckets: dict[str, tuple[tuple[int, float], float, float]] = {}

    def enter(self, who: str, limit: int) -> bool:
        """Count one more connection of `who`, unless that would be more than `limit`."""
        if self._connections[who] >= limit:
            return False
        self._connections[who] += 1
        return True

    def leave(self, who: str) -> None:
        """One connection less."""
        self._connections[who] -= 1
        if self._connections[who] <= 0:
            del self._connections[who]

    def spend(self, client: Client, now: float) -> bool:
        """Use one message of the client's rate, if one is left at `now` (seconds)."""
        if client.rate is None:
            return True
        tokens = self._tokens(client.name, client.rate, now)
        if tokens < 1:
            return False
        self._buckets[client.name] = (client.rate, tokens - 1, now)
        return True

    def give_back(self, client: Client, now: float) -> None:
        """Undo one `spend`: the transaction came to nothing."""
        if client.rate is not None:
            tokens = self._tokens(client.name, client.rate, now)
            full = float(client.rate[0])
            self._buckets[client.name] = (client.rate, min(tokens + 1, full), now)

    def _tokens(self, name: str, rate: tuple[int, float], now: float) -> float:
        messages, seconds = rate
        known, tokens, then = self._buckets.get(name, (rate, float(messages), now))
        if known != rate:  # the configuration changed
            return float(messages)
        return min(float(messages), tokens + (now - then) * messages / seconds)
