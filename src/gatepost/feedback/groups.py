"""Groups of fields: the machine-readable part of reports (RFC 3464 §2.1, RFC 5965 §3).

In: the octets of a message/delivery-status or message/feedback-report. Out: its groups, each
a mapping from lower-case names to the values in their order.

*Fails:* never. A line that is neither a field nor the continuation of one is passed over.
*Known limits:* only the first `MAX_OCTETS` are read.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from gatepost.mail.mime import decode_octets

MAX_OCTETS = 256 * 1024
MAX_VALUE = 4096  # characters; of a longer value the rest is passed over

_FIELD = re.compile(r"([!-9;-~]{1,100})[ \t]*:(.*)")

Group = Mapping[str, Sequence[str]]


def read_groups(content: bytes) -> tuple[Group, ...]:
    """The groups that have at least one field."""
    found: list[dict[str, list[str]]] = [{}]
    values: list[str] = []
    for line in decode_octets(content[:MAX_OCTETS]).splitlines():
        match = _FIELD.fullmatch(line)
        if not line.strip():
            found.append({})
            values = []
        elif line[0] in " \t":
            if values and len(values[-1]) < MAX_VALUE:
                values[-1] = f"{values[-1]} {line.strip()}"
        elif match:
            values = found[-1].setdefault(match.group(1).lower(), [])
            values.append(match.group(2).strip())
        else:
            values = []
    return tuple(group for group in found if group)


def first(groups: Sequence[Group], name: str) -> str:
    """The first value called `name` (lower case), "" where there is none."""
    return next(_all(groups, name), "")


def every(groups: Sequence[Group], name: str) -> tuple[str, ...]:
    """All values called `name` (lower case)."""
    return tuple(_all(groups, name))


def _all(groups: Sequence[Group], name: str) -> Iterator[str]:
    return (value for group in groups for value in group.get(name, ()))
