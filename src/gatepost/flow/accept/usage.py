"""How much each client uses: open connections, and messages per time.

One `Usage` serves all listeners of a process, so that a client has one allowance however it
connects. Whoever is no client (yet) is counted by network, and strangers together get at most
half of all connections, so that they cannot keep clients out. Rates are counted by all workers
together (`rates`). The time is given, not read.

*Known limits:* several workers have a `Usage` each, and each counts connections for itself.
"""

from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_network

from gatepost.flow.accept.rates import Rates
from gatepost.mail.client import Client


def network_of(peer: IPv4Address | IPv6Address) -> str:
    """The network that a stranger's connections are counted for: a /24 of IPv4, a /64 of IPv6."""
    return str(ip_network((peer, 24 if peer.version == 4 else 64), strict=False))


class Usage:
    """Counts; nothing here waits or refuses by itself."""

    def __init__(self, rates: Rates | None = None) -> None:
        self._rates = rates or Rates()
        self._connections: Counter[str] = Counter()
        self._total = self._strangers = 0

    def enter(self, who: str, limit: int, *, total: int, stranger: bool = False) -> bool:
        """Count one more connection of `who`, unless that would be more than `limit`.

        Nor beyond `total` connections of all, of which strangers get half at most.
        """
        if self._connections[who] >= limit or self._total >= total:
            return False
        if stranger and 2 * self._strangers >= total:
            return False
        self._connections[who] += 1
        self._total += 1
        self._strangers += stranger
        return True

    def leave(self, who: str, *, stranger: bool = False) -> None:
        """One connection less; `stranger` as it was at `enter`."""
        self._total -= 1
        self._strangers -= stranger
        self._connections[who] -= 1
        if self._connections[who] <= 0:
            del self._connections[who]

    def spend(self, client: Client, now: float) -> bool:
        """Use one message of the client's rate, if one is left at `now` (seconds)."""
        if client.rate is None:
            return True
        if self._rates.left(client.name, client.rate, now) < 1:
            return False
        self._rates.use(client.name, client.rate, now, 1)
        return True

    def give_back(self, client: Client, now: float) -> None:
        """Undo one `spend`: the transaction came to nothing."""
        if client.rate is not None:
            self._rates.use(client.name, client.rate, now, -1)
