"""Standing: what the ledger says today about an address for a stream.

Standing is derived from events and kept beside them so that a decision is one look-up; it
can be rebuilt from the events at any time and must come out the same (`fold` depends on the
times of the acts, not on the order of recording).

A standing forgets nothing that a decision may need: a withdrawal does not remove the grants
before it, it only outweighs them. So `now`, the stream's policy and the withdrawal meet in
one place, the decision, and not in the order in which facts happened to come in.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from gatepost.consent.evidence import TextState


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One piece of evidence that speaks for mailing: a basis with its circumstances.

    A grant without a basis is a bare act: the person confirmed or came back without saying
    to what. It counts through the grants and requests it refers to (`Standing.evidence`).
    """

    basis: str
    at: datetime
    first_at: datetime | None = None  # of the earliest like it, where that is another
    source: str = ""
    text_version: str = ""
    text_state: TextState = TextState.NONE
    confirmed_at: datetime | None = None
    renewed_at: datetime | None = None  # a later bare act of coming back stands behind it
    last_activity_at: datetime | None = None
    ends_at: datetime | None = None  # of a contract: its time runs from there (A1)
    categories: tuple[str, ...] = ()
    soft_opt_in: bool = False  # bought, informed and could decline: all three
    welcome_due: bool = False
    pending: bool = False  # asked for by double opt-in; counts when confirmed, never before
    lifts_withdrawal: bool = False  # the person came back, or staff documented that they did
    own_act: bool = False  # done by the person, not by staff or an import
    off_channel: bool = False  # given for other channels than e-mail (JU-13)

    @property
    def effective_at(self) -> datetime:
        """When it took effect: the confirmation rather than the sign-up (JU-17)."""
        return self.renewed_at or self.confirmed_at or self.at


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All that counts for one address and one stream. Times are UTC, the latest of each."""

    grants: tuple[Grant, ...] = ()
    requested_at: datetime | None = None
    withdrawn_at: datetime | None = None
    engaged_at: datetime | None = None  # a sign of life (WP-3)
    active_at: datetime | None = None  # use of the service, for memberships (HS-10)
    welcomed_at: datetime | None = None  # the welcome mail left (JU-18)

    def evidence(self) -> tuple[Grant, ...]:
        """The grants with every bare act applied to what it refers to.

        A bare act refers to what its source recorded before it; without a source, to everything
        that was there. Who confirmed, left and came back, came back to what was confirmed.
        """
        bare = [grant for grant in self.grants if not grant.basis]
        if not bare:
            return self.grants  # the usual case
        full = [grant for grant in self.grants if grant.basis]
        confirmations = [act for act in bare if act.confirmed_at is not None]
        returns = [act for act in bare if act.confirmed_at is None]
        known = full + _all_applied(confirmations, full)
        return tuple(known + _all_applied(returns, known))

    @property
    def is_welcomed(self) -> bool:
        """Whether the welcome mail has left since the person last withdrew."""
        return self.welcomed_at is not None and (
            self.withdrawn_at is None or self.welcomed_at > self.withdrawn_at
        )


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


def with_denials(person: Person, lookalike: Person) -> Person:
    """`person`, bound by whatever was said against mailing a `lookalike` of the address.

    What speaks for mailing one of them does not count for the other.
    """
    left = [person.standing.withdrawn_at, lookalike.standing.withdrawn_at]
    gone = [person.erased_at, lookalike.erased_at]
    return Person(
        person.subject,
        replace(person.standing, withdrawn_at=max(filter(None, left), default=None)),
        (*person.suppressions, *lookalike.suppressions),
        max(filter(None, gone), default=None),
    )


def _all_applied(acts: list[Grant], grants: list[Grant]) -> list[Grant]:
    return [_applied(act, grant) for act in acts for grant in grants if _refers(act, grant)]


def _refers(act: Grant, grant: Grant) -> bool:
    """Whether a bare act is about `grant`: a confirmation about a sign-up, a return about more."""
    if act.source not in ("", grant.source) or (grant.first_at or grant.at) > act.at:
        return False
    if act.confirmed_at is not None:
        return True
    # Coming back confirms no request (JU-17), and is not answered by a later confirmation.
    return not grant.pending and (grant.confirmed_at is None or grant.confirmed_at <= act.at)


def _applied(act: Grant, grant: Grant) -> Grant:
    if act.confirmed_at is not None:
        return replace(
            grant,
            confirmed_at=act.confirmed_at,
            pending=False,
            lifts_withdrawal=act.lifts_withdrawal,
            own_act=act.own_act,
        )
    return replace(
        grant,
        renewed_at=act.at,
        lifts_withdrawal=act.lifts_withdrawal,
        own_act=act.own_act,
        welcome_due=grant.welcome_due and not act.own_act,  # done by a link in a mail that came
    )
