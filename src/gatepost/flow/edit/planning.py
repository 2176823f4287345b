"""Planning: one message and its treatment become the plan of all its copies.

In: a scanned `Message`, its octets, a `Treatment`. Out: `Plan`.

Every copy gets the trace, loses the fields that must not be seen, and gets the Date and
Message-ID it lacks. Bulk copies get the list fields, and their texts links and footer. Lines
over 998 octets are made legal wherever they are (R5322-1). What is signed or encrypted keeps
its body, and so does whatever is not bulk (promise 4).

*Fails:* never for a message that `scan` made of the same octets.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gatepost.flow.edit.header import broken_signatures, fold_spans, header_spans, replaced_headers
from gatepost.flow.edit.leaf import LeafEdit, edit_leaf, legalise_leaf
from gatepost.flow.edit.leaves import body_leaves
from gatepost.flow.edit.relabel import lacks_mime_version
from gatepost.flow.edit.spans import Plan, Slot, Span, make_plan
from gatepost.flow.edit.treatment import BulkTreatment, Treatment
from gatepost.mail.lines import long_lines
from gatepost.mail.message import Message, Part

if TYPE_CHECKING:
    from mmap import mmap


def plan(message: Message, raw: "bytes | mmap", treatment: Treatment) -> Plan:
    """How to make the copies of `message`, whose octets are `raw`."""
    bulk = treatment.bulk
    sizes = _slot_sizes(bulk)
    untouchable = _untouchable(message, treatment)
    edits: dict[int, LeafEdit] = {}
    notes = broken_signatures(message, treatment)
    if bulk and not bulk.headers_only:
        edits = {} if untouchable else _leaf_edits(message, bulk, sizes)
        if not any(edit.spans for edit in edits.values()):
            notes.append(untouchable or "no text was found that takes a footer or links")
    long_headers, long_bodies, elsewhere = _find_long_lines(message)
    for part in long_bodies:
        if untouchable:
            notes.append(f"part {part.index} has long lines, which it must keep")
        elif not (part.index in edits and edits[part.index].spans):
            legal = legalise_leaf(message, part)
            known = edits.setdefault(part.index, LeafEdit())
            known.labels += legal.labels
            known.spans += legal.spans
            known.notes += legal.notes
    if elsewhere:
        notes.append("text outside the parts has lines that are too long, and keeps them")
    spans = _ordered_spans(message, treatment, edits)
    edited = sorted(span.offset for span in spans if span.delete)
    for part in long_headers:
        if part.parent < 0 or not untouchable:
            folds, ugly = fold_spans(message, part, edited)
            spans += folds
            notes += ugly
    notes += [note for edit in edits.values() for note in edit.notes]
    replaced = replaced_headers(message, treatment)
    return make_plan(raw, spans, sizes, notes=notes, replaced_headers=replaced)


def _untouchable(message: Message, treatment: Treatment) -> str:
    """Why no body may be changed, "" if they may be."""
    if treatment.keep_signatures:
        return "the message keeps the signatures it came with: headers only"
    if message.must_keep_its_body:
        return "the message is signed, encrypted or too deep: headers only"
    return ""


def _slot_sizes(bulk: BulkTreatment | None) -> dict[Slot, int]:
    if bulk is None:
        return {}
    return {
        Slot.UNSUBSCRIBE: bulk.token_octets,
        Slot.PREFERENCES: bulk.token_octets,
        Slot.MAILTO: bulk.mailto_octets,
    }


def _leaf_edits(
    message: Message, bulk: BulkTreatment, sizes: dict[Slot, int]
) -> dict[int, LeafEdit]:
    return {leaf.part.index: edit_leaf(message, leaf, bulk, sizes) for leaf in body_leaves(message)}


def _ordered_spans(
    message: Message, treatment: Treatment, edits: dict[int, LeafEdit]
) -> list[Span]:
    """All spans; where several insert at one offset, in the order they must stand in."""
    labels = [span for edit in edits.values() for span in edit.labels]
    bodies = [span for edit in edits.values() for span in edit.spans]
    root = message.root
    header = header_spans(
        message,
        treatment,
        starts_body=root.body_start < root.end or bool(bodies),
        says_mime=lacks_mime_version(message, labels),
    )
    return [*labels, *header, *bodies]


def _find_long_lines(message: Message) -> tuple[list[Part], list[Part], bool]:
    """The parts with long header lines, those with long body lines, and whether there are
    long lines between the parts."""  # noqa: D205, D209
    headers: dict[int, Part] = {}
    bodies: dict[int, Part] = {}
    elsewhere = False
    for part, offset in _owners(message):
        if offset < part.body_start:
            headers[part.index] = part
        elif offset < part.end and not part.children:
            bodies[part.index] = part
        else:
            elsewhere = True
    return list(headers.values()), list(bodies.values()), elsewhere


def _owners(message: Message) -> Iterator[tuple[Part, int]]:
    starts = [part.start for part in message.parts]
    for offset, _ in long_lines(message.raw, message.header_start):
        yield message.parts[max(0, bisect_right(starts, offset) - 1)], offset
