"""The rules by which a recipient is decided, in their order.

In: a `Case`. Out: a `Verdict` with the name of the rule that decided, the reason and the time
of the fact it rests on. The first rule in `RULES` that has something to say decides; whoever
passes all of them is eligible.

Why the rules stand where they do. What stops mail as such comes first (campaign, sender,
From). Then what stops every kind of mail to this person. Mail that needs no consent leaves
here, unless it looks like undeclared mass mail. For bulk mail follow the person's own refusals,
then what is missing. What is wrong with the message for whoever would otherwise get it
(other recipients in To, a body that must not be changed) comes last, so that the report tells
first who has not consented.

An override passes a stream's withdrawal, a role address and missing consent (SO-7); mode
"observe" passes missing consent and role addresses (SO-8). Neither passes anything else.

*Fails:* never: `decide` is total.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gatepost.flow.decide.case import Case
from gatepost.flow.decide.evidence import Weighing, suppression_in, weigh
from gatepost.mail.stream import Kind, Unmodifiable
from gatepost.mail.verdict import Disposition, Reason, Verdict

_POSITIVE_FOR = {
    Kind.TRANSACTIONAL: Reason.TRANSACTIONAL,
    Kind.SERVICE: Reason.SERVICE,
    Kind.PERSONAL: Reason.PERSONAL,
}
_UNMODIFIABLE_TO = {
    Unmodifiable.QUARANTINE: Disposition.QUARANTINE,
    Unmodifiable.REJECT: Disposition.REJECT,
}


@dataclass(slots=True)  # many are made: freezing would treble the price of one
class Finding:
    """What a rule found: the reason, and a disposition where the stream's does not apply."""

    reason: Reason
    since: datetime | None = None
    note: str = ""
    disposition: Disposition | None = None


def campaign_stopped(case: Case, _: Weighing) -> Finding | None:
    """Somebody stopped the campaign (WP-15): nothing more of it leaves."""
    if not case.campaign_stopped:
        return None
    return Finding(Reason.CAMPAIGN_STOPPED, disposition=Disposition.DROP)


def sender_frozen(case: Case, _: Weighing) -> Finding | None:
    """The sender's bulk mail is frozen (WP-14, WP-15); its other mail goes on.

    It is refused for the time being, so that the mailer keeps it and nothing is lost.
    """
    if not (case.sender_frozen and case.stream.is_bulk):
        return None
    return Finding(Reason.SENDER_FROZEN, disposition=Disposition.REJECT)


def sender_mismatch(case: Case, _: Weighing) -> Finding | None:
    """From or Sender is not the sender's (WP-9, G-5), or bulk mail has no sender (WP-16)."""
    mismatch = case.mismatch
    if not mismatch and case.sender is None and case.stream.is_bulk:
        mismatch = "the stream has no sender"
    if not mismatch:
        return None
    # The mailer's mistake, and the same for every recipient: it is told so, unless held.
    held = case.stream.on_ineligible is Disposition.QUARANTINE
    disposition = Disposition.QUARANTINE if held else Disposition.REJECT
    return Finding(Reason.SENDER_MISMATCH, note=mismatch, disposition=disposition)


def suppressed_for_all(case: Case, _: Weighing) -> Finding | None:
    """A hard bounce or a manual suppression stops every kind of mail (ME-13)."""
    suppression = suppression_in(case, "all")
    if suppression is None:
        return None
    reason = Reason.ERASED if suppression.reason == "erased" else Reason.SUPPRESSED
    return Finding(reason, suppression.since, suppression.reason)


def undeclared_bulk(case: Case, _: Weighing) -> Finding | None:
    """Mail that claims to need no consent, but looks like a mass mailing (SO-3)."""
    if not case.undeclared_bulk or case.stream.is_bulk:
        return None
    return Finding(Reason.UNDECLARED_BULK, disposition=Disposition.QUARANTINE)


def no_consent_needed(case: Case, _: Weighing) -> Finding | None:
    """Transactional, service and personal mail (HS-2, HR-2)."""
    if case.stream.is_bulk:
        return None
    return Finding(_POSITIVE_FOR[case.stream.kind], disposition=Disposition.DELIVER)


def suppressed_for_bulk(_: Case, weighing: Weighing) -> Finding | None:
    """A complaint, or unsubscribing from everything (HR-1, ME-9)."""
    suppression = weighing.suppression
    if suppression is None:
        return None
    reason = Reason.ERASED if suppression.reason == "erased" else Reason.SUPPRESSED
    return Finding(reason, suppression.since, suppression.reason)


