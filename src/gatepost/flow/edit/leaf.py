"""Edits of one part: placeholders, footer, and what the wire or the charset make necessary.

Theory of operation. The edits are made in the part's decoded content and handed to its
transfer encoding, which turns them into the least spans (`transfer.py`). Only where that
cannot be legal is the whole body encoded anew:

* words that the charset of a text cannot say: the text becomes UTF-8, its header says so;
* 8-bit words in a 7bit text, or lines over 998 octets: quoted-printable, and likewise.

A text that is not in its charset cannot become UTF-8; it keeps its octets, and gets the words in
the letters that are there.

HTML never needs the former: what its charset cannot say becomes a character reference.

The spans of a text follow from its octets, what its header says of them and the treatment. Where
the header stays as it is, they are kept for the next message with the same text (`alike.py`).

In: a `Message`, one of its parts, a `BulkTreatment` or none. Out: `LeafEdit`.

*Fails:* never: a part that cannot be edited safely stays as it is, and a note says why.
*Known limits:* quoted-printable or base64 that holds bare LFs keeps them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gatepost.flow.edit import wording
from gatepost.flow.edit.alike import MOST_OCTETS, Alike
from gatepost.flow.edit.html import footer_place, shown_among
from gatepost.flow.edit.leaves import PLAIN, Leaf
from gatepost.flow.edit.placeholders import find_placeholders
from gatepost.flow.edit.relabel import charset_spans, encoding_spans
from gatepost.flow.edit.spans import Slot, Span
from gatepost.flow.edit.transfer import (
    IDENTITY,
    Edit,
    Segment,
    Transfer,
    encode_base64,
    encode_quoted_printable,
    open_transfer,
    render,
    splice,
)
from gatepost.flow.edit.treatment import BulkTreatment
from gatepost.mail.charset import Charset, find_charset
from gatepost.mail.lines import long_lines
from gatepost.mail.message import Message, Part

_UTF8 = Charset("utf-8")


@dataclass(slots=True)
class LeafEdit:
    """What becomes of one part: `labels` are edits of its header, `spans` of its body."""

    labels: list[Span] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _WordEdit(NamedTuple):
    start: int
    stop: int
    words: wording.Words


class _Text(NamedTuple):
    """All that the spans of a text depend on. `octets` are the body and what follows it."""

    octets: bytes
    size: int
    media: str
    charset: str
    encoding: str
    flowed: bool
    takes_footer: bool
    bulk: BulkTreatment


_KNOWN: Alike[_Text, tuple[Span, ...]] = Alike()


def legalise_leaf(message: Message, part: Part) -> LeafEdit:
    """Encode a body anew because it has lines over 998 octets (R5322-1)."""
    transfer = _open(message, part)
    if transfer is None or part.media.startswith(("message/", "multipart/")):
        return LeafEdit(notes=[_note(part, "has lines that are too long, and must keep them")])
    return _encode_anew(message, part, transfer, [transfer.data], {})


def edit_leaf(
    message: Message, leaf: Leaf, bulk: BulkTreatment, sizes: Mapping[Slot, int]
) -> LeafEdit:
    """Placeholders and footer in a body text, with whatever else these make necessary."""
    part = leaf.part
    if part.end - part.body_start > MOST_OCTETS or not (part.separated or part.parent < 0):
        return edit_anew(message, leaf, bulk, sizes)
    text = _text_of(message, leaf, bulk)
    spans = _KNOWN.find(text)
    if spans is not None:
        return LeafEdit(spans=_moved(spans, part.body_start))
    made = edit_anew(message, leaf, bulk, sizes)
    if not made.labels and not made.notes:
        _KNOWN.keep(text, tuple(_moved(made.spans, -part.body_start)))
    return made


def edit_anew(
    message: Message, leaf: Leaf, bulk: BulkTreatment, sizes: Mapping[Slot, int]
) -> LeafEdit:
    """What `edit_leaf` gives, whatever came before."""
    part = leaf.part
    transfer, charset = _open(message, part), find_charset(part.charset)
    if not part.separated and part.parent >= 0:
        return LeafEdit(notes=[_note(part, "has no empty line after its header; left alone")])
    if transfer is None:
        return LeafEdit(notes=[_note(part, f"is not clean {part.encoding[:20]}; left alone")])
    if charset is None:
        name = part.charset[:40]
        return LeafEdit(notes=[_note(part, f"has the unknown charset {name}; left alone")])
    words = _word_edits(leaf, transfer.data, charset, bulk)
    return _Editor(message, part, transfer, charset, sizes).make(words)


def _text_of(message: Message, leaf: Leaf, bulk: BulkTreatment) -> _Text:
    part = leaf.part
    return _Text(
        message.raw[part.body_start : part.end + 2],
        part.end - part.body_start,
        part.media,
        part.charset,
        part.encoding,
        _is_flowed(part),
        leaf.takes_footer,
        bulk,
    )


def _moved(spans: Sequence[Span], by: int) -> list[Span]:
    return [Span(span.offset + by, span.delete, span.insert) for span in spans]


def _is_flowed(part: Part) -> bool:
    return part.content_type.value("format").lower() == "flowed"


def _open(message: Message, part: Part) -> Transfer | None:
    return open_transfer(message.body(part), part.body_start, part.encoding)


def _word_edits(leaf: Leaf, data: bytes, charset: Charset, bulk: BulkTreatment) -> list[_WordEdit]:
    """What is to be said where, in the part's own line ends."""
    html = leaf.part.media != PLAIN
    found = [
        (start, stop, name)
        for start, stop, name in find_placeholders(data, bulk.placeholders, bulk.links)
        if charset.is_ascii_at(data, start)
    ]
    edits = [
        _WordEdit(start, stop, wording.placeholder_words(name, bulk, html=html))
        for start, stop, name in found
    ]
    seen = shown_among(data, [start for start, _, _ in found]) if html else None
    used = {name for start, _, name in found if seen is None or start in seen}
    if leaf.takes_footer and not _says_all(data, used, charset, bulk, html=html):
        edits.append(_footer_edit(data, bulk, html=html))
        edits.sort(key=lambda edit: edit.start)
    flowed = _is_flowed(leaf.part)
    newline = "\n" if b"\n" in data and b"\r\n" not in data else "\r\n"
    return [
        _WordEdit(start, stop, wording.with_line_ends(words, newline, flowed=flowed))
        for start, stop, words in edits
    ]


