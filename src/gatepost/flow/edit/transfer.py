"""Transfer encodings: edits of a part's content become spans over its encoded octets.

Theory of operation. An edit is made in decoded content ("here comes this"), but the message
holds encoded octets. Each class below decodes one body, remembers where each decoded octet
stands, and turns edits into spans that touch as little as can be:

* 7bit, 8bit, binary: decoded and encoded are the same.
* quoted-printable: the insertion is encoded by itself, between soft line breaks, so that no
  line grows and no other octet changes.
* base64: everything from the first edit's quantum on is encoded anew, since all that follows
  is shifted; each slot becomes a `Window` of the quanta it lies in.

In: a body and edits in rising order. Out: `Span`s; pieces (`encode_…`) for a body that must
be encoded anew as a whole.

*Fails:* `open_transfer` gives `None` for an unknown encoding or broken base64. Padding that is
missing or too long at the very end breaks nothing.
"""

import binascii
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

from gatepost.flow.edit.spans import Piece, Slot, Span, Window

Segment = bytes | Slot
Sizes = Mapping[Slot, int]

IDENTITY = frozenset({"7bit", "8bit", "binary"})
LINE = 76  # RFC 2045 §6.7 and §6.8

_ORDERLY = 256  # octets in a line, up to which lines do for chunks
_BLOCK = 1 << 16  # octets, about, that are encoded at a time
_SOFT = b"=\r\n"
_QP_UNIT = re.compile(rb"(=[0-9A-Fa-f]{2})|=[ \t]*+\r?\n|(.)", re.DOTALL)
_QP_CHUNK = re.compile(rb"(?:=[0-9A-Fa-f]{2}|=[ \t]*+\r?\n|.){1,64}+", re.DOTALL)
_QP_CLEAN = re.compile(rb"(?:[^=]++|=[0-9A-Fa-f]{2}|=\r\n)*+")
_QP_SOUND = re.compile(rb"(?:[^=]++|=[0-9A-Fa-f]{2}|=[ \t]*+\r?\n)*+")
_QP_UNFINISHED = re.compile(rb"=[ \t]*\Z")
_QP_UNSAFE = re.compile(rb"[^\t !-<>-~]")
_BASE64 = re.compile(rb"([A-Za-z0-9+/]*+)=*+")


@dataclass(frozen=True, slots=True)
class Edit:
    """In decoded content, octets [start, stop) give way to `insert`."""

    start: int
    stop: int
    insert: tuple[Segment, ...]


class Transfer(Protocol):
    """One encoded body."""

    @property
    def data(self) -> bytes:
        """The decoded content."""

    def spans(self, edits: Sequence[Edit], sizes: Sizes) -> list[Span]:
        """The least spans that make `edits`."""

    def whole(self, pieces: Sequence[Piece]) -> Span:
        """The span that puts `pieces` in the place of the whole body."""


def open_transfer(body: bytes, offset: int, encoding: str) -> Transfer | None:
    """The body that stands at `offset` of the message, `None` if it cannot be decoded."""
    if encoding in IDENTITY:
        return Identity(body, offset)
    if encoding == "quoted-printable":
        return QuotedPrintable(body, offset)
    if encoding == "base64":
        return Base64.read(body, offset)
    return None


def can_open(body: bytes, encoding: str) -> bool:
    """Whether `open_transfer` can decode the body."""
    if encoding == "base64":
        return _is_base64(b"".join(body.split()))
    return encoding in IDENTITY or encoding == "quoted-printable"


def splice(
    data: bytes,
    edits: Sequence[Edit],
    start: int = 0,
    recode: Callable[[bytes], bytes] = bytes,
) -> list[Segment]:
    """`data` from `start` with `edits` made; kept octets go through `recode`."""
    segments: list[Segment] = []
    at = start
    for edit in edits:
        segments += recode(data[at : edit.start]), *edit.insert
        at = edit.stop
    segments.append(recode(data[at:]))
    return merge(segments)


def merge(segments: Sequence[Segment]) -> list[Segment]:
    """The same with neighbouring octets joined."""
    merged: list[Segment] = []
    run: list[bytes] = []
    for segment in segments:
        if isinstance(segment, Slot):
            merged += b"".join(run), segment
            run = []
        else:
            run.append(segment)
    merged.append(b"".join(run))
    return [segment for segment in merged if segment]


