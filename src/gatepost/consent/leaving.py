"""Whether a person has left, and since when: for whoever records facts, not for decisions.

In: a `Person` as looked up for one stream of one sender. A withdrawal that was followed by a
documented return is history; one that nothing lifted stands.
"""

from datetime import datetime

from gatepost.consent.standing import Person

UNSUBSCRIBED = "unsubscribed"


def left_at(person: Person) -> datetime | None:
    """When the person withdrew for good, from the stream or from everything; else `None`."""
    said = [person.standing.withdrawn_at]
    said += [one.since for one in person.suppressions if one.reason == UNSUBSCRIBED]
    latest = max((moment for moment in said if moment), default=None)
    if latest is None:
        return None
    returned = any(
        grant.lifts_withdrawal and grant.effective_at > latest
        for grant in person.standing.evidence()
    )
    return None if returned else latest


def has_left(person: Person) -> bool:
    """Whether a withdrawal from the stream is the last thing that happened to it.

    In doubt no: a withdrawal that is recorded twice does no harm, one that is missing does.
    """
    withdrawn_at = person.standing.withdrawn_at
    return withdrawn_at is not None and _nothing_since(person, withdrawn_at)


def has_left_everything(person: Person) -> bool:
    """Whether unsubscribing from everything is the last thing that happened; in doubt no."""
    said = [one.since for one in person.suppressions if one.reason == UNSUBSCRIBED]
    return bool(said) and _nothing_since(person, max(said))


def _nothing_since(person: Person, moment: datetime) -> bool:
    return all(max(grant.at, grant.effective_at) < moment for grant in person.standing.grants)
