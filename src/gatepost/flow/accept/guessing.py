"""Guessing passwords is made slow, then put off: by name and network, by network, by name.

In: who failed and who succeeded, from where. Out: how long to wait before the answer, and
whether an attempt is looked at at all. A failed attempt counts three times, and each count
drains with time:

- of one name from one network (a /24, or a /64 of IPv6): the first to lock;
- of the whole network, whatever the names;
- of the name, from wherever.

Whoever got in from a network lately is not touched by the locks of the last two kinds, so that
neither a neighbour who guesses nor a crowd all over the world locks out the real user. A lock
ends by itself; the next one is twice as long.

All counts lie in a table of fixed size that the workers of one gateway share: memory without a
name, inherited from the supervisor. It knows names and networks by a keyed hash alone, and no
flood makes it grow: the least recent count that locks nothing makes room. Two workers that
write at once may lose a count; nothing waits for anything.

*Fails:* never.
*Known limits:* gateways on several machines count apart; a restart forgets.
"""

import mmap
import os
import secrets
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from typing import Final

_SLOT = struct.Struct("<Qffdd")  # tag, level, locks so far, touched, until
_TAG, _UNTIL = struct.Struct("<Q"), struct.Struct("<d")
_UNTIL_AT = _SLOT.size - _UNTIL.size
_WAYS = 8
_BUCKETS = 4096
_KEY_BYTES = 64
_SIZE = _KEY_BYTES + _BUCKETS * _WAYS * _SLOT.size
_DAY = 86_400.0
_FREE_FAILURES = 2  # mistakes that cost no time
_LONGEST_DELAY = 8.0


@dataclass(frozen=True, slots=True)
class Patience:
    """`failures` within `window` lock for `lock`, then twice that, up to `longest` (seconds)."""

    failures: int
    window: float
    lock: float
    longest: float


