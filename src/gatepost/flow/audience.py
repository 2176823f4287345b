"""Conductor: a list of addresses → the verdict that a mail of a stream would meet.

The same look-up and the same rules as on the way of a mail (SO-2…5), and nothing is changed.

In: addresses, a stream. Out: one verdict per address, in the order given.
*Fails:* `StoreUnavailable`.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from gatepost.consent.standing import STRANGER
from gatepost.flow.decide.policy import Policy
from gatepost.mail.address import Address
from gatepost.mail.stream import Stream
from gatepost.mail.verdict import Verdict
from gatepost.store import campaigns, people
from gatepost.store.engine import Store, Tx

SLICE = 2000  # addresses looked up at once


def check(
    store: Store, policy: Policy, stream: Stream, addresses: Sequence[Address]
) -> Iterator[tuple[Address, Verdict]]:
    """What would become of each address if a mail of `stream` came now."""
    for start in range(0, len(addresses), SLICE):
        portion = addresses[start : start + SLICE]
        yield from store.read_now(partial(_judge, policy=policy, stream=stream, addresses=portion))


def _judge(
    tx: Tx, *, policy: Policy, stream: Stream, addresses: Sequence[Address]
) -> list[tuple[Address, Verdict]]:
    frozen = stream.sender in campaigns.frozen_senders(tx)
    persons = people.look_up(tx, addresses, stream.name, stream.sender)
    return [
        (
            address,
            policy.judge(
                stream,
                address,
                persons.get(address.key, STRANGER),
                tx.now,
                sender_frozen=frozen,
            ),
        )
        for address in addresses
    ]
