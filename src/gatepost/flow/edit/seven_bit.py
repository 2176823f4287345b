"""Copies for an upstream without 8BITMIME: the same mail in seven bits (RFC 6152 §3, RQ-8).

Every leaf that has octets over 127 is encoded anew, text in quoted-printable unless that
would more than double it, all else in base64; the labels of it and of what contains it follow.
It is done on what the plan makes, so before signing (RFC 6376 §5.3), and holes stay holes.

In: a plan. Out: the plan of the same copies in seven bits, or `None` where that cannot be:
what is signed or encrypted would break, and a header with such octets is no matter of
encoding (RX-5).

*Fails:* never.
*Known limits:* text between the parts is not changed, nor what has an encoding of its own and
octets over 127 all the same, but for quoted-printable; then it is `None`, too.
"""

from collections.abc import Iterator, Sequence

from gatepost.flow.edit.relabel import charset_spans, encoding_spans, lacks_mime_version
from gatepost.flow.edit.spans import Piece, Plan, Slot, Span
from gatepost.flow.edit.successive import pieces_between, sample_of, then
from gatepost.flow.edit.transfer import (
    IDENTITY,
    QuotedPrintable,
    Segment,
    encode_base64,
    encode_quoted_printable,
    merge,
)
from gatepost.mail.message import Message, Part, scan

MAX_ENCLOSED = 20  # messages within messages
_HIGH = bytes(range(128, 256))
_NOTE = "upstream takes no 8-bit content: it goes out encoded"


def seven_bit(plan: Plan) -> Plan | None:
    """`plan` with copies in seven bits, `None` where there is no way."""
    if not plan.eight_bit:
        return plan
    sample = sample_of(plan)
    try:
        spans = list(_Rewriting(plan, sample).message(scan(sample), 0, 0))
    except _CannotBeError:
        return None
    made = then(plan, spans, [_NOTE])
    return None if made.eight_bit else made


class _CannotBeError(Exception):
    """Something would have to change that must not."""


class _Rewriting:
    """The later spans, over a sample copy."""

    def __init__(self, plan: Plan, sample: bytes) -> None:
        self._plan = plan
        self._sample = sample

    def message(self, message: Message, offset: int, depth: int) -> Iterator[Span]:
        """The spans for a message that begins at `offset` of the sample."""
        if message.raw[:].isascii():
            return
        if message.is_signed_or_encrypted or depth > MAX_ENCLOSED:
            raise _CannotBeError
        labels: list[Span] = []
        bodies: list[Span] = []
        for part in message.parts:
            if message.raw[part.start : part.end].isascii():
                continue
            if part.children:
                labels += _say_seven_bit(message, part)
            elif part.media == "message/rfc822":
                # Its encoding is an identity, always (RFC 2046 §5.2.1): what is in it changes.
                labels += _say_seven_bit(message, part)
                at = part.body_start
                inner = scan(message.raw[at : part.end])
                yield from self.message(inner, offset + at, depth + 1)
            elif not message.body(part).isascii():
                labels_of, body = self._leaf(message, part, offset)
                labels += labels_of
                bodies.append(body)
        if lacks_mime_version(message, labels):
            labels.insert(0, Span(message.root.header_end, b"", (b"MIME-Version: 1.0\r\n",)))
        for span in labels:
            yield Span(span.offset + offset, span.delete, span.insert)
        yield from bodies

    def _leaf(self, message: Message, part: Part, offset: int) -> tuple[list[Span], Span]:
        """Its labels, over the message; its body, over the sample."""
        if not part.separated or _is_bound_to_seven_bits(part.media):
            raise _CannotBeError
        start, end = part.body_start + offset, part.end + offset
        segments = list(self._content(part.encoding, start, end))
        fixed = b"".join(one for one in segments if not isinstance(one, Slot))
        pieces: list[Piece]
        if _reads_well_quoted(part, fixed):
            encoding = "quoted-printable"
            pieces = encode_quoted_printable(segments, self._plan.slots)
        else:
            encoding = "base64"
            pieces = encode_base64(segments, self._plan.slots)
        labels = encoding_spans(message, part, encoding)
        if part.field(b"content-type") is None:
            labels += charset_spans(message, part, _guess(fixed))
        return labels, Span(start, self._sample[start:end], tuple(pieces))

    def _content(self, encoding: str, start: int, end: int) -> Sequence[Segment]:
        """The decoded content of octets [start, end), its slots open."""
        quoted = encoding == "quoted-printable"
        if not quoted and encoding not in IDENTITY:
            raise _CannotBeError
        segments: list[Segment] = []
        for piece in pieces_between(self._plan, self._sample, start, end):
            if isinstance(piece, bytes):
                segments.append(QuotedPrintable(piece, 0).data if quoted else piece)
            elif isinstance(piece, Slot):
                segments.append(piece)
            else:
                raise _CannotBeError
        return merge(segments)


def _is_bound_to_seven_bits(media: str) -> bool:
    """Reports and fragments of messages have no other encoding (RFC 2046 §5.2, RFC 3464 §2.1)."""
    return media.startswith("message/") and not media.startswith("message/global")


def _reads_well_quoted(part: Part, content: bytes) -> bool:
    if not part.media.startswith("text/") or part.encoding == "binary":
        return False
    return (len(content) - len(content.translate(None, _HIGH))) * 3 <= len(content)


def _guess(content: bytes) -> str:
    """The charset of a text that names none (RFC 1428 §3)."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "unknown-8bit"
    return "utf-8"


def _say_seven_bit(message: Message, part: Part) -> list[Span]:
    """What contains encoded parts is in seven bits, and must not say otherwise."""
    if part.field(b"content-transfer-encoding") is None or part.encoding == "7bit":
        return []
    return encoding_spans(message, part, "7bit")
