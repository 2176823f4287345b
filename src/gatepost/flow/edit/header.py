"""Edits of header fields: trace, removals, list fields, what is missing, what is too long.

In: a `Message` and a `Treatment`. Out: spans. Fields are inserted and removed whole, never
written anew, so every other octet of the header stays (R5322-3). New fields stand at the end
of the header, the trace on top. List fields are written as octets on one line: folded or
encoded ones are no longer what RFC 2369 and RFC 8058 ask for (R8058-3, R2369-7).

*Fails:* never; values were checked when the treatment was made.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache

from gatepost.flow.edit.spans import Piece, Slot, Span
from gatepost.flow.edit.treatment import BulkTreatment, Treatment
from gatepost.mail.lines import MAX_LINE_OCTETS, long_lines
from gatepost.mail.message import Field, Message, Part

# R2369-3: none of these may come from elsewhere. List-Archive stays.
_REPLACED = frozenset({
    b"list-unsubscribe", b"list-unsubscribe-post", b"list-id", b"list-help", b"list-owner",
    b"list-post", b"list-subscribe",
})  # fmt: skip
_ADDED = _REPLACED - {b"list-owner", b"list-subscribe"}
_DKIM_NAMES = re.compile(r"(?:^|;)\s*h\s*=([^;]*)")
_DKIM_DOMAIN = re.compile(r"(?:^|;)\s*d\s*=\s*([^;\s]+)")


def header_spans(
    message: Message, treatment: Treatment, *, starts_body: bool, says_mime: bool
) -> list[Span]:
    """Everything that is done to the message's own header.

    With `starts_body` a missing empty line between header and body is put in, with
    `says_mime` a MIME-Version field.
    """
    root, raw = message.root, message.raw
    spans = [Span(0, raw[: message.header_start], (treatment.received,))]
    spans += [
        Span(field.start, raw[field.start : field.end], ())
        for field in root.fields
        if _is_removed(field, treatment)
    ]
    added: list[Piece] = []
    if root.fields and raw[root.header_end - 1 : root.header_end] != b"\n":
        added.append(b"\r\n")
    added += _missing_fields(message, treatment)
    if says_mime:
        added.append(b"MIME-Version: 1.0\r\n")
    if treatment.bulk:
        added += list_fields(treatment.bulk)
    if starts_body and not root.separated:
        added.append(b"\r\n")
    return [*spans, Span(root.header_end, b"", tuple(added))] if added else spans


def replaced_headers(message: Message, treatment: Treatment) -> list[tuple[str, str]]:
    """The mailer's own list fields that are taken out, for the record (R2369-3)."""
    return [
        (field.name.decode("ascii"), field.text)
        for field in message.root.fields
        if _is_replaced(field, treatment.bulk)
    ]


def broken_signatures(message: Message, treatment: Treatment) -> list[str]:
    """Notes on the signatures that are to be kept and break all the same.

    What they cover by name must not come or go (RFC 6376 §5.4), and list fields do both.
    """
    if not treatment.keep_signatures:
        return []
    changed = {f.name.decode("ascii") for f in message.root.fields if _is_removed(f, treatment)}
    if treatment.bulk:
        changed |= {name.decode("ascii") for name in _ADDED}
    notes = []
    for signature in message.fields("dkim-signature"):
        found, domain = _DKIM_NAMES.search(signature.text), _DKIM_DOMAIN.search(signature.text)
        covered = {name.strip().lower() for name in found.group(1).split(":")} if found else set()
        if broken := sorted(covered & changed):
            who = domain.group(1)[:100] if domain else "nobody"
            notes.append(f"the signature of {who} breaks, because it covers {', '.join(broken)}")
    return notes


