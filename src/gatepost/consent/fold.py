"""Fold facts into a standing, and write a standing down for the store.

In: a standing and one more fact. Out: the next standing. The result depends on the set of
facts alone: every part of a standing is the latest of its kind, so that folding in another
order, or the same fact twice, changes nothing. Imports may thus come late, twice, or in
slices, and a rebuild equals what grew over the years.

Of grants that a decision cannot tell apart except by their time, only the latest is kept.

*Fails:* `decode` raises `ValueError` for a text that `encode` did not write.
*Known limits:* a grant dated in the future hides an earlier one of the same kind until its
time comes; whoever records facts refuses such dates. Of two confirmed grants on one implied
basis that of the later confirmation is kept, whichever act was later.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, assert_never

from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.standing import NOTHING_KNOWN, Grant, Standing

DOUBLE_OPT_IN = "double-opt-in"
MERGER = "merger"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
BY_OTHERS = frozenset({"staff", "import", "mailer"})


def fold(standing: Standing, fact: Fact) -> Standing:
    """The standing after one more fact.

    Kinds that say nothing about consent for a stream (bounces, complaints, suppressions,
    texts shown, erasures) leave it as it is; the store keeps suppressions of their own.
    """
    match fact.kind:
        case (
            EventKind.GRANTED | EventKind.TRANSFERRED | EventKind.RESUBSCRIBED | EventKind.CONFIRMED
        ):
            return _with_grant(standing, _grant(fact))
        case EventKind.REQUESTED:
            asked = replace(standing, requested_at=_later(standing.requested_at, fact.at))
            return _with_grant(asked, _grant(fact))
        case EventKind.WITHDRAWN:
            return replace(standing, withdrawn_at=_later(standing.withdrawn_at, fact.at))
        case EventKind.ENGAGED:
            return replace(
                standing,
                engaged_at=_later(standing.engaged_at, fact.at),
                active_at=_later(standing.active_at, fact.last_activity_at),
            )
        case EventKind.WELCOMED:
            return replace(standing, welcomed_at=_later(standing.welcomed_at, fact.at))
        case (
            EventKind.BOUNCED
            | EventKind.COMPLAINED
            | EventKind.SUPPRESSED
            | EventKind.SUPPRESSION_LIFTED
            | EventKind.TEXT_SHOWN
            | EventKind.ERASED
            | EventKind.SOURCE_KEPT
            | EventKind.SENDER_REMOVED
        ):
            return standing
        case _:
            assert_never(fact.kind)


def fold_all(facts: Iterable[Fact], standing: Standing = NOTHING_KNOWN) -> Standing:
    """The standing after all `facts`, in whatever order they come."""
    for fact in facts:
        standing = fold(standing, fact)
    return standing


def _grant(fact: Fact) -> Grant | None:
    """What a fact grants; `None` where it grants nothing (HS-5: no act, no basis)."""
    kind = fact.kind
    basis = fact.basis
    if kind is EventKind.TRANSFERRED:
        basis = MERGER
    elif kind is EventKind.REQUESTED:
        basis = basis or DOUBLE_OPT_IN
    elif kind is EventKind.GRANTED and not basis:
        return None
    returns = kind in {EventKind.CONFIRMED, EventKind.RESUBSCRIBED}
    return Grant(
        basis=basis,
        at=fact.at,
        source=fact.source,
        text_version=fact.text_version,
        text_state=fact.text_state,
        confirmed_at=_confirmed_at(fact),
        last_activity_at=fact.last_activity_at,
        ends_at=fact.ends_at,
        categories=tuple(sorted(set(fact.categories))),
        soft_opt_in=fact.bought and fact.informed and fact.could_decline,
        welcome_due=fact.welcome_due,
        pending=kind is EventKind.REQUESTED,
        lifts_withdrawal=returns and _is_documented(fact),
        own_act=fact.actor == "recipient",
        off_channel=bool(fact.channels),
    )


def _confirmed_at(fact: Fact) -> datetime | None:
    if fact.kind is EventKind.REQUESTED:
        return None
    if fact.kind is EventKind.CONFIRMED:
        return fact.at
    if fact.basis == DOUBLE_OPT_IN and fact.kind is not EventKind.TRANSFERRED:
        return fact.confirmed_at or fact.at  # the act that this basis names is the confirmation
    return fact.confirmed_at


def _is_documented(fact: Fact) -> bool:
    """Whether a return may lift a withdrawal: by others only with basis and words (HR-4)."""
    return fact.actor not in BY_OTHERS or bool(fact.basis and fact.explanation.strip())


def _with_grant(standing: Standing, grant: Grant | None) -> Standing:
    if grant is None:
        return standing
    if standing is NOTHING_KNOWN:  # the usual case, a million times in an import
        return Standing(grants=(grant,))
    if not standing.grants:
        return replace(standing, grants=(grant,))
    kept = {_kind_of(known): known for known in standing.grants}
    key = _kind_of(grant)
    kept[key] = _latest(kept[key], grant) if key in kept else grant
    return replace(standing, grants=tuple(kept[key] for key in sorted(kept)))


def _kind_of(grant: Grant) -> tuple[Any, ...]:
    """Everything by which a decision could prefer one grant to another, except its time."""
    return (
        grant.basis,
        grant.source,
        grant.text_state,
        grant.categories,
        grant.confirmed_at is not None,
        grant.soft_opt_in,
        grant.welcome_due,
        grant.pending,
        grant.lifts_withdrawal,
        grant.own_act,
        grant.off_channel,
        _milliseconds(grant.ends_at) if grant.ends_at else -1,
    )


def _latest(one: Grant, other: Grant) -> Grant:
    winner = max(one, other, key=lambda grant: (grant.effective_at, grant.at, grant.text_version))
    first = min(one.first_at or one.at, other.first_at or other.at)
    activity = _later(one.last_activity_at, other.last_activity_at)
    if activity == winner.last_activity_at and first == (winner.first_at or winner.at):
        return winner
    return replace(
        winner, first_at=first if first != winner.at else None, last_activity_at=activity
    )


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)


# How a standing is written down: one JSON object with short names, what has its default left
# out, times as milliseconds since the epoch. The names are part of the store's format.
_STANDING_TIMES = {
    "r": "requested_at",
    "w": "withdrawn_at",
    "e": "engaged_at",
    "v": "active_at",
    "h": "welcomed_at",
}
_GRANT_TEXTS = {"b": "basis", "s": "source", "x": "text_version"}
_GRANT_TIMES = {
    "a": "at",
    "c": "confirmed_at",
    "l": "last_activity_at",
    "u": "ends_at",
    "y": "first_at",
}
_GRANT_FLAGS = {
    "o": "soft_opt_in",
    "d": "welcome_due",
    "p": "pending",
    "f": "lifts_withdrawal",
    "m": "own_act",
    "n": "off_channel",
}


def encode(standing: Standing) -> str:
    """The standing as compact JSON, ASCII only, equal for equal standings."""
    grants = ",".join(map(_encode_grant, standing.grants))
    parts = [f'"g":[{grants}]'] if grants else []
    parts += _encode_times(_STANDING_TIMES, standing)
    return f"{{{','.join(parts)}}}"


def _encode_grant(grant: Grant) -> str:
    parts = [
        f'"{short}":{encode_basestring_ascii(text)}'
        for short, name in _GRANT_TEXTS.items()
        if (text := getattr(grant, name))
    ]
    parts += [f'"{short}":1' for short, name in _GRANT_FLAGS.items() if getattr(grant, name)]
    parts += _encode_times(_GRANT_TIMES, grant)
    if grant.text_state is not TextState.NONE:
        parts.append(f'"t":{encode_basestring_ascii(grant.text_state.value)}')
    if grant.categories:
        parts.append(f'"k":[{",".join(map(encode_basestring_ascii, grant.categories))}]')
    return f"{{{','.join(parts)}}}"


def _encode_times(names: Mapping[str, str], of: Grant | Standing) -> list[str]:
    return [
        f'"{short}":{_milliseconds(moment)}'
        for short, name in names.items()
        if (moment := getattr(of, name)) is not None
    ]


@lru_cache(maxsize=8192)
def decode(text: str) -> Standing:
    """The standing that `encode` wrote. Raises `ValueError` for any other text."""
    try:
        values = json.loads(text)
        grants = tuple([_decode_grant(grant) for grant in values.pop("g", ())])
        times = {_STANDING_TIMES[short]: _moment(value) for short, value in values.items()}
        return Standing(grants=grants, **times)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError("the text is not that of a standing") from error


def _decode_grant(values: dict[str, Any]) -> Grant:
    arguments: dict[str, Any] = {"basis": ""}
    for short, value in values.items():
        name, read = _READ[short]
        arguments[name] = read(value)
    return Grant(**arguments)


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND


_READ: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    **{short: (name, str) for short, name in _GRANT_TEXTS.items()},
    **{short: (name, bool) for short, name in _GRANT_FLAGS.items()},
    **{short: (name, _moment) for short, name in _GRANT_TIMES.items()},
    "t": ("text_state", TextState),
    "k": ("categories", tuple),
}
