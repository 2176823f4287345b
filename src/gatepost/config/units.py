"""Sizes and rates as people write them: `"50 MB"`, `"5000/h"`.

1 kB is 1,000 bytes, 1 MB 1,000,000, 1 GB 1,000,000,000; the binary units are written KiB,
MiB and GiB. The case of the letters does not matter.

*Fails:* `ValueError` for a text that is neither; the message says how to write it.
"""

import re

_SIZE = re.compile(r"\s*(\d{1,12})\s*([A-Za-z]+)\s*", re.ASCII)
_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*([A-Za-z]+)\s*", re.ASCII)
_BYTES = {
    "b": 1, "byte": 1, "bytes": 1,
    "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4,
    "kib": 1024, "mib": 1024**2, "gib": 1024**3, "tib": 1024**4,
}  # fmt: skip
_SECONDS = {
    "s": 1, "sec": 1, "second": 1,
    "min": 60, "minute": 60,
    "h": 3600, "hour": 3600,
    "d": 86400, "day": 86400,
}  # fmt: skip

HOW_TO_WRITE_A_SIZE = 'a number and a unit, such as "50 MB" (kB, MB, GB, or KiB, MiB, GiB)'
HOW_TO_WRITE_A_RATE = 'a number and a time, such as "5000/h" (/s, /min, /h or /d)'


def parse_size(text: str) -> int:
    """The number of bytes that `text` says. Raises `ValueError`."""
    match = _SIZE.fullmatch(text)
    unit = match and _BYTES.get(match.group(2).lower())
    if not match or not unit:
        raise ValueError(HOW_TO_WRITE_A_SIZE)
    return int(match.group(1)) * unit


def parse_rate(text: str) -> tuple[int, float]:
    """The (count, seconds) that `text` says; the count is at least 1. Raises `ValueError`."""
    match = _RATE.fullmatch(text)
    seconds = match and _SECONDS.get(match.group(2).lower())
    if not match or not seconds or not int(match.group(1)):
        raise ValueError(HOW_TO_WRITE_A_RATE)
    return int(match.group(1)), float(seconds)
