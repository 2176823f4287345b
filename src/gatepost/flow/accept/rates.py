"""What is left of each client's rate, counted by all workers of a gateway together.

In: a client's name and rate, a moment. Out: how many messages it may send then. A client that
was silent may send its whole allowance in one burst; a rate that is changed begins anew.

The counts lie in memory without a name that the workers inherit from their supervisor, so that
it does not matter to which of them a connection comes, nor that one is started again. The time
must be a steady clock that all processes of the machine share.

*Fails:* never.
*Known limits:* two workers that write in the same microsecond may lose a count; nothing waits for
anything. Gateways on several machines count apart.
"""

import mmap
import os
import struct
from hashlib import blake2b
from typing import Final

Rate = tuple[int, float]  # messages, within seconds

_SLOT: Final = struct.Struct("<Qdd")  # tag, messages left, when
_TAG: Final = struct.Struct("<Q")
_SLOTS: Final = 4096  # more than there are clients: each has one for each rate it has had
_SIZE: Final = _SLOTS * _SLOT.size


def shared_memory() -> int:
    """A descriptor of empty memory for `Rates` that child processes can inherit."""
    descriptor = os.memfd_create("gatepost-rates")
    os.ftruncate(descriptor, _SIZE)
    return descriptor


class Rates:
    """The counts; `descriptor` is from `shared_memory`, without one they are this process's."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._table = mmap.mmap(-1 if descriptor is None else descriptor, _SIZE)
        self._places: dict[tuple[str, Rate], tuple[int, int]] = {}

    def left(self, name: str, rate: Rate, now: float) -> float:
        """How many messages the client may send at `now`; below 1 it may send none."""
        return self._left(*self._place(name, rate), rate, now)

    def use(self, name: str, rate: Rate, now: float, messages: float) -> None:
        """Takes so many messages away, or gives them back where it is less than 0."""
        place, tag = self._place(name, rate)
        left = min(float(rate[0]), self._left(place, tag, rate, now) - messages)
        _SLOT.pack_into(self._table, place, tag, left, now)

    def _left(self, place: int, tag: int, rate: Rate, now: float) -> float:
        messages, seconds = rate
        found: int
        left: float
        then: float
        found, left, then = _SLOT.unpack_from(self._table, place)
        full = float(messages)
        return min(full, left + max(0.0, now - then) * full / seconds) if found == tag else full

    def _place(self, name: str, rate: Rate) -> tuple[int, int]:
        """Where the count is, or is to be; and what it is known by there."""
        known = self._places.get((name, rate))
        if known is None or self._tag_at(known[0]) not in (0, known[1]):
            tag = int.from_bytes(blake2b(repr((name, rate)).encode(), digest_size=8).digest()) or 1
            first = tag % _SLOTS
            turns = (((first + step) % _SLOTS) * _SLOT.size for step in range(_SLOTS))
            place = next((at for at in turns if self._tag_at(at) in (0, tag)), first * _SLOT.size)
            known = self._places[name, rate] = place, tag
        return known

    def _tag_at(self, place: int) -> int:
        tag: int = _TAG.unpack_from(self._table, place)[0]
        return tag
