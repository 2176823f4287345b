"""A row of an import file → the facts it is evidence of, or the reason why it is of none.

In: the values of a row, by name; what the flags of the command give by default; the streams,
sources and bases there are; the time. Out: a `Finding` with an address and facts. What is
refused says so in words for whoever has to correct the file (`RowError`).

A row says two things apart from each other: that somebody left (`withdrawal`), and that
somebody agreed (`grant`). All withdrawals of a file are recorded before any grant, so that a
row further down is seen against them.

Nothing is read into a row: a basis that is explicit consent, or whose life is counted, needs
the time of its act (HS-4, HS-7), double opt-in without a confirmation is a request (JU-17),
and who left comes back by a newer, explicit act with an explanation only (HR-4, HR-8, E5, X6).
Forbidden bases are recorded, so that the reason stands on record (HS-14). A consent is worth
what its source asked for: its channels, and its categories where the row names none (JU-13,
JU-14).

*Known limits:* a time without a zone is taken as UTC, a date as its first moment.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import NamedTuple

from gatepost.consent.bases import Bases, Basis, Strength
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.fold import DOUBLE_OPT_IN, fold
from gatepost.consent.leaving import left_at
from gatepost.consent.scope import is_covered
from gatepost.consent.standing import Person
from gatepost.mail.address import Address, AddressError, parse

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(| \d\d:\d\d(?::\d\d)?)")
_SPELT = re.compile(
    r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(\.\d+)? (?:([+-]\d{4})(?: \w+)?|UTC|GMT)",
    re.ASCII,
)
_SEPARATORS = str.maketrans({";": ",", "|": ","})
_VARYING = ("kind", "at", "text_state", "text_version", "explanation", "note")
_IDENTITY = attrgetter(
    *_VARYING[:3], *(spec.name for spec in fields(Fact) if spec.name not in _VARYING)
)
_GRANTS = frozenset({EventKind.GRANTED, EventKind.RESUBSCRIBED})


class RowError(ValueError):
    """The row is refused; the message says why and what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A source as an import sees it: whom it collects for, and what its texts are worth.

    `current` is the version that a consent without one refers to. `channels` are those that
    the consent is for, where e-mail is not among them.
    """

    name: str
    sender: str = ""
    streams: tuple[str, ...] = ()
    current: str = ""
    texts: Mapping[str, TextState] = field(default_factory=dict)
    channels: str = ""
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Against what rows are checked. `streams` maps the bulk streams to their senders."""

    now: datetime
    streams: Mapping[str, str]
    origins: Mapping[str, Origin]
    bases: Bases


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the command's flags say for rows that do not say it themselves."""

    stream: str = ""
    source: str = ""
    basis: str = ""
    at: datetime | None = None
    bought: bool = False
    informed: bool = False
    could_decline: bool = False


class Finding(NamedTuple):
    """A fact about somebody. `timeless` says that the row gave no time, and `at` is ours."""

    address: Address
    fact: Fact
    timeless: bool = False


def withdrawal(
    values: Mapping[str, str], frame: Frame, defaults: Defaults, *, left: bool = False
) -> Finding | None:
    """That the person of this row left its stream, if the row says so. Raises `RowError`.

    `left` is the word of a column that knows no time: then the time is that of the import.
    """
    text = values.get("withdrawn_at", "")
    if not text and not left:
        return None  # the usual case
    at = _time(text, "withdrawn_at", frame)
    if at is None and not left:
        return None
    stream = _stream(values, frame, defaults)
    fact = Fact(
        kind=EventKind.WITHDRAWN,
        at=at or frame.now,
        sender=frame.streams[stream],
        stream=stream,
        actor="import",
        method="import",
        note=values.get("note", ""),
    )
    return Finding(_address(values), fact, at is None)


