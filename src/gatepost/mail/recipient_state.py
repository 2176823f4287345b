"""The state of one recipient in the spool: the word that is stored, and what kind it is.

Which state may follow which, what each means in full and what a crash leaves in it stands
in `flow/spool/states.py`; the store only needs the words.
"""

from enum import StrEnum


class State(StrEnum):
    """Where a recipient stands. The values are stored and shown by `gatepost queue`."""

    RECEIVED = "received"  # being taken in: not stored, not yet answered
    READY = "ready"
    SENDING = "sending"
    DEFERRED = "deferred"
    HELD = "held"
    QUARANTINED = "quarantined"
    DELIVERED = "delivered"
    DROPPED = "dropped"
    REJECTED = "rejected"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self in FINAL

    @property
    def is_queued(self) -> bool:
        """Whether a copy is still to be sent, now or when somebody says so."""
        return self in QUEUED


FINAL = frozenset({
    State.DELIVERED, State.DROPPED, State.REJECTED, State.FAILED, State.STOPPED,
})  # fmt: skip
SET_ASIDE = frozenset({State.QUARANTINED, State.HELD})  # they wait for somebody
QUEUED = frozenset({State.READY, State.SENDING, State.DEFERRED, State.HELD})
