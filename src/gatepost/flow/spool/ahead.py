"""Reads ahead what the acceptance of a large mailing will look up, while the disk is needed for it.

Accepting is one transaction, in which every recipient is looked up. Where the ledger is larger than
the memory that the system has for it, each of them costs reads from the disk, one after the
other, while all other mail waits for the writer. So readers read the same pages first, several at
once; then the writer finds them in the system's cache.

Where everything is in memory this would cost nearly as much as the look-up for nothing, so a few of
the recipients are tried first, and the others are read of only if that came upon the disk.

In: jobs. Out: nothing; what is read may change before it is looked up, and only its place counts.
*Fails:* never; what cannot be read ahead is looked up anyway.
*Known limits:* for the embedded store. Of a mailing that waits behind others, pages may be gone
again.
"""

import asyncio
from contextlib import suppress
from functools import partial

from gatepost.store import people
from gatepost.store.engine import Store, StoreUnavailable
from gatepost.store.spool.rows import PutJob

FEWEST = 20  # recipients that are worth it
PORTION = 250  # recipients that one reader reads at a time
TRIED = 20  # one recipient in so many is tried first


class Ahead:
    """One gateway's reading ahead."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def pays(self, job: PutJob) -> bool:
        """Whether `job` looks up enough for it."""
        enough = len(job.envelope.recipients) >= FEWEST
        return enough and job.needs_standing and self._store.is_embedded

    async def read(self, job: PutJob) -> int:
        """Reads what `job` will look up, unless memory has it; of how many recipients it did."""
        wanted = [recipient.address for recipient in job.envelope.recipients]
        touch = partial(people.touch, stream=job.stream, sender=job.sender)
        tried = len(wanted) // TRIED
        with suppress(StoreUnavailable):
            if not await self._store.read(partial(touch, addresses=wanted[:tried])):
                return tried
            parts = (wanted[at : at + PORTION] for at in range(tried, len(wanted), PORTION))
            await asyncio.gather(
                *(self._store.read(partial(touch, addresses=part)) for part in parts)
            )
        return len(wanted)
