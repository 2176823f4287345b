"""Answers to what the API asks: verdicts from the conductor, records from the ledger.

In: the store and the configuration in force. Out: `Questions` for the web room.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gatepost.app import records
from gatepost.flow import audience
from gatepost.flow.decide.policy import Policy
from gatepost.mail.address import Address
from gatepost.mail.stream import Stream
from gatepost.store.engine import Store
from gatepost.web.api.questions import Questions, Sees, Verdicts


def questions_for(store: Store, policy: Callable[[], Policy]) -> Questions:
    """What the API may ask of this gateway."""

    async def verdicts(stream: Stream, addresses: Sequence[Address]) -> Verdicts:
        now = policy()
        return await asyncio.to_thread(lambda: list(audience.check(store, now, stream, addresses)))

    async def record_of(address: Address, sees: Sees | None) -> Mapping[str, Any]:
        now = policy()
        record = await store.read(lambda tx: records.read(tx, now, address))
        return record.as_json() if sees is None else record.for_senders(sees)

    return Questions(lambda: policy().bases, verdicts, record_of)
