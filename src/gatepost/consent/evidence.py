"""Facts about a person's consent: what the ledger records, and in which bytes.

A `Fact` is one event before it is recorded. Its payload is canonical JSON (sorted keys, no
blanks, UTF-8), so that the commitment to it can be computed again years later.
The ledger keeps, per event, only a salted commitment (SHA-256 over salt and payload);
payload and salt lie beside it and can be erased without breaking the chain (promise 5).

*Fails:* `ValueError` for a payload that is not one.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from json.encoder import encode_basestring
from operator import attrgetter

SALT_BYTES = 16
REST = "rest"
ALL = "all"
_EXTENTS = frozenset({"", REST, ALL})
_TIMES = ("at", "confirmed_at", "last_activity_at", "ends_at", "due")


class EventKind(StrEnum):
    """What happened."""

    GRANTED = "granted"
    REQUESTED = "requested"  # double opt-in asked for, not yet confirmed
    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"
    RESUBSCRIBED = "resubscribed"
    ENGAGED = "engaged"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    SUPPRESSED = "suppressed"
    SUPPRESSION_LIFTED = "suppression-lifted"
    TRANSFERRED = "transferred"
    TEXT_SHOWN = "text-shown"
    WELCOMED = "welcomed"
    ERASED = "erased"
    SENDER_REMOVED = "sender-removed"  # what one sender held of a person went to somebody else
    SOURCE_KEPT = "source-kept"  # about nobody: what a source or a version of its text says


# What shows that somebody agreed or left: kept when a person asks to be erased, until it is due.
EVIDENCE_KINDS = frozenset(
    {
        EventKind.GRANTED,
        EventKind.REQUESTED,
        EventKind.CONFIRMED,
        EventKind.RESUBSCRIBED,
        EventKind.TRANSFERRED,
        EventKind.WITHDRAWN,
        EventKind.TEXT_SHOWN,
        EventKind.WELCOMED,
    }
)


_SPARED = frozenset({EventKind.ERASED, EventKind.SENDER_REMOVED})


class TextState(StrEnum):
    """What the consent text behind a grant is worth, as it stood when the grant was recorded."""

    VALID = "valid"
    INVALID = "invalid"  # attestations missing, pre-ticked, conditional, hidden in terms
    NONE = "none"  # no source, or a source without a text


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One event about one person, for one sender.

    `at` is the time of the act. Times must know their zone; they are kept in UTC and in whole
    milliseconds, as they are recorded. `stream` is "" where the event concerns every bulk
    stream of `sender` (a withdrawal from everything) or none (a bounce). `actor` is who acted:
    "recipient", "staff", "import", "mailer" or "system"; `method` how: "one-click", "page",
    "form", "mailto", "cli", "api", "import", "feedback".

    For suppressions `scope` is "all" or "bulk" and `suppression` its reason:
    "unsubscribed", "complaint", "hard-bounce", "soft-bounces", "manual" or "erased".
    `bought`, `informed` and `could_decline` complete an existing-customer basis (WP-8).

    An erasure names its `rule`: "request", "evidence-term" (its time to be kept is over) or
    "sender-removed". Its `extent` is "rest", which spares address and evidence
    (`EVIDENCE_KINDS`), or "all"; "" in older payloads means all. `due` is when the evidence
    may go, or was due to go. What is recorded of sources has `text_sha256`, the digest of all
    that a source or a version of its text consists of. A sender's removal names the events that
    it `took`, by their ids; its `scope` is "all" where nothing was held for another sender, so
    that the address went, too.
    """

    kind: EventKind
    at: datetime
    sender: str = ""
    stream: str = ""
    basis: str = ""
    source: str = ""
    text_version: str = ""
    text_state: TextState = TextState.NONE
    actor: str = "system"
    method: str = ""
    url: str = ""
    ip: str = ""
    user_agent: str = ""
    confirmed_at: datetime | None = None
    last_activity_at: datetime | None = None
    ends_at: datetime | None = None  # of a contract, where it is known (A1)
    categories: tuple[str, ...] = ()
    channels: str = ""  # what the consent is for where that is not e-mail, such as "sms" (JU-13)
    bought: bool = False
    informed: bool = False
    could_decline: bool = False
    welcome_due: bool = False  # our own form's single opt-in: counts once the welcome mail is out
    scope: str = ""
    suppression: str = ""
    explanation: str = ""
    note: str = ""
    submission: str = ""
    rule: str = ""
    extent: str = ""
    due: datetime | None = None
    text_sha256: str = ""
    took: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.extent not in _EXTENTS:
            raise ValueError("an erasure takes the rest or all")
        for name in _TIMES:
            moment = getattr(self, name)
            if moment is not None and (recorded := _as_recorded(moment)) is not moment:
                object.__setattr__(self, name, recorded)

    def payload(self) -> bytes:
        """The canonical bytes that the commitment covers."""
        parts = [
            head + (encode_basestring(value) if type(value) is str else _canonical(value))
            for head, default, value in zip(_HEADS, _DEFAULTS, _VALUES(self), strict=True)
            if value is not default and value != default  # nothing equals what has no default
        ]
        return f"{{{','.join(parts)}}}".encode()

    def erases(self, kind: EventKind) -> bool:
        """Whether this fact is an erasure that takes what earlier events of `kind` say.

        What an erasure or a removal says stays: it names nobody, and shows why others are gone.
        """
        if self.kind is not EventKind.ERASED or kind in _SPARED:
            return False
        return self.extent != REST or kind not in EVIDENCE_KINDS

    @classmethod
    def from_payload(cls, payload: bytes) -> "Fact":
        """The fact that `payload` describes. Raises `ValueError` if it describes none."""
        try:
            values = json.loads(payload)
            for name in _TIMES:
                if values.get(name):
                    values[name] = datetime.fromisoformat(values[name])
            values["kind"] = EventKind(values["kind"])
            values["text_state"] = TextState(values.get("text_state", TextState.NONE))
            for name in ("categories", "took"):
                values[name] = tuple(values.get(name, ()))
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("the payload is not that of an event") from error


# Made once, sorted by name: an import writes down tens of thousands of facts per second.
_FIELDS = sorted(fields(Fact), key=lambda spec: spec.name)
_HEADS = tuple(f'"{spec.name}":' for spec in _FIELDS)
_DEFAULTS = tuple(spec.default for spec in _FIELDS)
_VALUES = attrgetter(*(spec.name for spec in _FIELDS))


def _canonical(value: object) -> str:
    """JSON without blanks, every letter as it is."""
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, datetime):
        return f'"{value.isoformat(timespec="milliseconds")}"'
    if isinstance(value, tuple):
        return f"[{','.join(map(_canonical, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    raise ValueError(f"an event does not say a {type(value).__name__}")


def commitment(salt: bytes, payload: bytes) -> bytes:
    """The 32 bytes that stand for `payload` in the chain; `salt` is 16 random bytes."""
    return hashlib.sha256(b"gatepost event\x00" + salt + payload).digest()


def _as_recorded(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("the time of an event must know its zone")
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    beyond = moment.microsecond % 1000
    return moment.replace(microsecond=moment.microsecond - beyond) if beyond else moment
