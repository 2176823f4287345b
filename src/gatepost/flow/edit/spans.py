"""A plan as data: what is taken out of a message and put into it, and the copies that makes.

A plan is a list of spans over the original octets. What a span inserts consists of fixed
octets, slots (filled with a recipient's token) and windows (the base64 quanta that hold a
slot). Slots have a fixed size, so every copy of a plan has the same size and every octet its
fixed place; composing a copy is one join.

In: the original octets and spans. Out: `Plan`; copies (`apply`); the original (`undo`).

*Fails:* `ValueError` where spans overlap, where a value for a slot is missing, has the wrong
size or is no token, or where octets to undo are not a copy of the plan.
"""

import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmap import mmap

_TOKEN = re.compile(rb"[A-Za-z0-9_-]+")


class Slot(StrEnum):
    """A place for something that differs from copy to copy."""

    UNSUBSCRIBE = "unsubscribe"
    PREFERENCES = "preferences"
    MAILTO = "mailto"


@dataclass(frozen=True, slots=True)
class Window:
    """Base64 quanta that hold slots: `parts` are encoded together for each copy, and the
    result is broken by CRLF at the character positions `breaks`."""  # noqa: D205, D209

    parts: tuple[bytes | Slot, ...]
    breaks: tuple[int, ...]
    size: int

    def fill(self, values: Mapping[Slot, bytes]) -> bytes:
        """The encoded characters for one copy."""
        octets = b"".join([p if type(p) is bytes else values[p] for p in self.parts])  # type: ignore[index]
        text = binascii.b2a_base64(octets, newline=False)
        for at in self.breaks:
            text = text[:at] + b"\r\n" + text[at:]
        return text


Piece = bytes | Slot | Window


@dataclass(frozen=True, slots=True)
class Span:
    """At octet `offset` of the original, `delete` goes and `insert` comes."""

    offset: int
    delete: bytes
    insert: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Hole:
    """Octets of a copy that differ from copy to copy: `size` of them at `offset`."""

    offset: int
    size: int
    piece: Slot | Window


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Plan:
    """How to make copies of one message.

    `size` and `eight_bit` (whether it needs 8BITMIME) hold for every copy. `slots` gives the
    size of the values that `apply` wants. `notes` says what was left alone and why;
    `replaced_headers` are the mailer's own list fields, as (name, value). `fixed` are the
    octets before, between and after the holes, one more than there are holes.
    """

    spans: tuple[Span, ...]
    slots: Mapping[Slot, int]
    notes: tuple[str, ...]
    replaced_headers: tuple[tuple[str, str], ...]
    size: int
    eight_bit: bool
    holes: tuple[Hole, ...]
    fixed: tuple[bytes, ...]


def make_plan(
    raw: "bytes | mmap",
    spans: Iterable[Span],
    slots: Mapping[Slot, int],
    *,
    notes: Sequence[str] = (),
    replaced_headers: Sequence[tuple[str, str]] = (),
) -> Plan:
    """The plan that makes `spans` in `raw`. Spans at one offset keep their order."""
    ordered = sorted(spans, key=lambda span: span.offset)
    for one, other in pairwise(ordered):
        if one.offset + len(one.delete) > other.offset:
            raise ValueError(f"spans overlap at octet {other.offset}")
    fixed, holes, size = _lay_out(raw, ordered, slots)
    used = {slot for hole in holes for slot in _slots_of(hole.piece)}
    return Plan(
        spans=tuple(ordered),
        slots={slot: slots[slot] for slot in Slot if slot in used},
        notes=tuple(notes),
        replaced_headers=tuple(replaced_headers),
        size=size,
        eight_bit=not all(octets.isascii() for octets in fixed),
        holes=holes,
        fixed=fixed,
    )


def fill(plan: Plan, values: Mapping[Slot, bytes]) -> list[bytes]:
    """What goes into the plan's holes for one copy."""
    for slot, octets in plan.slots.items():
        value = values.get(slot, b"")
        if len(value) != octets or not _TOKEN.fullmatch(value):
            raise ValueError(f"the {slot} slot takes a token of {octets} octets")
    return [
        piece.fill(values) if type(piece := hole.piece) is Window else values[piece]  # type: ignore[index]
        for hole in plan.holes
    ]


def compose(plan: Plan, filled: Sequence[bytes], before: bytes = b"") -> bytes:
    """A copy from what `fill` returned, behind `before`."""
    pieces = [before] * (2 * len(filled) + 2)
    pieces[1::2] = plan.fixed
    pieces[2::2] = filled
    return b"".join(pieces)


def apply(plan: Plan, values: Mapping[Slot, bytes]) -> bytes:
    """One recipient's copy; `values` holds at least the tokens for `plan.slots`."""
    return compose(plan, fill(plan, values))


def undo(plan: Plan, copy: bytes) -> bytes:
    """The original octets, from a copy that `apply` made."""
    if len(copy) != plan.size:
        raise ValueError("these octets are not a copy of this plan")
    pieces: list[bytes] = []
    here = there = 0  # in the copy, in the original
    for span in plan.spans:
        kept = span.offset - there
        pieces += copy[here : here + kept], span.delete
        here += kept + sum(_size(piece, plan.slots) for piece in span.insert)
        there = span.offset + len(span.delete)
    pieces.append(copy[here:])
    return b"".join(pieces)


def _lay_out(
    raw: "bytes | mmap", spans: Sequence[Span], slots: Mapping[Slot, int]
) -> tuple[tuple[bytes, ...], tuple[Hole, ...], int]:
    fixed: list[bytes] = []
    holes: list[Hole] = []
    run: list[bytes] = []
    size = there = 0
    for span in spans:
        run.append(raw[there : span.offset])
        size += span.offset - there
        there = span.offset + len(span.delete)
        for piece in span.insert:
            if isinstance(piece, bytes):  # all but a few
                octets = len(piece)
                run.append(piece)
            else:
                octets = _size(piece, slots)
                fixed.append(b"".join(run))
                run = []
                holes.append(Hole(size, octets, piece))
            size += octets
    run.append(raw[there:] if there else raw[:])
    fixed.append(b"".join(run))
    return tuple(fixed), tuple(holes), size + len(raw) - there


def _size(piece: Piece, slots: Mapping[Slot, int]) -> int:
    if isinstance(piece, Slot):
        return slots[piece]
    return len(piece) if isinstance(piece, bytes) else piece.size


def _slots_of(piece: Slot | Window) -> list[Slot]:
    if isinstance(piece, Slot):
        return [piece]
    return [part for part in piece.parts if isinstance(part, Slot)]
