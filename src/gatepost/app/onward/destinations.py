"""What `sending` knows of those who are told: which events they want, and how to tell one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gatepost.consent.evidence import EventKind
from gatepost.store.engine import Tx
from gatepost.store.onward import Content, Delivery, Sealed, Wanted


class Fate(Enum):
    """What came of an attempt."""

    ARRIVED = "arrived"
    VOID = "void"  # there is nothing to tell any more
    AWAY = "away"  # the other side cannot be reached, or cannot do it now: whoever it is about
    REFUSED = "refused"  # it does not want this one


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt, why, and how long the other side asks to be left alone."""

    fate: Fate
    why: str = ""
    retry_after: float = 0.0


class Destination(Protocol):
    """Somebody who is told."""

    @property
    def name(self) -> str:
        """Under which deliveries are kept."""
        ...

    @property
    def is_one_place(self) -> bool:
        """Whether one that is away means that all of them are."""
        ...

    @property
    def kinds(self) -> Iterable[EventKind]:
        """The kinds of events to look at."""
        ...

    def choose(self, tx: Tx, events: Sequence[Sealed]) -> list[Wanted]:
        """Those among `events` that are to be told."""
        ...

    async def tell(self, delivery: Delivery, content: Content) -> Outcome:
        """Tells one. Raises `StoreUnavailable`."""
        ...

    async def close(self) -> None:
        """Gives back what it holds."""
        ...


def outcome_of(status: int, retry_after: float = 0.0) -> Outcome:
    """What an HTTP status says about a delivery."""
    if 200 <= status < 300:
        return Outcome(Fate.ARRIVED)
    if status in {408, 425, 429} or status >= 500:
        return Outcome(Fate.AWAY, f"answered {status}", retry_after)
    return Outcome(Fate.REFUSED, f"answered {status}", retry_after)