def _says_all(
    data: bytes, used: Collection[str], charset: Charset, bulk: BulkTreatment, *, html: bool
) -> bool:
    """Whether a text needs no footer, for all that it would say is there (ME-3)."""
    if bulk.footer_always or not wording.may_be_complete(used):
        return False
    text = charset.decode(data)
    text = data.decode("latin-1") if text is None else text
    return wording.is_complete(text, used, bulk, html=html)


def _footer_edit(data: bytes, bulk: BulkTreatment, *, html: bool) -> _WordEdit:
    """The footer on lines of its own; a text that ended with a line end still does."""
    place = footer_place(data) if html else len(data)
    ended = data.endswith(b"\n")
    if place < len(data):
        line = data.rfind(b"\n", 0, place) + 1
        # a line must not come to look like a delimiter
        before, after = "" if data.startswith(b"--", line) else "\n", "\n"
    else:
        gap = "" if html else "\n"  # an empty line before a text footer
        before = "" if not data else gap if ended else "\n" + gap
        after = "\n" if ended else ""
    return _WordEdit(place, place, (before, *wording.footer_words(bulk, html=html), after))


@dataclass(slots=True)
class _Editor:
    """Carries out word edits in one part."""

    message: Message
    part: Part
    transfer: Transfer
    charset: Charset
    sizes: Mapping[Slot, int]

    def make(self, edits: Sequence[_WordEdit]) -> LeafEdit:
        """The edits in the part's own charset if it can say them, else in UTF-8."""
        encoded = self._encode(edits, self.charset)
        if encoded is not None and self._fits_state(edits):
            return self._place(encoded)
        wide = self._encode(edits, _UTF8)
        if wide is None or self.charset.decode(self.transfer.data) is None:
            return self._put_roughly(edits)
        return self._widen(wide)

    def _encode(self, edits: Sequence[_WordEdit], charset: Charset) -> list[Edit] | None:
        """The edits in octets, `None` where the charset cannot say them."""
        codec, errors = charset.codec, "strict"
        if self.part.media != PLAIN:
            errors = "xmlcharrefreplace"
            codec = "ascii" if self.part.encoding == "7bit" or charset.stateful else codec
        try:
            return [
                Edit(start, stop, _encoded(words, codec, errors)) for start, stop, words in edits
            ]
        except UnicodeEncodeError:
            return None

    def _fits_state(self, edits: Sequence[_WordEdit]) -> bool:
        data = self.transfer.data
        return all(self.charset.is_ascii_at(data, edit.start) for edit in edits)

    def _place(self, edits: Sequence[Edit]) -> LeafEdit:
        """The least spans that are legal on the wire."""
        if not edits and not self._has_long_lines([self.transfer.data]):
            return LeafEdit()
        if self._needs_encoding(lambda: splice(self.transfer.data, edits)):
            segments = splice(self.transfer.data, edits)
            return _encode_anew(self.message, self.part, self.transfer, segments, self.sizes)
        spans = self.transfer.spans(edits, self.sizes)
        return LeafEdit(spans=_closed(self.message, self.part, spans))

    def _widen(self, edits: Sequence[Edit]) -> LeafEdit:
        """The edits in a text that becomes UTF-8."""
        data = self.transfer.data
        if data.isascii() and not self.charset.stateful:
            done = self._place(edits)
        else:
            segments = splice(data, edits, recode=self._transcode)
            done = self._put_whole(segments)
        done.labels += charset_spans(self.message, self.part, "utf-8")
        return done

    def _put_roughly(self, edits: Sequence[_WordEdit]) -> LeafEdit:
        """The edits in the letters of a text that nobody can read as what it says it is.

        Octets without a charset that are no UTF-8 are taken for windows-1252, by readers, too.
        """
        codec = "cp1252" if self.charset.codec == "ascii" else self.charset.codec
        back = b""  # into ASCII, wherever the text ended
        if self.charset.stateful:
            back = b"\x0f" if codec == "iso2022_kr" else b"\x1b(B"
        done = self._place([
            Edit(start, stop, (back, *(_spelled(word, codec) for word in words)))
            for start, stop, words in edits
        ])  # fmt: skip
        why = f"is not valid {self.part.charset[:40]}; what is put in has its letters"
        done.notes.append(_note(self.part, why))
        return done

    def _transcode(self, octets: bytes) -> bytes:
        return (self.charset.decode(octets) or "").encode()

    def _put_whole(self, segments: Sequence[Segment]) -> LeafEdit:
        if self.part.encoding in IDENTITY and not self._needs_encoding(lambda: segments):
            spans = [self.transfer.whole(list(segments))]
            return LeafEdit(spans=_closed(self.message, self.part, spans))
        return _encode_anew(self.message, self.part, self.transfer, segments, self.sizes)

    def _needs_encoding(self, make: Callable[[], Sequence[Segment]]) -> bool:
        """Whether the content that `make` gives fits the part's encoding no more."""
        if self.part.encoding not in IDENTITY:  # whose lines do not grow
            return self._has_long_lines([])
        segments = make()
        if self._has_long_lines(segments):
            return True
        inserts_8bit = not all(s.isascii() for s in segments if not isinstance(s, Slot))
        return self.part.encoding == "7bit" and inserts_8bit and self.transfer.data.isascii()

    def _has_long_lines(self, segments: Sequence[Segment]) -> bool:
        if self.part.encoding not in IDENTITY:
            body = self.message.body(self.part)
            return next(long_lines(body), None) is not None
        return next(long_lines(render(segments, self.sizes)), None) is not None


