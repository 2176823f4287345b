"""Rates: how often one link, one network or one address may ask, kept in memory and in bounds.

In: what is counted (a `Rate`), for whom, and the time on any steady clock. Out: yes or no. A
bucket per key fills up again evenly; the keys asked least recently are forgotten first, so that
a flood of keys costs no memory.

A POST that withdraws is never turned away by them: leaving has no limit. Visitors whose address is
a private one are not told apart, and so not limited by network: behind a proxy that is not in
`trusted_proxies` everybody would share one bucket.

*Known limits:* every worker counts for itself.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from gatepost.mail.peer import is_near

_MOST_KEYS = 50_000


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `burst` at once, and `burst` again within `seconds`."""

    name: str
    burst: int
    seconds: float


# A person does not come near any of them.
LOOKS_PER_LINK = Rate("looks", 120, 60)
SAVES_PER_LINK = Rate("saves", 60, 60)
BAD_LINKS_PER_NETWORK = Rate("bad links", 120, 60)
DOSSIERS_PER_LINK = Rate("dossiers", 10, 600)  # each reads the records of all mail
FORMS_PER_NETWORK = Rate("forms", 30, 600)
LETTERS_PER_ADDRESS = Rate("letters", 2, 3600)


class Limits:
    """The buckets of one process."""

    def __init__(self, clock: Callable[[], float], *, most_keys: int = _MOST_KEYS) -> None:
        self._clock = clock
        self._most_keys = most_keys
        self._spent: OrderedDict[tuple[str, bytes | str], tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._spent)

    def allows(self, rate: Rate, key: bytes | str) -> bool:
        """Whether `key` may once more; takes it into account. "" is always allowed."""
        if not key:
            return True
        now = self._clock()
        spent, at = self._spent.pop((rate.name, key), (0.0, now))
        spent = max(0.0, spent - (now - at) * rate.burst / rate.seconds)
        allowed = spent + 1 <= rate.burst
        self._spent[rate.name, key] = (spent + 1 if allowed else spent), now
        if len(self._spent) > self._most_keys:
            self._spent.popitem(last=False)
        return allowed


def network_of(ip: str) -> str:
    """What stands for a visitor's network: an IPv4 address, an IPv6 /56; "" for a private one."""
    try:
        parsed = ip_address(ip)
    except ValueError:
        return ""
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if is_near(parsed):
        return ""
    return parsed.packed[:7].hex() if parsed.version == 6 else str(parsed)
