"""The spool: what is accepted and not finished, in the store.

`PUT` accepts, `CLAIM` hands out, `MARK` records outcomes: each does all jobs that wait, in
one transaction. `leases`, `queue`, `quarantine` and `reports` hold the rest. The states and
what a crash leaves in each stand in `flow/spool/states.py`.
"""

from gatepost.store.spool.claim import CLAIM
from gatepost.store.spool.leases import next_due, recover, renew
from gatepost.store.spool.mark import MARK
from gatepost.store.spool.put import PUT
from gatepost.store.spool.rows import (
    CampaignDraft,
    Claimed,
    ClaimJob,
    Heading,
    Lease,
    Marked,
    MarkJob,
    PutJob,
    PutResult,
    Review,
    RowDraft,
    Ruling,
    Snapshot,
    Submission,
    TextSighting,
)

__all__ = [
    "CLAIM",
    "MARK",
    "PUT",
    "CampaignDraft",
    "ClaimJob",
    "Claimed",
    "Heading",
    "Lease",
    "MarkJob",
    "Marked",
    "PutJob",
    "PutResult",
    "Review",
    "RowDraft",
    "Ruling",
    "Snapshot",
    "Submission",
    "TextSighting",
    "next_due",
    "recover",
    "renew",
]