@lru_cache(maxsize=64)  # the same in all mail of a stream
def list_fields(bulk: BulkTreatment) -> tuple[Piece, ...]:
    """The list fields of a bulk copy, each once and on one line (R8058-1, R2369-2)."""
    unsubscribe: list[Piece] = [
        b"List-Unsubscribe: <" + bulk.unsubscribe_base.encode(),
        Slot.UNSUBSCRIBE,
        b">",
    ]
    if bulk.mailto:  # after https, because clients take the first they know (R8058-16)
        mailto = b", <mailto:" + _escaped(bulk.mailto) + b"?subject="
        unsubscribe += [mailto, Slot.MAILTO, b">"]
    fields: list[Piece] = [
        *unsubscribe,
        b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        b"List-Id: " + bulk.list_id_value.encode() + b"\r\n",
    ]
    if bulk.help_url:
        fields.append(b"List-Help: <" + bulk.help_url.encode() + b">\r\n")
    else:
        base = bulk.preferences_base.encode()
        fields += [b"List-Help: <" + base, Slot.PREFERENCES, b">\r\n"]
    fields.append(b"List-Post: NO\r\n")  # R2369-5
    if bulk.feedback_id:
        fields.append(b"Feedback-ID: " + bulk.feedback_id.encode() + b"\r\n")
    return tuple(fields)


def fold_spans(message: Message, part: Part, edited: Sequence[int]) -> tuple[list[Span], list[str]]:
    """Folds for the header lines of `part` that are too long, and notes on the ugly ones.

    Fields with one of the offsets `edited` (in rising order) in them are left out.
    """
    spans: list[Span] = []
    notes: list[str] = []
    for field in part.fields:
        if bisect_left(edited, field.start) != bisect_left(edited, field.end):
            continue
        for start, end in long_lines(message.raw, field.start, field.end):
            least = field.value_start - start + 1 if start == field.start else 1
            for at, insert in _folds(message.raw[start:end], least):
                spans.append(Span(start + at, b"", (insert,)))
                if insert == _INTO_WORD:
                    notes.append(f"a {field.name.decode('ascii')} field was folded in a word")
    return spans, notes


_AT_BLANK = b"\r\n"
_AT_COMMA = b"\r\n\t"
_INTO_WORD = b"\r\n "


def _folds(line: bytes, least: int) -> Iterator[tuple[int, bytes]]:
    """Where to fold one line: before a blank, else after a comma or semicolon, else in a word."""
    at = 0
    while len(line) - at > MAX_LINE_OCTETS - 1:
        low, high = max(at + 2, least), at + MAX_LINE_OCTETS - 2
        blank = max(line.rfind(b" ", low, high), line.rfind(b"\t", low, high))
        comma = max(line.rfind(b",", low, high), line.rfind(b";", low, high)) + 1
        if blank >= 0 and line[blank:high].strip(b" \t"):
            cut, insert = blank, _AT_BLANK
        elif comma:
            cut, insert = comma, _AT_COMMA
        else:
            cut, insert = high, _INTO_WORD
            while cut > low and line[cut] & 0xC0 == 0x80:  # not inside a UTF-8 character
                cut -= 1
        yield cut, insert
        at = cut


def _is_removed(field: Field, treatment: Treatment) -> bool:
    name = field.name
    if treatment.removes(name) or _is_replaced(field, treatment.bulk):
        return True
    if name == b"dkim-signature" and not treatment.keep_signatures:
        domain = _DKIM_DOMAIN.search(field.text)
        return bool(domain) and domain.group(1).lower() in treatment.own_domains  # type: ignore[union-attr]
    if name == b"date":
        return bool(treatment.date) and not field.text
    return name == b"message-id" and bool(treatment.message_id) and not field.text


def _is_replaced(field: Field, bulk: BulkTreatment | None) -> bool:
    if bulk is None:
        return False
    return field.name in _REPLACED or (field.name == b"feedback-id" and bool(bulk.feedback_id))


def _missing_fields(message: Message, treatment: Treatment) -> list[Piece]:
    """Date and Message-ID where there is none worth the name (RFC 6409 §8.2, §8.3)."""
    wanted = (("Date", treatment.date), ("Message-ID", treatment.message_id))
    return [
        name.encode() + b": " + value + b"\r\n"
        for name, value in wanted
        if value and not any(text for text in message.values(name))
    ]


def _escaped(address: str) -> bytes:
    """An address fit for a mailto URL (RFC 6068 §2)."""
    return re.sub(rb"[^A-Za-z0-9@._~!$'*+-]", lambda m: b"%%%02X" % m.group()[0], address.encode())
