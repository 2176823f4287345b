"""A webhook: an address of the controller's own that is told of events, signed.

In: a `Hook` and deliveries. Out: POSTs with the headers of `consent.announcing`.

*Known limits:* events that an import recorded are told only where the hook asks for them: who
imports a million rows has them in a file.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from gatepost.app.onward.couriers import Courier, Resolve, Trouble, resolve
from gatepost.app.onward.destinations import Fate, Outcome, outcome_of
from gatepost.consent.announcing import EVENTS, Spelling, payload, signed_headers, written
from gatepost.consent.evidence import EventKind, Fact
from gatepost.store.engine import Tx
from gatepost.store.ids import new_id, to_text
from gatepost.store.onward import Content, Delivery, Sealed, Wanted

_IMPORTED = b'"method":"import"'  # as canonical JSON has it; inside a string it has backslashes
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One webhook as it is configured. No senders or events named means all."""

    name: str
    url: str
    key: bytes = field(repr=False)
    senders: frozenset[str] = frozenset()
    events: frozenset[EventKind] = frozenset()
    imports: bool = False
    addresses: Spelling = "plain"
    allow_private: bool = False
    authority: Path | None = None

    def wants(self, fact: Fact) -> bool:
        """Whether the hook is to be told of `fact`; one without a sender concerns every sender."""
        if fact.method == "import" and not self.imports:
            return False
        return not self.senders or not fact.sender or fact.sender in self.senders


class Webhook:
    """A hook as a destination."""

    is_one_place = True

    def __init__(self, hook: Hook, now: Callable[[], datetime], resolve: Resolve = resolve) -> None:
        self._hook, self._now = hook, now
        self._courier = Courier(
            allow_private=hook.allow_private, authority=hook.authority, resolve=resolve
        )

    @property
    def name(self) -> str:
        """As configured."""
        return self._hook.name

    @property
    def kinds(self) -> Iterable[EventKind]:
        """The events that the hook asks for."""
        return self._hook.events or EVENTS

    def choose(self, tx: Tx, events: Sequence[Sealed]) -> list[Wanted]:
        """What the hook asks for, of what was not erased meanwhile."""
        return [
            Wanted(one.event, one.subject, tx.now)
            for one in events
            if one.payload is not None and self._wants(one.payload)
        ]

    def _wants(self, said: bytes) -> bool:
        if not self._hook.imports and _IMPORTED in said:
            return False  # a million rows are passed over without being read
        return self._hook.wants(Fact.from_payload(said))

    async def tell(self, delivery: Delivery, content: Content) -> Outcome:
        """Posts one event, if it was not erased and the hook still asks for its like."""
        fact = content.fact
        if fact is None or fact.kind not in self.kinds or not self._hook.wants(fact):
            return Outcome(Fate.VOID)
        message = f"msg_{to_text(delivery.id)}"
        body = payload(
            fact,
            message=message,
            recorded_at=content.recorded_at,
            subject=to_text(delivery.subject),
            address=content.address,
            spelling=self._hook.addresses,
        )
        return await self._post(message, body)

    async def test(self) -> Outcome:
        """Posts an event of the name `test`, about nobody."""
        message = f"msg_{to_text(new_id())}"
        told = {"id": message, "event": "test", "time": f"{self._now():%Y-%m-%dT%H:%M:%S.000Z}"}
        return await self._post(message, written(told))

    async def close(self) -> None:
        """Ends its connections."""
        await self._courier.close()

    async def _post(self, message: str, body: bytes) -> Outcome:
        headers = signed_headers(self._hook.key, message, self._now(), body)
        try:
            answer = await self._courier.post(self._hook.url, body, {**_JSON, **headers})
        except Trouble as trouble:
            return Outcome(Fate.AWAY, str(trouble))
        return outcome_of(answer.status, answer.retry_after)