def render(segments: Sequence[Segment], sizes: Sizes) -> bytes:
    """The segments with something in the slots, for measuring."""
    return b"".join(b"A" * sizes[s] if isinstance(s, Slot) else s for s in segments)


@dataclass(frozen=True, slots=True)
class Identity:
    """A body that is not encoded."""

    data: bytes
    offset: int

    def spans(self, edits: Sequence[Edit], sizes: Sizes) -> list[Span]:  # noqa: ARG002
        """One span per edit."""
        return [Span(self.offset + e.start, self.data[e.start : e.stop], e.insert) for e in edits]

    def whole(self, pieces: Sequence[Piece]) -> Span:
        """The whole body replaced."""
        return Span(self.offset, self.data, tuple(pieces))


class QuotedPrintable:
    """A quoted-printable body (RFC 2045 §6.7), decoded in chunks that tear no escape."""

    __slots__ = ("_body", "_clean", "_decoded", "_encoded", "_end", "data", "offset")

    def __init__(self, body: bytes, offset: int) -> None:
        self.offset = offset
        self._body = body
        unfinished = _QP_UNFINISHED.search(body[-1000:])
        self._end = len(body) - (len(unfinished.group()) if unfinished else 0)
        self._decoded: list[int] = []  # where each chunk starts in the decoded content
        self._encoded: list[int] = []  # where it starts in the body
        self._clean = False  # every equals sign is known to escape something
        self.data = self._decode()

    def spans(self, edits: Sequence[Edit], sizes: Sizes) -> list[Span]:
        """One span per edit, set off by soft line breaks.

        Where the body has an equals sign that escapes nothing, which what is put in might
        join, it is encoded anew as a whole.
        """
        if not (self._clean or _QP_SOUND.fullmatch(self._body, 0, self._end)):
            return [self.whole(encode_quoted_printable(splice(self.data, edits), sizes))]
        return [self._span(edit, sizes) for edit in edits]

    def whole(self, pieces: Sequence[Piece]) -> Span:
        """The whole body replaced."""
        return Span(self.offset, self._body, tuple(pieces))

    def _decode(self) -> bytes:
        body = self._body[: self._end]
        lines = body.split(b"\r\n")
        breaks = len(lines) - 1
        if (
            body.count(b"\n") == breaks == body.count(b"\r")
            and max(map(len, lines)) <= _ORDERLY
            and _QP_CLEAN.fullmatch(body)
        ):
            self._clean = True
            self._index(lines)
            return binascii.a2b_qp(body)
        return self._decode_chunks()

    def _index(self, lines: Sequence[bytes]) -> None:
        """Makes each line a chunk, which needs no look at its octets.

        An escape spells one octet, a line end two, a soft break none.
        """
        size = at = 0
        for line in lines:
            self._decoded.append(size)
            self._encoded.append(at)
            at += len(line) + 2
            size += len(line) + 2 - 2 * line.count(b"=") - line.endswith(b"=")

    def _decode_chunks(self) -> bytes:
        out: list[bytes] = []
        size = 0
        for match in _QP_CHUNK.finditer(self._body, 0, self._end):
            self._decoded.append(size)
            self._encoded.append(match.start())
            out.append(_decode_chunk(match.group()))
            size += len(out[-1])
        return b"".join(out)

    def _where(self, at: int) -> tuple[int, int]:
        """Where the decoded octet `at` is spelled: start and end in the body."""
        chunk = bisect_right(self._decoded, at) - 1
        here = self._decoded[chunk]
        for unit in _QP_UNIT.finditer(self._body, self._encoded[chunk], self._end):
            if not unit.lastindex:
                continue  # a soft line break spells nothing
            if here == at:
                break
            here += 1
        return unit.span()

    def _span(self, edit: Edit, sizes: Sizes) -> Span:
        end = self._where(edit.stop - 1)[1] if edit.stop else 0
        start = self._where(edit.start)[0] if edit.start < len(self.data) else end
        end = max(start, end)
        body = self._body
        inserted = merge(edit.insert)
        pieces: list[Piece] = []
        first = inserted[0] if inserted else b""
        on_fresh_line = start == 0 or body[start - 1 : start] == b"\n"
        if not on_fresh_line and (isinstance(first, Slot) or not first.startswith(b"\r\n")):
            pieces.append(_SOFT)
        pieces += _encoded_alike(tuple(inserted), tuple(sizes.items()))
        last = inserted[-1] if inserted else b""
        ends_line = not isinstance(last, Slot) and last.endswith(b"\n")
        if end < len(body) and not ends_line and not _at_line_end(body, end):
            pieces.append(_SOFT)
            if body[end : end + 1] == b"-":  # a line must not come to look like a delimiter
                pieces.append(b"=2D")
                end += 1
        return Span(self.offset + start, body[start:end], tuple(pieces))


