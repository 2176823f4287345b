"""A second opinion: the rules of consent in their plainest form, sharing no code with Gatepost.

Written from the numbered requirements alone. It keeps no standing and folds nothing: it holds
the whole history and asks of every act on record whether mail may rest on it. Slow and simple.

    may_mail(history, policy, now) -> (bool, set of reasons that would be true)
"""

import calendar
from dataclasses import dataclass, replace
from datetime import UTC, datetime

EXPRESS = {"form-checkbox", "newsletter-form", "double-opt-in", "written", "paper-form"}  # HS-4, 11
IMPLIED = {
    "form",
    "purchase",
    "contract",
    "donation",
    "volunteering",
    "membership",
    "ad-conversion",
    "badge-scan",
    "business-card",
    "merger",
}  # fmt: skip  HS-6 to HS-12, HS-21, HS-23
NEVER = {
    "purchased-list",
    "rented-list",
    "borrowed-list",
    "third-party-list",
    "member-list",
    "former-company",
    "other-brand-form",
    "lead-vendor",
    "enrichment",
    "organiser-list",
    "inbound-mail",
    "found",
}  # fmt: skip  HS-14 to HS-19, HS-21, WP-12
AGREEING = {"granted", "requested", "confirmed", "resubscribed", "transferred"}


@dataclass(frozen=True, kw_only=True)
class Act:
    """One thing that happened to one person on one stream of one sender."""

    kind: str
    at: datetime
    by: str = "recipient"
    everything: bool = False  # a withdrawal from every stream
    basis: str = ""
    source: str = ""
    text: str = "valid"  # "valid", "invalid", "none"
    confirmed_at: datetime | None = None
    used_at: datetime | None = None
    ends_at: datetime | None = None
    categories: tuple[str, ...] = ()
    all_three: bool = False  # bought, told, could decline (WP-8)
    welcome_due: bool = False
    explanation: str = ""
    reason: str = ""  # of a suppression
    scope: str = ""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the stream demands."""

    explicit: bool = True
    soft_opt_in: bool = False
    double_opt_in: bool = False
    categories: tuple[str, ...] = ()
    max_inactive_months: int = 0


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A reading of the history on which a mail might rest."""

    act: Act
    since: datetime
    confirmed: bool
    open_request: bool
    comes_back: bool
    by_person: bool
    renewed: bool = False  # by an act of coming back that has no words of its own
    greeted: bool = False  # the person came back so, by a link in a mail of the sender's


def years_later(moment, months):
    """A1: on the calendar, in UTC; 29 February becomes the 28th."""
    moment = moment.astimezone(UTC)
    count = moment.year * 12 + moment.month - 1 + months
    year, month = count // 12, count % 12 + 1
    last = calendar.monthrange(year, month)[1]
    return moment.replace(year=year, month=month, day=min(moment.day, last))


def may_mail(history, policy, now):
    """Whether a bulk mail may go to this person now, and what would be true reasons if not."""
    erased = [act for act in history if act.kind == "erased"]
    remembered = _after_erasures(history)
    claims = _claims(remembered)
    left = max(
        (a.at for a in remembered if a.kind == "withdrawn" and not a.everything), default=None
    )
    blocks = _blocks(history)
    standing = [claim for claim in claims if _has_substance(claim, policy) and claim.since < now]
    reasons = set()
    for (_, why), since in blocks.items():
        if not any(claim.since > since and _lifts_block(claim, why) for claim in standing):
            reasons.add("erased" if why == "erased" else "suppressed")
    if erased:
        when = max(act.at for act in erased)
        if not any(c.by_person and when < c.since for c in standing):
            reasons.add("erased")
    if left and not any(c.since > left and _is_proven_return(c) for c in standing):
        reasons.add("withdrawn")
    floor = max(
        [*blocks.values(), *(a.at for a in erased), *([left] if left else [])], default=None
    )
    fresh = [claim for claim in claims if floor is None or claim.since > floor]
    lacks = [_lacks(claim, policy, now, remembered, left) for claim in fresh]
    if not lacks:
        reasons.add("no-consent")
    elif all(lacks):
        reasons |= set().union(*lacks)
    return not reasons, reasons


def _after_erasures(history):
    """JU-24, B4: an erasure takes what was recorded before it; evidence may have to stay."""
    kept = []
    for act in history:
        if act.kind == "erased" and act.scope == "all":
            kept = []
        elif act.kind == "erased":
            kept = [a for a in kept if a.kind in AGREEING | {"withdrawn", "welcomed"}]
        kept.append(act)
    return kept


def _claims(history):
    """Every act of agreeing, and what later acts without words of their own make of it."""
    claims = []
    for act in history:
        if act.kind not in AGREEING or not _says_to_what(act):
            continue
        claims.append(_as_said(act))
        for nod in _nods(history, "confirmed", act):
            claims.append(_nodded(act, nod))
    for nod in [a for a in history if a.kind == "resubscribed" and not _says_to_what(a)]:
        for claim in tuple(claims):
            about = nod.source in ("", claim.act.source) and claim.act.at <= nod.at
            if about and not claim.open_request and claim.since <= nod.at and not claim.renewed:
                claims.append(
                    replace(
                        claim, since=nod.at, comes_back=_is_told(nod),
                        by_person=nod.by == "recipient", renewed=True,
                        greeted=nod.by == "recipient",
                    )
                )  # fmt: skip
    return claims


def _says_to_what(act):
    return bool(act.basis) or act.kind in {"requested", "transferred"}


