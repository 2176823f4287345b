"""Reads ahead what the acceptance of a large mailing will look up, while the disk is needed for it.

Accepting is one transaction, in which every recipient is looked up. Where the ledger is larger than
the memory that the system has for it, each of them costs reads from the disk, one after the
other, while all other mail waits for the writer. So readers read the same pages first, several at
once; then the writer finds them in the system's cache.

Others need the readers, too, above all who looks for fresh withdrawals several times a second. So
all mailings together ask for a little at a time, and nobody waits for more than that.

Where everything is in memory this would cost nearly as much as the look-up for nothing, so a few of
the recipients are tried first, and the others are read of only if that came upon the disk.

In: jobs. Out: nothing; what is read may change before it is looked up, and only its place counts.
*Fails:* never; what cannot be read ahead is looked up anyway.
*Known limits:* for the embedded store. Of a mailing that waits behind others, pages may be gone
again.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from gatepost.mail.address import Address
from gatepost.store import people
from gatepost.store.engine import Store, StoreUnavailable
from gatepost.store.spool.rows import PutJob

FEWEST = 20  # recipients that are worth it
PORTION = 100  # recipients that one reader reads at a time: tens of milliseconds
AT_ONCE = 2  # portions that are asked for, of all mailings together
TRIED = 20  # one recipient in so many is tried first


class Ahead:
    """One gateway's reading ahead."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns = asyncio.Semaphore(AT_ONCE)

    def pays(self, job: PutJob) -> bool:
        """Whether `job` looks up enough for it."""
        enough = len(job.envelope.recipients) >= FEWEST
        return enough and job.needs_standing and self._store.is_embedded

    async def read(self, job: PutJob) -> int:
        """Reads what `job` will look up, unless memory has it; of how many recipients it did."""
        wanted = [recipient.address for recipient in job.envelope.recipients]
        tried = len(wanted) // TRIED
        with suppress(StoreUnavailable):
            if not await self._touch(wanted[:tried], job):
                return tried
            await self._touch(wanted[tried:], job)
        return len(wanted)

    async def _touch(self, addresses: Sequence[Address], job: PutJob) -> bool:
        """Reads what is looked up of these, a portion at a time; whether the disk was needed."""
        parts = (addresses[at : at + PORTION] for at in range(0, len(addresses), PORTION))
        return any(await asyncio.gather(*(self._touch_few(part, job) for part in parts)))

    async def _touch_few(self, addresses: Sequence[Address], job: PutJob) -> int:
        touch = partial(people.touch, addresses=addresses, stream=job.stream, sender=job.sender)
        async with self._turns:
            return await self._store.read(touch)