def _encoded(words: wording.Words, codec: str, errors: str) -> tuple[Segment, ...]:
    return tuple([word if type(word) is Slot else word.encode(codec, errors) for word in words])


def _spelled(word: str | Slot, codec: str) -> Segment:
    return word if isinstance(word, Slot) else wording.in_letters_of(codec, word).encode(codec)


def _encode_anew(
    message: Message,
    part: Part,
    transfer: Transfer,
    segments: Sequence[Segment],
    sizes: Mapping[Slot, int],
) -> LeafEdit:
    """The whole body with `segments` as its content, in an encoding that fits any wire."""
    charset = find_charset(part.charset)
    readable = part.media.startswith("text/") and charset and not charset.stateful
    encoding = part.encoding
    if encoding in IDENTITY:
        encoding = "quoted-printable" if readable else "base64"
    pieces = (
        encode_base64(segments, sizes)
        if encoding == "base64"
        else encode_quoted_printable(segments, sizes)
    )
    changed = encoding != part.encoding
    labels = encoding_spans(message, part, encoding) if changed else []
    return LeafEdit(labels, _closed(message, part, [transfer.whole(pieces)]))


def _closed(message: Message, part: Part, spans: list[Span]) -> list[Span]:
    """The spans, with a line end where the last one would run into what follows."""
    last = max(spans, key=lambda span: span.offset + len(span.delete), default=None)
    if last is None or not last.insert or last.offset + len(last.delete) < part.end:
        return spans
    end = last.insert[-1]
    if isinstance(end, bytes) and end.endswith(b"\n"):
        return spans
    if message.raw[part.end : part.end + 2] == b"\r\n":
        return spans
    index = spans.index(last)
    closed = Span(last.offset, last.delete, (*last.insert, b"\r\n"))
    return [*spans[:index], closed, *spans[index + 1 :]]


def _note(part: Part, what: str) -> str:
    return f"part {part.index} ({part.media}) {what}"
