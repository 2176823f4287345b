"""The trace field, and the fields that a submission may lack.

In: what is known of a submission's arrival. Out: header bytes. `Received` follows RFC 5321
§4.4 (R5321-16) with the tls clause of RFC 8314 §4.3; Date and Message-ID are added on
submission only (RFC 6409 §8.2, §8.3).

The comment `(Gatepost)` behind our name is how a loop is recognised (`passed_here`).
"""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
_EHLO = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_CIPHER = re.compile(r"[A-Za-z0-9_-]{1,64}")
MARK = b"(Gatepost)"


def date_value(moment: datetime) -> bytes:
    """`moment` (UTC) as the value of a date field, with a numeric zone (RFC 5322 §3.3)."""
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day} {_MONTHS[moment.month - 1]} {moment.year} "
        f"{moment:%H:%M:%S} +0000"
    ).encode("ascii")


def message_id_value(submission: str, hostname: str) -> bytes:
    """A Message-ID for a submission that came without one."""
    return f"<{submission}@{hostname}>".encode("ascii")


def received(
    *,
    ehlo: str,
    peer: str,
    hostname: str,
    protocol: str,
    cipher: str,
    submission: str,
    at: datetime,
) -> bytes:
    """One Received field with its CRLF. `ehlo` is the client's word and is not trusted."""
    name = ehlo if _EHLO.fullmatch(ehlo) else "unknown"
    literal = f"[IPv6:{peer}]" if ":" in peer else f"[{peer}]"
    tls = f" tls {cipher}" if _CIPHER.fullmatch(cipher) else ""
    return (
        (
            f"Received: from {name} ({literal})\r\n"
            f"\tby {hostname} (Gatepost) with {protocol} id {submission}{tls};\r\n\t"
        ).encode("ascii")
        + date_value(at)
        + b"\r\n"
    )


def passed_here(received_values: Sequence[str], hostname: str) -> bool:
    """Whether one of the trace fields is ours: the message comes round (RFC 5321 §6.3)."""
    ours = _mark_of(hostname)
    return any(ours.search(value) for value in received_values)


@lru_cache(maxsize=16)
def _mark_of(hostname: str) -> re.Pattern[str]:
    return re.compile(rf"\bby\s+{re.escape(hostname)}\s+\(Gatepost\)", re.IGNORECASE)