PATIENCE: Final = {
    "name and network": Patience(5, 900.0, 300.0, 3600.0),
    "network": Patience(50, 3600.0, 900.0, 4 * 3600.0),
    "name": Patience(100, 3600.0, 900.0, 4 * 3600.0),
}
_KNOWN = "known"  # got in from there; valid for a week
_KNOWN_SECONDS = 7 * _DAY


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed attempt leads to: how long to wait with the answer, and new locks by kind."""

    delay: float
    locks: Sequence[tuple[str, float]] = ()


def network_of(peer: IPv4Address | IPv6Address) -> bytes:
    """What stands for the neighbourhood of a peer: its /24, or its /64."""
    return peer.packed[:3] if peer.version == 4 else peer.packed[:8]


def shared_memory() -> int:
    """A descriptor of empty memory for `Guesses` that child processes can inherit."""
    descriptor = os.memfd_create("gatepost-guesses")
    os.ftruncate(descriptor, _SIZE)
    os.pwrite(descriptor, secrets.token_bytes(_KEY_BYTES), 0)
    return descriptor


class Guesses:
    """The counts; `descriptor` is from `shared_memory`, without one they are this process's."""

    def __init__(
        self, descriptor: int | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._table = mmap.mmap(-1 if descriptor is None else descriptor, _SIZE)
        if descriptor is None:
            self._table[:_KEY_BYTES] = secrets.token_bytes(_KEY_BYTES)
        self._key = self._table[:_KEY_BYTES]

    def locked(self, username: bytes, peer: IPv4Address | IPv6Address) -> bool:
        """Whether an attempt is to be put off unseen."""
        now = self._clock()
        tags = self._tags(username, peer)
        if self._until(tags["name and network"]) > now:
            return True
        if self._until(tags[_KNOWN]) > now:
            return False
        return self._until(tags["network"]) > now or self._until(tags["name"]) > now

    def failed(self, username: bytes, peer: IPv4Address | IPv6Address) -> Failure:
        """Take a wrong password, or a name that nobody has, into account."""
        now, levels = self._clock(), dict[str, float]()
        locks: list[tuple[str, float]] = []
        tags = self._tags(username, peer)
        for kind, patience in PATIENCE.items():
            count = self._read(tags[kind], now)
            idle = now - count.touched
            count.level = max(0.0, count.level - idle * patience.failures / patience.window) + 1
            count.locks = 0.0 if idle > _DAY else count.locks
            levels[kind], count.touched = count.level, now
            if count.level > patience.failures - 0.5:  # a little of it has drained meanwhile
                seconds = min(patience.lock * 2.0**count.locks, patience.longest)
                count.level, count.locks, count.until = 0.0, count.locks + 1, now + seconds
                locks.append((kind, seconds))
            self._write(count)
        return Failure(_delay(levels), locks)

    def succeeded(self, username: bytes, peer: IPv4Address | IPv6Address) -> None:
        """The password was right: forget this name's mistakes here, and know it from now on."""
        now = self._clock()
        tags = self._tags(username, peer)
        count = self._read(tags["name and network"], now)
        if count.level:
            count.level = 0.0
            self._write(count)
        known = self._read(tags[_KNOWN], now)
        if known.until < now + _KNOWN_SECONDS - 3600:  # not for each mail of a busy client
            known.touched, known.until = now, now + _KNOWN_SECONDS
            self._write(known)

    def _tags(self, username: bytes, peer: IPv4Address | IPv6Address) -> dict[str, int]:
        name, network = self._hash(b"n", username), self._hash(b"w", network_of(peer))
        pair = name + network
        return {
            kind: int.from_bytes(self._hash(kind.encode(), part)[:8], "little") | 1
            for kind, part in (
                ("name and network", pair), ("network", network), ("name", name), (_KNOWN, pair),
            )
        }  # fmt: skip

    def _hash(self, kind: bytes, part: bytes) -> bytes:
        return blake2b(part, key=self._key, digest_size=16, person=kind[:16]).digest()

    # The table: buckets of a few places each

    def _read(self, tag: int, now: float) -> "_Count":
        """The count of `tag`; where there is none, an empty one in the place it would take."""
        start, end = self._bucket(tag)
        place = self._find(tag, start, end)
        if place >= 0:
            _, level, locks, touched, until = _SLOT.unpack_from(self._table, place)
            return _Count(place, tag, level, locks, touched, until)
        best, least = start, (True, float("inf"))
        for place in range(start, end, _SLOT.size):
            found, _, _, touched, until = _SLOT.unpack_from(self._table, place)
            worth = (until > now, touched) if found else (False, -1.0)
            if worth < least:
                best, least = place, worth
        return _Count(best, tag, 0.0, 0.0, now, 0.0)

    def _until(self, tag: int) -> float:
        """Until when the lock of `tag` holds, 0 without one; quick, for every AUTH asks."""
        place = self._find(tag, *self._bucket(tag))
        return _UNTIL.unpack_from(self._table, place + _UNTIL_AT)[0] if place >= 0 else 0.0

    def _bucket(self, tag: int) -> tuple[int, int]:
        start = _KEY_BYTES + (tag >> 1) % _BUCKETS * _WAYS * _SLOT.size
        return start, start + _WAYS * _SLOT.size

    def _find(self, tag: int, start: int, end: int) -> int:
        place = self._table.find(_TAG.pack(tag), start, end)
        return place if (place - start) % _SLOT.size == 0 else -1

    def _write(self, count: "_Count") -> None:
        _SLOT.pack_into(
            self._table, count.place, count.tag, count.level, count.locks, count.touched,
            count.until,
        )  # fmt: skip


@dataclass(slots=True)
class _Count:
    place: int
    tag: int
    level: float
    locks: float
    touched: float
    until: float


def _delay(levels: dict[str, float]) -> float:
    """Seconds before the refusal is said: the mistakes of a person cost nothing."""
    mine = levels["name and network"] - _FREE_FAILURES
    alone = 2.0 ** (round(mine) - 1) if mine > 0.5 else 0.0
    return min(_LONGEST_DELAY, max(alone, levels["network"] // 10))
