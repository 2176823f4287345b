"""Standing: what the ledger says today about an address for a stream.

Standing is derived from events and kept beside them so that a decision is one look-up; it
can be rebuilt from the events at any time and must come out the same (`fold` depends on the
times of the acts, not on the order of recording).
"""

from dataclasses import dataclass
from datetime import datetime

from gatepost.consent.evidence import TextState


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One piece of evidence that speaks for mailing: a basis with its circumstances."""

    basis: str
    at: datetime
    source: str = ""
    text_version: str = ""
    text_state: TextState = TextState.NONE
    confirmed_at: datetime | None = None
    last_activity_at: datetime | None = None
    categories: tuple[str, ...] = ()
    soft_opt_in: bool = False  # bought, informed and could decline: all three
    welcome_due: bool = False
    lifts_withdrawal: bool = False  # the person came back, or staff documented that they did


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All that counts for one address and one stream. Times are UTC."""

    grants: tuple[Grant, ...] = ()
    requested_at: datetime | None = None
    withdrawn_at: datetime | None = None
    engaged_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Suppression:
    """The address must not be mailed by a sender; only scope "all" stops transactional mail."""

    scope: str
    reason: str
    since: datetime


NOTHING_KNOWN = Standing()


@dataclass(frozen=True, slots=True)
class Person:
    """One address as a decision sees it: its subject, standing and suppressions.

    `subject` is the random id (0 where the ledger has never met the address).
    """

    subject: int = 0
    standing: Standing = NOTHING_KNOWN
    suppressions: tuple[Suppression, ...] = ()
    erased_at: datetime | None = None


STRANGER = Person()