def grant(
    values: Mapping[str, str], frame: Frame, defaults: Defaults, *, left: bool = False
) -> Finding | None:
    """What the person of this row agreed to; `None` where it only says that they left.

    Raises `RowError`.
    """
    address = _address(values)
    name = values.get("basis") or defaults.basis
    left = left or bool(values.get("withdrawn_at"))
    if left and not (name and (values.get("event_at") or values.get("confirmed_at"))):
        return None
    if not name:
        raise RowError("no basis: what did the person do? Give a basis column, or --basis")
    event_at = _time(values.get("event_at", ""), "event_at", frame) or defaults.at
    basis = _basis(name, frame)
    stream = _stream(values, frame, defaults)
    origin = _origin(values, frame, defaults, stream)
    confirmed_at = _time(values.get("confirmed_at", ""), "confirmed_at", frame)
    at = event_at or confirmed_at
    if at is None and not basis.never_counts:
        raise RowError(f"the basis {name} needs the time of the act: give event_at")
    if at is not None and confirmed_at is not None and confirmed_at < at:
        raise RowError("confirmed_at is before event_at")
    version, state = _text(values, origin)
    unconfirmed = name == DOUBLE_OPT_IN and confirmed_at is None
    fact = Fact(
        kind=EventKind.REQUESTED if unconfirmed else EventKind.GRANTED,
        at=at or frame.now,
        sender=frame.streams[stream],
        stream=stream,
        basis=name,
        source=origin.name,
        text_version=version,
        text_state=state,
        actor="import",
        method="import",
        url=values.get("url", ""),
        ip=values.get("ip", ""),
        user_agent=values.get("user_agent", ""),
        confirmed_at=confirmed_at,
        last_activity_at=_time(values.get("last_activity_at", ""), "last_activity_at", frame),
        ends_at=_end(values, basis, at),
        categories=categories_in(origin, split(values.get("categories", ""))),
        channels=origin.channels,
        bought=defaults.bought and basis.strength is Strength.SOFT_OPT_IN,
        informed=defaults.informed and basis.strength is Strength.SOFT_OPT_IN,
        could_decline=defaults.could_decline and basis.strength is Strength.SOFT_OPT_IN,
        note=values.get("note", ""),
    )
    return Finding(address, fact, at is None)


def seen_against(fact: Fact, person: Person, explanation: str, bases: Bases) -> Fact:
    """The grant as it is to be recorded about this person. Raises `RowError`.

    Somebody who left is resubscribed by a newer act, with an explanation (HR-4, E5), and only
    by explicit consent on a valid text (X6); an older act is recorded and lifts nothing, like
    one on a basis that never counts. Whom an erasure removed only returns by themselves.
    """
    if person.erased_at is not None:
        raise RowError(
            f"the person was erased on {person.erased_at:%Y-%m-%d}: only they can come back, "
            "through the sender's own form"
        )
    left, basis = left_at(person), bases.find(fact.basis)
    if left is None or fact.at <= left or fact.kind is not EventKind.GRANTED:
        return fact
    if basis is not None and basis.never_counts:
        return fact
    if not explanation.strip():
        raise RowError(
            f"the person left on {left:%Y-%m-%d}, before this: say in a note how they came back"
        )
    weakness = _weakness(fact, basis)
    if weakness:
        raise RowError(f"the person left on {left:%Y-%m-%d}, and {weakness}")
    return replace(fact, kind=EventKind.RESUBSCRIBED, explanation=explanation.strip())


def _weakness(fact: Fact, basis: Basis | None) -> str:
    """Why the act is too weak for others to bring somebody back on it; "" if it is not (X6)."""
    if basis is None or basis.strength is not Strength.EXPLICIT:
        return (
            f"the basis {fact.basis} is no explicit consent: only a form, a paper or the like "
            "that they agreed on brings them back, or they themselves, by a link or a form"
        )
    if fact.text_state is not TextState.VALID:
        return (
            f"the source {fact.source} has no valid text that could show what they agreed to: "
            "complete it with gatepost source activate, or let them come back by themselves"
        )
    return ""


def after(person: Person, fact: Fact) -> Person:
    """The person once `fact` is recorded, for who only wants to know what would happen."""
    return replace(person, standing=fold(person.standing, fact))


def identity(fact: Fact, *, timeless: bool = False) -> tuple[object, ...]:
    """Two facts with one identity are one: the second is not recorded again.

    What may change between two imports of one file does not belong to it: the source's text,
    notes, and whether the act was seen as a return. Only a text that has become valid makes
    another fact, so that a file can be imported again once its source is in order.
    """
    kind, at, text_state, *others = _IDENTITY(fact)
    return (
        EventKind.GRANTED if kind in _GRANTS else kind,
        _EARLIEST if timeless else at,
        text_state is TextState.VALID,
        *others,
    )


