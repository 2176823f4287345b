"""What the API asks that only `app` can answer: the mail path is not to be seen from here."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gatepost.consent.bases import Bases
from gatepost.mail.address import Address
from gatepost.mail.stream import Stream
from gatepost.mail.verdict import Verdict

Verdicts = Sequence[tuple[Address, Verdict]]
Sees = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Questions:
    """`verdicts` says what would become of mail of a stream to each address, in their order.

    `record_of` is what is on record of an address, in the shape that `consent show --json`
    prints, as far as a predicate on senders lets see; `None` is all of it.
    """

    bases: Callable[[], Bases]
    verdicts: Callable[[Stream, Sequence[Address]], Awaitable[Verdicts]]
    record_of: Callable[[Address, Sees | None], Awaitable[Mapping[str, Any]]]
