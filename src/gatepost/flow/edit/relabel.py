"""Edits of a part's header that say how its body is now encoded.

In: a `Message`, one of its parts, the new charset or transfer encoding. Out: spans that
change that one word, or add the field where there is none.

*Fails:* never.
"""

from gatepost.flow.edit.spans import Span
from gatepost.mail.message import Message, Part
from gatepost.mail.mime import parse_content_type


def charset_spans(message: Message, part: Part, charset: str) -> list[Span]:
    """The edit that makes a text part's header name `charset`."""
    label = f'charset="{charset}"'.encode()
    old = part.field(b"content-type")
    if old is None:
        line = b"Content-Type: text/plain; " + label + b"\r\n"
        return [Span(part.header_end, b"", (line,))]
    content_type = parse_content_type(old.value)
    value = old.value.rstrip(b" \t\r\n")
    value_end = old.value_start + len(value)
    if not content_type.media:
        old_value = message.raw[old.value_start : value_end]
        return [Span(old.value_start, old_value, (b" text/plain; " + label,))]
    parameter = content_type.parameters.get("charset")
    if parameter is None:
        joint = b" " if value.endswith(b";") else b"; "
        return [Span(value_end, b"", (joint + label,))]
    start, stop = old.value_start + parameter.start, old.value_start + parameter.end
    return [Span(start, message.raw[start:stop], (label,))]


def encoding_spans(message: Message, part: Part, encoding: str) -> list[Span]:
    """The edit that makes a part's header name the transfer encoding `encoding`."""
    old = part.field(b"content-transfer-encoding")
    if old is None:
        line = b"Content-Transfer-Encoding: " + encoding.encode() + b"\r\n"
        return [Span(part.header_end, b"", (line,))]
    value = message.raw[old.value_start : old.value_start + len(old.value)]
    return [Span(old.value_start, value, (b" " + encoding.encode(),))]


def lacks_mime_version(message: Message, labels: list[Span]) -> bool:
    """Whether `labels` add MIME fields to a header that does not say it is MIME."""
    root = message.root
    return root.field(b"mime-version") is None and any(
        span.offset == root.header_end for span in labels
    )