def _decode_chunk(chunk: bytes) -> bytes:
    if _QP_CLEAN.fullmatch(chunk):
        return binascii.a2b_qp(chunk)
    units = (unit.group(1) or unit.group(2) or b"" for unit in _QP_UNIT.finditer(chunk))
    return b"".join(binascii.a2b_qp(unit) if len(unit) == 3 else unit for unit in units)


def _at_line_end(body: bytes, at: int) -> bool:
    rest = body[at : at + 3]
    return rest.startswith((b"\r\n", b"\n", b"=\r\n", b"=\n")) or rest == b"="


def encode_quoted_printable(segments: Sequence[Segment], sizes: Sizes) -> list[Piece]:
    """The segments in quoted-printable, beginning on a fresh line. Slots stay whole."""
    pieces: list[Piece] = []
    column = 0
    for segment in segments:
        if isinstance(segment, Slot):
            if column + sizes[segment] >= LINE:
                pieces.append(_SOFT)
                column = 0
            pieces.append(segment)
            column += sizes[segment]
            continue
        for block in _blocks(segment):
            text, column = _encode_lines(block, column)
            pieces.append(text)
    return [piece for piece in pieces if piece]


def _blocks(text: bytes) -> Iterator[bytes]:
    """`text`, some lines at a time: as objects of their own they take twice what they say."""
    at = 0
    while at < len(text):
        end = text.find(b"\r\n", at + _BLOCK)
        end = len(text) if end < 0 else end + 2
        yield text[at:end]
        at = end


def _encode_lines(block: bytes, column: int) -> tuple[bytes, int]:
    """`block` in quoted-printable, begun at `column`, and the column it ends at."""
    out: list[bytes] = []
    for number, line in enumerate(block.split(b"\r\n")):
        if number:
            out.append(b"\r\n")
            column = 0
        text, column = _wrap(_escape(line), column)
        out.append(text)
    return b"".join(out), column


@lru_cache(maxsize=64)  # one stream's footer is the same in all its mail
def _encoded_alike(
    segments: tuple[Segment, ...], sizes: tuple[tuple[Slot, int], ...]
) -> tuple[Piece, ...]:
    return tuple(encode_quoted_printable(segments, dict(sizes)))


def _escape(line: bytes) -> bytes:
    text = _QP_UNSAFE.sub(lambda match: b"=%02X" % match.group()[0], line)
    if text.endswith((b" ", b"\t")):
        text = text[:-1] + b"=%02X" % text[-1]
    return text


def _wrap(text: bytes, column: int) -> tuple[bytes, int]:
    """`text` with soft breaks, and the column it ends at. Escapes are not torn."""
    out: list[bytes] = []
    at = 0
    while len(text) - at + column >= LINE:
        cut = max(at, at + LINE - 1 - column)
        torn = text.rfind(b"=", max(at, cut - 2), cut)
        cut = torn if torn >= 0 else cut
        out += text[at:cut], _SOFT
        at, column = cut, 0
        if text[at : at + 1] == b"-":  # a line must not come to look like a delimiter
            out.append(b"=2D")
            at, column = at + 1, 3
    out.append(text[at:])
    return b"".join(out), column + len(text) - at


