"""Line ends: what counts as a line of mail, and which lines are too long for the wire.

In: the content of a DATA transaction. Out: the same content with CRLF as its only line end
(`normalize`), and the places of lines longer than RFC 5322 §2.1.1 allows (`long_lines`).

*Fails:* never, whatever the bytes.
*Known limits:* CR CR LF counts as two line ends.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmap import mmap

MAX_LINE_OCTETS = 998  # without CRLF (RFC 5322 §2.1.1, R5322-1)

_LINE_END = re.compile(rb"\r\n|\r|\n")


def normalize(content: bytes) -> bytes:
    """`content` with every bare CR and LF made CRLF, and a CRLF at its end.

    Content that is already so comes back as the same object (RS-1, R5322-1).
    """
    pairs = content.count(b"\r\n")
    if content.count(b"\n") != pairs or content.count(b"\r") != pairs:
        content = _LINE_END.sub(b"\r\n", content)
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


def long_lines(
    raw: "bytes | mmap", start: int = 0, end: int | None = None, limit: int = MAX_LINE_OCTETS
) -> Iterator[tuple[int, int]]:
    """The (start, end) of each line in `raw` longer than `limit` octets, CRLF not counted.

    Jumps from line end to line end nearly `limit` octets apart, so that ordinary mail is
    passed over quickly.
    """
    stop = len(raw) if end is None else end
    at = start
    while stop - at > limit:
        newline = raw.rfind(b"\n", at, min(at + limit + 2, stop))
        if newline >= 0:
            at = newline + 1
            continue
        newline = raw.find(b"\n", at + limit, stop)
        line_end = stop if newline < 0 else newline
        text_end = line_end - (raw[line_end - 1 : line_end] == b"\r")
        if text_end - at > limit:
            yield at, text_end
        at = line_end + 1