def split(text: str) -> tuple[str, ...]:
    """Words with commas, semicolons or bars between them."""
    if not text:
        return ()
    parts = (part.strip() for part in text.translate(_SEPARATORS).split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def read_time(text: str) -> datetime | None:
    """An ISO 8601 time, in UTC where it names no zone; `None` for "" and for zeros.

    Also `31.12.2026 10:00`, which has the day first wherever it is written, and what some
    programs make of a time by themselves: `2026-12-31 10:00:00.5 +0000 UTC`. With slashes
    nobody can tell day and month: that raises `ValueError`, as all else does.
    """
    text = text.strip()
    if not text.strip("0-: T.Z"):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.fromisoformat(_as_iso(text))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("out of range") from error


def _as_iso(text: str) -> str:
    """Other ways to write a time, put into ISO 8601; what is none stays as it is."""
    dotted = _DOTTED.fullmatch(text)
    if dotted:
        day, month, year, rest = dotted.groups()
        return f"{year}-{month:0>2}-{day:0>2}{rest}"
    spelt = _SPELT.fullmatch(text)
    if spelt:
        moment, fraction, zone = spelt.groups()
        return f"{moment}{(fraction or '')[:7]}{zone or '+0000'}"
    return text


def _time(text: str, name: str, frame: Frame) -> datetime | None:
    if not text:
        return None  # the usual case
    try:
        moment = read_time(text)
    except ValueError as error:
        raise RowError(
            f"{name} {_short(text)} is no ISO 8601 time: write 2026-03-01 or 2026-03-01T10:00:00Z"
        ) from error
    if moment is not None and moment > frame.now:
        raise RowError(f"{name} {_short(text)} is in the future")
    if moment is not None and moment < _EARLIEST:
        raise RowError(f"{name} {_short(text)} is before there was mail")
    return moment


def _end(values: Mapping[str, str], basis: Basis, at: datetime | None) -> datetime | None:
    """When a contract ends, which may lie ahead (A1); for every other basis nothing."""
    text = values.get("ends_at", "")
    if not text:
        return None
    if not basis.from_end:
        raise RowError(f"ends_at belongs to a contract, not to the basis {basis.name}")
    try:
        moment = read_time(text)
    except ValueError as error:
        raise RowError(f"ends_at {_short(text)} is no ISO 8601 time: write 2026-03-01") from error
    if moment is not None and at is not None and moment < at:
        raise RowError("ends_at is before event_at")
    return moment


def _address(values: Mapping[str, str]) -> Address:
    try:
        return parse(values["address"])
    except AddressError as error:
        raise RowError(f"no address: {error}") from error


def _stream(values: Mapping[str, str], frame: Frame, defaults: Defaults) -> str:
    name = values.get("stream") or defaults.stream
    if not name:
        raise RowError("no stream: give a stream column, or --stream")
    if name not in frame.streams:
        raise RowError(f"no bulk stream is named {_short(name)}: there are {_list(frame.streams)}")
    return name


def _basis(name: str, frame: Frame) -> Basis:
    basis = frame.bases.find(name)
    if basis is None:
        raise RowError(f"unknown basis {_short(name)}: docs/commands.md lists them")
    return basis


def _origin(values: Mapping[str, str], frame: Frame, defaults: Defaults, stream: str) -> Origin:
    name = values.get("source") or defaults.source
    if not name:
        raise RowError("no source: give a source column, or --source")
    origin = frame.origins.get(name)
    if origin is None:
        raise RowError(f"there is no source {_short(name)}: add it with gatepost source add")
    problem = misuse(origin, stream, frame.streams[stream])
    if problem:
        raise RowError(problem)
    return origin


def misuse(origin: Origin, stream: str, sender: str) -> str:
    """Why a consent from `origin` cannot be one for `stream`; "" if it can (JU-12, JU-31)."""
    if origin.sender and origin.sender != sender:
        return f"the source {origin.name} collects for {origin.sender}, not for {sender}"
    if origin.streams and stream not in origin.streams:
        return f"the source {origin.name} collects for {_list(origin.streams)}, not for {stream}"
    return ""


def categories_in(origin: Origin, named: tuple[str, ...]) -> tuple[str, ...]:
    """The categories of a consent from `origin`: those that were named, else the source's.

    Raises `RowError` for more than the source asks for (JU-14).
    """
    if not named or not origin.categories:
        return named or origin.categories
    scope = [category.casefold() for category in origin.categories]
    beyond = [one for one in named if not is_covered(one.casefold(), scope)]
    if beyond:
        raise RowError(
            f"the source {origin.name} collects for the categories {_list(origin.categories)}, "
            f"not for {_list(tuple(beyond))}"
        )
    return named


def _text(values: Mapping[str, str], origin: Origin) -> tuple[str, TextState]:
    version = values.get("text_version") or origin.current
    if version and version not in origin.texts:
        raise RowError(f"the source {origin.name} has no text version {_short(version)}")
    return version, origin.texts.get(version, TextState.NONE)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _list(names: "Mapping[str, str] | tuple[str, ...]") -> str:
    return ", ".join(sorted(names)) or "none"