@dataclass(frozen=True, slots=True)
class Base64:
    """A base64 body: its runs of letters as (start in the letters, start in the body)."""

    data: bytes
    offset: int
    body: bytes
    runs: tuple[tuple[int, int], ...]
    end: int  # of the last letter, in the body
    line: int

    @classmethod
    def read(cls, body: bytes, offset: int) -> "Base64 | None":
        """The body, or `None` if it is not clean base64."""
        runs: list[tuple[int, int]] = []
        words: list[bytes] = []
        count = end = 0
        for match in re.finditer(rb"[^\s]+", body):
            runs.append((count, match.start()))
            words.append(match.group())
            count += len(match.group())
            end = match.end()
        letters = b"".join(words)
        if not _is_base64(letters):
            return None
        line = len(words[0]) if len(words) > 1 else LINE
        line = line if LINE - 20 <= line <= 998 else LINE
        return cls(_decode_base64(letters), offset, body, tuple(runs), end, line)

    def spans(self, edits: Sequence[Edit], sizes: Sizes) -> list[Span]:
        """One span, from the first edit's quantum to the end."""
        if not edits:
            return []
        quantum = edits[0].start // 3
        start, column = self._where(quantum * 4)
        segments = splice(self.data, edits, quantum * 3)
        pieces = encode_base64(segments, sizes, self.line, column)
        return [Span(self.offset + start, self.body[start : self.end], tuple(pieces))]

    def whole(self, pieces: Sequence[Piece]) -> Span:
        """All letters replaced."""
        start = self.runs[0][1] if self.runs else 0
        return Span(self.offset + start, self.body[start : self.end], tuple(pieces))

    def _where(self, letter: int) -> tuple[int, int]:
        """The place of a letter in the body, and its column."""
        if not self.runs:
            return 0, 0
        last, start = self.runs[bisect_right(self.runs, (letter, len(self.body))) - 1]
        return start + letter - last, letter - last


def _is_base64(letters: bytes) -> bool:
    """Whether every decoder reads the same out of `letters`."""
    found = _BASE64.fullmatch(letters)
    return found is not None and len(found[1]) % 4 != 1


def _decode_base64(letters: bytes) -> bytes:
    letters = letters.rstrip(b"=")
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


def encode_base64(
    segments: Sequence[Segment], sizes: Sizes, line: int = LINE, column: int = 0
) -> list[Piece]:
    """The segments in base64, in lines of `line` letters, the first beginning at `column`."""
    content = render(segments, sizes)
    letters = binascii.b2a_base64(content, newline=False)
    breaks = range(max(0, line - column), len(letters), line)
    quanta = _slot_quanta(segments, sizes)
    pieces: list[Piece] = []
    at = 0
    for (start, stop), parts in zip(quanta, _cut(segments, sizes, quanta), strict=True):
        begin, end = start * 4, min(stop * 4, len(letters))
        pieces.append(_broken(letters[at:begin], at, _between(breaks, at, begin)))
        inside = [place - begin for place in _between(breaks, begin, end)]
        size = end - begin + 2 * len(inside)
        pieces.append(Window(tuple(parts), tuple(reversed(inside)), size))
        at = end
    pieces.append(_broken(letters[at:], at, _between(breaks, at, len(letters))))
    return [piece for piece in pieces if piece]


def _slot_quanta(segments: Sequence[Segment], sizes: Sizes) -> list[tuple[int, int]]:
    """The quanta [start, stop) that hold slots; those that touch are one."""
    found: list[tuple[int, int]] = []
    at = 0
    for segment in segments:
        if isinstance(segment, Slot):
            start, stop = at // 3, -(-(at + sizes[segment]) // 3)
            if found and start < found[-1][1]:
                start = found.pop()[0]
            found.append((start, stop))
            at += sizes[segment]
        else:
            at += len(segment)
    return found


def _cut(
    segments: Sequence[Segment], sizes: Sizes, quanta: Sequence[tuple[int, int]]
) -> list[list[Segment]]:
    """What lies in each of `quanta`. One pass over both; no slot is torn."""
    cut: list[list[Segment]] = [[] for _ in quanta]
    at = first = 0
    for segment in segments:
        end = at + (sizes[segment] if isinstance(segment, Slot) else len(segment))
        while first < len(quanta) and quanta[first][1] * 3 <= at:
            first += 1
        for number in range(first, len(quanta)):
            start, stop = quanta[number][0] * 3, quanta[number][1] * 3
            if start >= end:
                break
            if isinstance(segment, Slot):
                cut[number].append(segment)
            else:
                cut[number].append(segment[max(0, start - at) : stop - at])
        at = end
    return cut


def _between(breaks: range, start: int, stop: int) -> list[int]:
    """The breaks in [start, stop); one at the very end would break nothing."""
    first = -(-(start - breaks.start) // breaks.step)
    last = -(-(stop - breaks.start) // breaks.step)
    return list(breaks[max(0, first) : max(0, last)])


def _broken(letters: bytes, at: int, breaks: Sequence[int]) -> bytes:
    """`letters`, the first of which is number `at`, with a line end at each of `breaks`."""
    places = [0, *(place - at for place in breaks), len(letters)]
    return b"\r\n".join(letters[one:other] for one, other in pairwise(places))
