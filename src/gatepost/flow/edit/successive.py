"""Two plans in a row made one: edits of a plan's copies become edits of the original.

In: a plan, and spans over the octets of its copies, which tear no hole. Out: the plan that
does both, with spans over the original, so that it can be applied, signed and undone like any
other.

*Fails:* `ValueError` where the later spans overlap each other.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gatepost.flow.edit.spans import Piece, Plan, Slot, Span, compose, make_plan, undo


def sample_of(plan: Plan) -> bytes:
    """A copy with the letter A in its holes: what the later spans are spans over."""
    return compose(plan, [b"A" * hole.size for hole in plan.holes])


def then(plan: Plan, later: Sequence[Span], notes: Sequence[str] = ()) -> Plan:
    """`plan`, and after it `later`."""
    sample = sample_of(plan)
    joined = _Joining(plan, sample, sorted(later, key=lambda span: span.offset)).spans()
    return make_plan(
        undo(plan, sample),
        joined,
        plan.slots,
        notes=(*plan.notes, *notes),
        replaced_headers=plan.replaced_headers,
    )


@dataclass(slots=True)
class _Cluster:
    """Octets [start, end) of the copy in which spans meet: of the plan, and later ones."""

    start: int
    end: int
    early: list[tuple[int, int, bytes]]  # in the copy from, to; and what the original had there
    late: list[Span]


class _Joining:
    def __init__(self, plan: Plan, sample: bytes, later: Sequence[Span]) -> None:
        self._plan = plan
        self._sample = sample
        self._later = later

    def spans(self) -> Iterator[Span]:
        """One span per cluster, over the original."""
        shift = 0  # from a place in the copy to the same place in the original
        for cluster in self._clusters():
            deleted = self._original(cluster)
            inserted = tuple(self._inserted(cluster))
            yield Span(cluster.start + shift, deleted, inserted)
            shift += len(deleted) - (cluster.end - cluster.start)

    def _clusters(self) -> list[_Cluster]:
        found: list[_Cluster] = []
        for start, end, item in sorted(self._places(), key=lambda place: place[:2]):
            if not found or start > found[-1].end:
                found.append(_Cluster(start, end, [], []))
            cluster = found[-1]
            cluster.end = max(cluster.end, end)
            if isinstance(item, Span):
                cluster.late.append(item)
            else:
                cluster.early.append((start, end, item))
        return found

    def _places(self) -> Iterator[tuple[int, int, bytes | Span]]:
        """Where in the copy each span stands; a span of the plan as what it deleted."""
        shift = 0
        for span in self._plan.spans:
            start = span.offset + shift
            octets = sum(self._size(piece) for piece in span.insert)
            yield start, start + octets, span.delete
            shift += octets - len(span.delete)
        for span in self._later:
            yield span.offset, span.offset + len(span.delete), span

    def _original(self, cluster: _Cluster) -> bytes:
        pieces: list[bytes] = []
        at = cluster.start
        for start, end, deleted in cluster.early:
            pieces += self._sample[at:start], deleted
            at = end
        return b"".join([*pieces, self._sample[at : cluster.end]])

    def _inserted(self, cluster: _Cluster) -> Iterator[Piece]:
        at = cluster.start
        for span in cluster.late:
            if span.offset < at:
                raise ValueError(f"spans overlap at octet {at} of the copy")
            yield from pieces_between(self._plan, self._sample, at, span.offset)
            yield from span.insert
            at = span.offset + len(span.delete)
        yield from pieces_between(self._plan, self._sample, at, cluster.end)

    def _size(self, piece: Piece) -> int:
        if isinstance(piece, Slot):
            return self._plan.slots[piece]
        return len(piece) if isinstance(piece, bytes) else piece.size


def pieces_between(plan: Plan, sample: bytes, start: int, end: int) -> Iterator[Piece]:
    """The octets [start, end) of a copy, the holes in them open."""
    at = start
    first = bisect_left(plan.holes, start, key=lambda hole: hole.offset)
    for hole in plan.holes[first:]:
        if hole.offset >= end:
            break
        if sample[at : hole.offset]:
            yield sample[at : hole.offset]
        yield hole.piece
        at = hole.offset + hole.size
    if sample[at:end]:
        yield sample[at:end]