def _as_said(act):
    named_doi = act.basis == "double-opt-in" and act.kind in {"granted", "resubscribed"}
    when = act.confirmed_at
    if act.kind == "confirmed":
        when = act.at
    elif named_doi:
        when = act.confirmed_at or act.at
    if act.kind == "requested":
        when = None  # JU-17
    comes_back = act.kind in {"confirmed", "resubscribed"} and _is_told(act)
    return Claim(
        act=act, since=when or act.at, confirmed=when is not None,
        open_request=act.kind == "requested", comes_back=comes_back,
        by_person=act.by == "recipient",
    )  # fmt: skip


def _nods(history, kind, act):
    return [
        nod for nod in history
        if nod.kind == kind and not _says_to_what(nod)
        and nod.source in ("", act.source) and act.at <= nod.at
    ]  # fmt: skip


def _nodded(act, nod):
    return Claim(
        act=act, since=nod.at, confirmed=True, open_request=False,
        comes_back=_is_told(nod), by_person=nod.by == "recipient",
    )  # fmt: skip


def _is_told(act):
    """HR-4: what staff says of a return needs a basis and an explanation."""
    return act.by not in {"staff", "import", "mailer"} or bool(
        act.basis and act.explanation.strip()
    )


def _basis(act):
    if act.kind == "transferred":
        return "merger"
    return act.basis or ("double-opt-in" if act.kind == "requested" else "")


def _basis_of(claim):
    return _basis(claim.act)


def _has_substance(claim, policy):
    return not (_substance(claim, policy))


def _substance(claim, policy):
    """What a claim lacks that no time heals."""
    act, basis = claim.act, _basis_of(claim)
    lacks = set()
    if basis in NEVER:
        lacks.add("forbidden-source")
    elif basis not in EXPRESS | IMPLIED | {"customer"}:
        lacks.add("unverified-source")  # HS-20, HS-22, HS-24: nobody can verify it
    if basis in EXPRESS and act.text == "none":
        lacks.add("unverified-source")
    if act.text == "invalid":
        lacks.add("invalid-text")  # JU-2, JU-4, JU-5, JU-9, JU-10
    if basis == "customer" and not (act.all_three and (policy.soft_opt_in or not policy.explicit)):
        lacks.add("weak-basis")  # WP-8
    if basis in IMPLIED and policy.explicit:
        lacks.add("weak-basis")
    if act.categories and policy.categories and not set(policy.categories) <= set(act.categories):
        lacks.add("outside-scope")  # JU-14
    if claim.open_request or (policy.double_opt_in and not claim.confirmed):
        lacks.add("unconfirmed")  # JU-17
    return lacks


def _lacks(claim, policy, now, history, left):
    lacks = _substance(claim, policy)
    if claim.since >= now:
        lacks.add("no-consent")  # JU-1
    basis = _basis_of(claim)
    if basis in IMPLIED | {"customer"}:
        start = claim.act.ends_at if basis == "contract" and claim.act.ends_at else claim.act.at
        if basis == "membership":
            start = max(_uses(history), default=None)  # A2: missing is not active
        if start is None or now >= years_later(start, 24):
            lacks.add("expired")  # HS-7 to HS-10
    if policy.max_inactive_months:
        signs = [claim.since, *_signs(history), *([claim.act.used_at] if claim.act.used_at else [])]
        if now >= years_later(max(signs), policy.max_inactive_months):
            lacks.add("dormant")  # WP-3, C1
    welcomed = [a.at for a in history if a.kind == "welcomed"]
    greeted = claim.greeted or any(left is None or at > left for at in welcomed)
    if claim.act.welcome_due and not greeted:
        lacks.add("welcome-pending")  # JU-18, B2
    return lacks


def _real(claim):
    return not claim.open_request and _basis_of(claim) in EXPRESS | IMPLIED | {"customer"}


def _uses(history):
    found = [c.act.used_at for c in _claims(history) if c.act.used_at and _is_of_person(c)]
    return found + [a.used_at for a in history if a.kind == "engaged" and a.used_at]


def _is_of_person(claim):
    return _basis_of(claim) in EXPRESS | IMPLIED | {"customer"}


def _signs(history):
    claims = [claim for claim in _claims(history) if _real(claim)]
    signs = [claim.since for claim in claims]
    signs += [claim.act.used_at for claim in claims if claim.act.used_at]
    for act in history:
        if act.kind == "engaged":
            signs += [act.at] + ([act.used_at] if act.used_at else [])
    return signs


def _is_proven_return(claim):
    """HR-1, HR-4, X6: the person's own act, or one that staff can prove."""
    if not claim.comes_back or claim.by_person:
        return claim.comes_back
    return _basis_of(claim) in EXPRESS and claim.act.text == "valid"


def _lifts_block(claim, why):
    """E2, E4: what a return overcomes."""
    if why == "unsubscribed":
        return _is_proven_return(claim)
    if why == "complaint":
        return claim.comes_back and claim.by_person
    if why in {"hard-bounce", "soft-bounces"}:
        return claim.by_person and claim.confirmed
    if why == "erased":
        return claim.by_person
    return False  # set by hand: only by hand


def _blocks(history):
    """What is suppressed, by scope and reason, with its latest time."""
    since, lifted = {}, {}
    for act in history:
        key = _block(act)
        if key:
            since[key] = max(act.at, since.get(key, act.at))
        elif act.kind == "suppression-lifted":
            for known in since:
                if act.scope in ("", known[0]) and act.reason in ("", known[1]):
                    lifted[known] = max(act.at, lifted.get(known, act.at))
    return {
        key: at for key, at in since.items() if key not in lifted or lifted[key] < at
    }  # fmt: skip


def _block(act):
    if act.kind == "withdrawn" and act.everything:
        return "bulk", "unsubscribed"
    if act.kind == "complained":
        return "bulk", "complaint"
    if act.kind in {"suppressed", "bounced"} and act.reason:
        return act.scope or "all", act.reason
    return None
