"""What the preferences page shows of a person's standing, and what saving it changes.

In: a stream, a `Person`, what the form asked for. Out: on or off, and the streams to join and
to leave. No I/O. A stream counts as on if some evidence for it is newer than whatever was said
against it, or if it is only observed and thus mailed without evidence.

*Known limits:* whether evidence is still good enough is decided per mail, not here: an expired
consent is shown as on, as the person left it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gatepost.consent.bases import BUILT_IN
from gatepost.consent.leaving import has_left_everything
from gatepost.consent.standing import STRANGER, Grant, Person
from gatepost.mail.stream import Stream

EVERYTHING = ""
UNDO_WITHIN = timedelta(hours=1)

_LIFTED_BY_MAIL = frozenset({"complaint", "hard-bounce", "soft-bounces", "erased"})
_WORTHLESS = frozenset(row.name for row in BUILT_IN if row.never_counts)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the form asked for: the streams it showed, those ticked, or nothing at all.

    `back` are the streams whose withdrawal is to be undone; with it nothing else is asked for.
    """

    shown: frozenset[str] = frozenset()
    ticked: frozenset[str] = frozenset()
    nothing: bool = False
    back: frozenset[str] = frozenset()


def is_on(stream: Stream, person: Person) -> bool:
    """Whether the person gets the stream, as far as it is for them to say."""
    floor = _last_word_against(person)
    if floor is None and stream.observe:
        return True
    return any(
        floor is None or (grant.effective_at > floor and grant.lifts_withdrawal)
        for grant in person.standing.evidence()
        if _counts(grant, stream)
    )


def must_confirm(stream: Stream, person: Person) -> bool:
    """Whether an address typed into a form is not enough, and its owner must confirm by mail.

    After a complaint, a bounce or an erasure that holds for every stream: only the person, or a
    mail that arrives, can lift them (E4).
    """
    if stream.double_opt_in or person.erased_at is not None:
        return True
    return any(one.reason in _LIFTED_BY_MAIL for one in person.suppressions)


def may_join(stream: Stream, person: Person, now: datetime) -> bool:
    """Whether a tick on the page is enough to get the stream.

    With double opt-in it is not, except as the undoing of a withdrawal within the hour: the
    page is reached by a link that may have been forwarded with the newsletter.
    """
    return not stream.double_opt_in or may_undo(stream, person, now)


def may_undo(stream: Stream, person: Person, now: datetime) -> bool:
    """Whether a withdrawal is so fresh that coming back restores what was there before."""
    withdrawn_at = _last_word_against(person)
    if withdrawn_at is None or withdrawn_at < now - UNDO_WITHIN:
        return False
    return any(
        grant.basis and grant.at < withdrawn_at and _counts(grant, stream)
        for grant in person.standing.grants
    )


def is_blocked(person: Person) -> bool:
    """Whether nothing is sent whatever is ticked: bounces, or suppressed by hand."""
    return any(one.scope == "all" for one in person.suppressions)


def changes(
    streams: Sequence[Stream], persons: Mapping[str, Person], wish: Wish, now: datetime
) -> tuple[list[Stream], list[str]]:
    """The streams to join and the names of those to leave.

    Only what differs from what holds: doing it twice is doing it once.
    """
    if wish.back:
        return [
            one for one in streams if one.name in wish.back and _comes_back(one, persons, now)
        ], []
    if wish.nothing:
        done = persons and all(has_left_everything(person) for person in persons.values())
        return [], [] if done else [EVERYTHING]
    joined, left = [], []
    for stream in streams:
        person = persons.get(stream.name, STRANGER)
        wanted = stream.name in wish.ticked
        if stream.name not in wish.shown or wanted == is_on(stream, person):
            continue
        if not wanted:
            left.append(stream.name)
        elif may_join(stream, person, now):
            joined.append(stream)
    return joined, left


def unwanted(streams: Sequence[Stream], wish: Wish) -> list[str]:
    """What the person says not to want, whether or not they have it."""
    if wish.nothing:
        return [EVERYTHING]
    return [one.name for one in streams if one.name in wish.shown - wish.ticked]


def leaving(streams: Sequence[Stream], persons: Mapping[str, Person], wish: Wish) -> Wish:
    """The part of `wish` that turns nothing on: all of it, for whoever only leaves."""
    turned_on = {
        stream.name
        for stream in streams
        if stream.name in wish.ticked and not is_on(stream, persons.get(stream.name, STRANGER))
    }
    return Wish(wish.shown - turned_on, wish.ticked - turned_on, wish.nothing)


def to_ask(
    streams: Sequence[Stream], persons: Mapping[str, Person], wish: Wish, now: datetime
) -> list[Stream]:
    """The streams that were ticked and that only a confirmation by mail can turn on."""
    return [
        stream
        for stream in streams
        if stream.name in wish.ticked & wish.shown
        and not is_on(stream, persons.get(stream.name, STRANGER))
        and not may_join(stream, persons.get(stream.name, STRANGER), now)
    ]


def lost(streams: Sequence[Stream], before: Mapping[str, Person], left: Sequence[str]) -> list[str]:
    """Which streams a person no longer gets by having left `left`: what an undoing restores."""
    return [
        stream.name
        for stream in streams
        if (stream.name in left or EVERYTHING in left)
        and is_on(stream, before.get(stream.name, STRANGER))
    ]


def _comes_back(stream: Stream, persons: Mapping[str, Person], now: datetime) -> bool:
    person = persons.get(stream.name, STRANGER)
    return not is_on(stream, person) and may_undo(stream, person, now)


def _counts(grant: Grant, stream: Stream) -> bool:
    confirmed = grant.confirmed_at is not None or not stream.double_opt_in
    return confirmed and not grant.pending and grant.basis not in _WORTHLESS


def _last_word_against(person: Person) -> datetime | None:
    said = [person.standing.withdrawn_at, person.erased_at]
    said += [one.since for one in person.suppressions if one.scope == "bulk"]
    return max((moment for moment in said if moment), default=None)