def erased(_: Case, weighing: Weighing) -> Finding | None:
    """The person had their data erased and has not come back (JU-24)."""
    return Finding(Reason.ERASED, weighing.erased_at) if weighing.erased_at else None


def withdrawn(case: Case, weighing: Weighing) -> Finding | None:
    """The person left this stream and has not come back (HR-1)."""
    if weighing.withdrawn_at is None or case.override:
        return None
    return Finding(Reason.WITHDRAWN, weighing.withdrawn_at)


def role_address(case: Case, _: Weighing) -> Finding | None:
    """Nobody can consent for info@ or sales@ (HS-25)."""
    return Finding(Reason.ROLE_ADDRESS) if not _may_lack_consent(case) and _is_role(case) else None


def consent_lacking(case: Case, weighing: Weighing) -> Finding | None:
    """No evidence qualifies; the reason is that of the nearest (HS-1, SO-4, WP-1)."""
    if weighing.lack is None or _may_lack_consent(case):
        return None
    return Finding(weighing.lack, weighing.since, weighing.grant.basis if weighing.grant else "")


def open_recipients(case: Case, _: Weighing) -> Finding | None:
    """A copy would show other recipients in To or Cc."""
    return Finding(Reason.OPEN_RECIPIENTS) if case.open_recipients else None


def unmodifiable(case: Case, _: Weighing) -> Finding | None:
    """Signed or encrypted mail cannot carry the footer (ME-3), where the stream minds."""
    disposition = _UNMODIFIABLE_TO.get(case.stream.unmodifiable)
    if not case.unmodifiable or disposition is None:
        return None
    return Finding(Reason.UNMODIFIABLE, disposition=disposition)


def eligible(case: Case, weighing: Weighing) -> Finding:
    """The recipient gets a copy: consented, or let through with what is missing noted."""
    missing = _missing(case, weighing)
    if missing is None:
        note = _advice(case, weighing)
        return Finding(Reason.CONSENTED, weighing.since, note, Disposition.DELIVER)
    since = weighing.withdrawn_at or weighing.since
    if case.override:
        return Finding(Reason.OVERRIDE, since, case.override, Disposition.DELIVER)
    return Finding(Reason.OBSERVED, since, missing.value, Disposition.DELIVER)


Rule = Callable[[Case, Weighing], Finding | None]

RULES: tuple[Rule, ...] = (
    campaign_stopped,
    sender_frozen,
    sender_mismatch,
    suppressed_for_all,
    undeclared_bulk,
    no_consent_needed,
    # from here on the mail is bulk
    suppressed_for_bulk,
    erased,
    withdrawn,
    role_address,
    consent_lacking,
    open_recipients,
    unmodifiable,
)
_NAMES = {rule: rule.__name__.replace("_", "-") for rule in (*RULES, eligible)}
_NOTHING_TO_WEIGH = Weighing(grant=None, basis=None, lack=None)


def decide(case: Case) -> Verdict:
    """The verdict on one recipient. Total: it never raises, and default is deny."""
    weighing = weigh(case) if case.stream.is_bulk else _NOTHING_TO_WEIGH
    for rule in RULES:
        finding = rule(case, weighing)
        if finding is not None:
            return _verdict(rule, finding, case)
    return _verdict(eligible, eligible(case, weighing), case)


def _verdict(rule: Rule, finding: Finding, case: Case) -> Verdict:
    disposition = finding.disposition or case.stream.on_ineligible
    return Verdict(disposition, finding.reason, _NAMES[rule], finding.since, finding.note)


def _is_role(case: Case) -> bool:
    return case.address.is_role and not case.stream.allow_role_addresses


def _may_lack_consent(case: Case) -> bool:
    return bool(case.override) or case.stream.observe


def _missing(case: Case, weighing: Weighing) -> Reason | None:
    if weighing.withdrawn_at is not None:
        return Reason.WITHDRAWN
    return Reason.ROLE_ADDRESS if _is_role(case) else weighing.lack


def _advice(case: Case, weighing: Weighing) -> str:
    """What a report should recommend about a consent that counts, but could be better."""
    basis = weighing.basis
    if case.address.is_role and weighing.grant and weighing.grant.confirmed_at is None:
        return "role address: double opt-in by a named person recommended"  # A5
    if basis is None or basis.lifetime is None:
        return ""
    if basis.reconfirm and weighing.grant and weighing.grant.confirmed_at is None:
        return f"{basis.name}: ask for a new confirmation"  # HS-23
    return f"{basis.name}: explicit consent recommended"  # HS-13
