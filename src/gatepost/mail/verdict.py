"""What becomes of one recipient, and why: the verdict and its reason code.

Every recipient of every submission ends with exactly one verdict (promise 2). Verdicts are
values: a rule returns one, nothing is ever raised to mean "drop".
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Disposition(StrEnum):
    """What is done with the recipient."""

    DELIVER = "deliver"
    DROP = "drop"
    QUARANTINE = "quarantine"
    REJECT = "reject"


class Reason(StrEnum):
    """Why; the codes are public and stable (DESIGN, "Reason codes")."""

    CONSENTED = "consented"
    TRANSACTIONAL = "transactional"
    SERVICE = "service"
    PERSONAL = "personal"
    OVERRIDE = "override"
    OBSERVED = "observed"

    NO_CONSENT = "no-consent"
    WITHDRAWN = "withdrawn"
    UNCONFIRMED = "unconfirmed"
    EXPIRED = "expired"
    DORMANT = "dormant"
    WEAK_BASIS = "weak-basis"
    FORBIDDEN_SOURCE = "forbidden-source"
    UNVERIFIED_SOURCE = "unverified-source"
    INVALID_TEXT = "invalid-text"
    OUTSIDE_SCOPE = "outside-scope"
    ROLE_ADDRESS = "role-address"
    SUPPRESSED = "suppressed"
    ERASED = "erased"
    WELCOME_PENDING = "welcome-pending"
    SENDER_FROZEN = "sender-frozen"
    PAUSED = "paused"
    CAMPAIGN_STOPPED = "campaign-stopped"
    SENDER_MISMATCH = "sender-mismatch"
    OPEN_RECIPIENTS = "open-recipients"
    UNDECLARED_BULK = "undeclared-bulk"
    UNMODIFIABLE = "unmodifiable"

    @property
    def is_positive(self) -> bool:
        """Whether the reason is one for delivering."""
        return self in _POSITIVE


_POSITIVE = frozenset({
    Reason.CONSENTED, Reason.TRANSACTIONAL, Reason.SERVICE, Reason.PERSONAL,
    Reason.OVERRIDE, Reason.OBSERVED,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision about one recipient.

    `rule` names the rule that decided; `since` is the time of the fact it rests on (the
    consent, the withdrawal, the suppression), in UTC; `note` is a short explanation such as
    the override's written reason.
    """

    disposition: Disposition
    reason: Reason
    rule: str
    since: datetime | None = None
    note: str = ""

    @property
    def delivers(self) -> bool:
        """Whether the recipient gets a copy."""
        return self.disposition is Disposition.DELIVER
