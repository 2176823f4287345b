"""What the evidence on record is worth for one message at one moment.

In: a `Case`. Out: a `Weighing`: the best grant that qualifies or, where none does, the grant
that comes nearest and what it lacks; and what stands against mailing (a withdrawal,
suppressions, an erasure).

Three things are kept apart. A grant must be newer than whatever was said against mailing
before it. A withdrawal is lifted only by an act of coming back that would itself carry the
mail, were it fresh: an unconfirmed, forbidden or out-of-scope return lifts nothing. And a
grant has a defect or none, found by one ordered table.

*Fails:* never; an unknown basis is evidence that nobody can verify.
*Known limits:* a stream without categories is for any consent, also for one that was limited
to some: only a declared category can be outside a scope.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from gatepost.consent.bases import Basis, Strength
from gatepost.consent.evidence import TextState
from gatepost.consent.scope import is_covered
from gatepost.consent.standing import Grant, Standing, Suppression
from gatepost.flow.decide.case import Case
from gatepost.mail.verdict import Reason

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
_BOUNCES = frozenset({"hard-bounce", "soft-bounces"})


@dataclass(slots=True)  # many are made: freezing would treble the price of one
class Weighing:
    """The evidence for one case, weighed.

    `grant` qualifies where `lack` is `None`; otherwise it is the one that comes nearest, or
    `None` where there is nothing at all.
    """

    grant: Grant | None
    basis: Basis | None
    lack: Reason | None
    withdrawn_at: datetime | None = None  # of a withdrawal that nothing lifts
    suppression: Suppression | None = None  # of scope "bulk", that nothing overcomes
    erased_at: datetime | None = None  # of an erasure after which the person did not return

    @property
    def since(self) -> datetime | None:
        """The time of the grant, if there is one."""
        return self.grant.effective_at if self.grant else None


def weigh(case: Case) -> Weighing:
    """The evidence for `case`, weighed; for bulk mail only."""
    standing, person = case.person.standing, case.person
    evidence = standing.evidence()
    if standing.withdrawn_at is None and person.erased_at is None and not person.suppressions:
        return Weighing(*_best(evidence, case))  # nothing stands against it: the usual case
    return Weighing(
        *_best(_fresh(evidence, case), case),
        withdrawn_at=_withdrawn_at(standing, evidence, case),
        suppression=suppression_in(case, "bulk"),
        erased_at=_erased_at(person.erased_at, evidence, case),
    )


def qualifying(case: Case) -> list[Grant]:
    """Every grant that would carry the mail, were nothing else against it."""
    fresh = _fresh(case.person.standing.evidence(), case)
    return [one for one in fresh if _lack_of(one, case.bases.find(one.basis), case) is None]


def _fresh(evidence: tuple[Grant, ...], case: Case) -> tuple[Grant, ...]:
    """The grants that are newer than whatever was said against mailing."""
    person = case.person
    against = [one.since for one in person.suppressions]
    against += [one for one in (person.standing.withdrawn_at, person.erased_at) if one]
    if not against:
        return evidence
    floor = max(against)
    return tuple(grant for grant in evidence if grant.effective_at > floor)


def suppression_in(case: Case, scope: str) -> Suppression | None:
    """The latest suppression of that scope which no later act of the person overcomes."""
    if not case.person.suppressions:
        return None
    holding = [
        one for one in case.person.suppressions if one.scope == scope and not _overcome(one, case)
    ]
    return max(holding, key=lambda one: one.since, default=None)


def _overcome(suppression: Suppression, case: Case) -> bool:
    """Whether a later return counts for more, for this stream alone (HR-7, E2, E4).

    Unsubscribing from everything yields to any return that counts; a complaint or an erasure
    to the person alone; a bounce to a confirmation, which shows that mail arrives. What
    staff suppressed by hand, only staff can lift.
    """
    returns = (
        grant
        for grant in case.person.standing.evidence()
        if suppression.since < grant.effective_at and _carries(grant, case)
    )
    if suppression.reason == "unsubscribed":
        return any(_is_return(grant, case) for grant in returns)
    if suppression.reason == "complaint":
        return any(grant.lifts_withdrawal and grant.own_act for grant in returns)
    if suppression.reason in _BOUNCES:
        return any(grant.own_act and grant.confirmed_at is not None for grant in returns)
    if suppression.reason == "erased":
        return any(grant.own_act for grant in returns)
    return False


def _withdrawn_at(standing: Standing, evidence: tuple[Grant, ...], case: Case) -> datetime | None:
    withdrawn_at = standing.withdrawn_at
    if withdrawn_at is None:
        return None
    lifted = any(
        grant.effective_at > withdrawn_at and _is_return(grant, case) and _carries(grant, case)
        for grant in evidence
    )
    return None if lifted else withdrawn_at


def _erased_at(
    erased_at: datetime | None, evidence: tuple[Grant, ...], case: Case
) -> datetime | None:
    """When the person was erased for good: anybody can type their address into a form (JU-17)."""
    if erased_at is None:
        return None
    returned = any(
        grant.own_act and grant.effective_at > erased_at and _carries(grant, case)
        for grant in evidence
    )
    return None if returned else erased_at


# --- the clocks that run out ---


def expires_at(grant: Grant, basis: Basis | None, case: Case) -> datetime | None:
    """When the relation behind a grant is over (HS-7 to HS-10, A1, A2); `None` is never.

    The clock of a relation: from the act, from a contract's known end, or from the last use of
    a service. What was never used is over from the beginning.
    """
    if basis is None or basis.lifetime is None:
        return None
    start: datetime | None = grant.at
    if basis.while_active:
        start = _last_use(case)  # missing is not active (A2)
    elif basis.from_end and grant.ends_at is not None:
        start = grant.ends_at
    elif basis.strength is Strength.EXPLICIT:
        start = grant.effective_at
    return _BEFORE_ALL if start is None else basis.lifetime.after(start)


def dormant_at(grant: Grant, case: Case) -> datetime | None:
    """When the person counts as dormant unless a sign of life comes (WP-3, C1); `None` is never.

    The clock of engagement: from the latest sign of life, which every act of theirs is, such as
    a purchase on another basis; without any, from the consent itself.
    """
    limit = case.stream.max_inactive
    if limit is None:
        return None
    standing = case.person.standing
    signs = [grant.effective_at, grant.last_activity_at, standing.engaged_at, standing.active_at]
    for other in standing.evidence():
        if not other.pending and _is_act(case.bases.find(other.basis)):
            signs += [other.effective_at, other.last_activity_at]
    return limit.after(max(sign for sign in signs if sign))


def _last_use(case: Case) -> datetime | None:
    """When the person last used the service, by whatever record says so."""
    standing = case.person.standing
    uses = [
        one.last_activity_at for one in standing.evidence() if _is_act(case.bases.find(one.basis))
    ]
    return max((use for use in (standing.active_at, *uses) if use), default=None)


def _is_act(basis: Basis | None) -> bool:
    """Whether the basis names something that the person did; a bought list does not."""
    return basis is not None and not basis.never_counts


# --- one grant -------------------------------------------------------------------------


_Rated = tuple[Grant | None, Basis | None, Reason | None]


def _best(grants: tuple[Grant, ...], case: Case) -> _Rated:
    """The grant that qualifies best or comes nearest, its basis, and what it lacks.

    Qualified before unqualified, then the nearer, the stronger basis, the later act.
    """
    best: _Rated = (None, None, Reason.NO_CONSENT)
    best_worth: tuple[int, int, datetime] | None = None
    for grant in grants:
        basis = case.bases.find(grant.basis)
        lack = _lack_of(grant, basis, case)
        strength = basis.strength.value if basis else -1
        worth = (_NEARNESS[lack], strength, grant.effective_at)
        if best_worth is None or worth > best_worth:
            best, best_worth = (grant, basis, lack), worth
    return best


def _lack_of(grant: Grant, basis: Basis | None, case: Case) -> Reason | None:
    for reason, lacks in LACKS:
        if lacks(grant, basis, case):
            return reason
    return None


def _carries(grant: Grant, case: Case) -> bool:
    """Whether the grant would do, were it fresh."""
    basis = case.bases.find(grant.basis)
    return not any(lacks(grant, basis, case) for reason, lacks in LACKS if reason not in _WEARS_OFF)


def _is_return(grant: Grant, case: Case) -> bool:
    """Whether the grant is an act of coming back: the person's own, or one that others can prove.

    What staff or an import says of a return rests on explicit consent on a valid text (X6).
    """
    if not grant.lifts_withdrawal or grant.own_act:
        return grant.lifts_withdrawal
    basis = case.bases.find(grant.basis)
    explicit = basis is not None and basis.strength is Strength.EXPLICIT
    return explicit and grant.text_state is TextState.VALID


def _is_not_yet_given(grant: Grant, _: Basis | None, case: Case) -> bool:
    return grant.effective_at >= case.now  # consent precedes the mail (JU-1)


def _is_forbidden(_: Grant, basis: Basis | None, __: Case) -> bool:
    return basis is not None and basis.strength is Strength.FORBIDDEN


def _is_unverified(grant: Grant, basis: Basis | None, _: Case) -> bool:
    if basis is None or basis.strength is Strength.UNVERIFIED:
        return True
    return basis.strength is Strength.EXPLICIT and grant.text_state is TextState.NONE


def _has_invalid_text(grant: Grant, _: Basis | None, __: Case) -> bool:
    return grant.text_state is TextState.INVALID


def _is_weak(grant: Grant, basis: Basis | None, case: Case) -> bool:
    if basis is None or basis.strength is Strength.EXPLICIT:
        return False
    if basis.strength is Strength.SOFT_OPT_IN:
        wanted = case.stream.soft_opt_in or not case.stream.requires_explicit
        return not (grant.soft_opt_in and wanted)
    return case.stream.requires_explicit


def _is_outside_scope(grant: Grant, _: Basis | None, case: Case) -> bool:
    if grant.off_channel:
        return True  # a consent for text messages is none for mail (JU-13)
    wanted = case.categories or case.stream.categories
    if not wanted or not grant.categories:
        return False
    scope = [category.casefold() for category in grant.categories]
    return not all(is_covered(category.casefold(), scope) for category in wanted)


def _is_expired(grant: Grant, basis: Basis | None, case: Case) -> bool:
    end = expires_at(grant, basis, case)
    return end is not None and case.now >= end


def _is_dormant(grant: Grant, _: Basis | None, case: Case) -> bool:
    end = dormant_at(grant, case)
    return end is not None and case.now >= end


def _is_unconfirmed(grant: Grant, _: Basis | None, case: Case) -> bool:
    return grant.pending or (case.stream.double_opt_in and grant.confirmed_at is None)


def _awaits_welcome(grant: Grant, _: Basis | None, case: Case) -> bool:
    return grant.welcome_due and not case.person.standing.is_welcomed


Lacks = Callable[[Grant, Basis | None, Case], bool]

# What a grant can lack, the gravest first: the first that holds is what it lacks, and the
# grant whose lack stands last in this table is the nearest to being eligible.
LACKS: tuple[tuple[Reason, Lacks], ...] = (
    (Reason.NO_CONSENT, _is_not_yet_given),
    (Reason.FORBIDDEN_SOURCE, _is_forbidden),
    (Reason.UNVERIFIED_SOURCE, _is_unverified),
    (Reason.INVALID_TEXT, _has_invalid_text),
    (Reason.WEAK_BASIS, _is_weak),
    (Reason.OUTSIDE_SCOPE, _is_outside_scope),
    (Reason.EXPIRED, _is_expired),
    (Reason.DORMANT, _is_dormant),
    (Reason.UNCONFIRMED, _is_unconfirmed),
    (Reason.WELCOME_PENDING, _awaits_welcome),
)
_WEARS_OFF = frozenset({Reason.EXPIRED, Reason.DORMANT, Reason.WELCOME_PENDING})
_NEARNESS: dict[Reason | None, int] = {
    **{reason: place for place, (reason, _) in enumerate(LACKS)},
    None: len(LACKS),
}
