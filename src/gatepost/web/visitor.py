"""Who asks, as far as the evidence of a withdrawal records it: address, browser, languages.

In: an ASGI scope. Out: a `Visitor`. The address is the connection's; behind a trusted proxy
it is the right-most one in `X-Forwarded-For` that no trusted proxy has.

*Known limits:* RFC 7239 `Forwarded` is not read; the proxies of the guides send
`X-Forwarded-For`.
"""

import re
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from gatepost.web.site import Network

_MOST_OF_A_BROWSER_NAME = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

Scope = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Visitor:
    """One visitor. `ip` is "" where the connection has none (a Unix socket)."""

    ip: str
    user_agent: str


def visitor(scope: Scope, trusted: Sequence[Network]) -> Visitor:
    """Who sent the request."""
    client = scope.get("client")
    peer = str(client[0]) if client else ""
    agent = header(scope, b"user-agent")
    forwarded = header(scope, b"x-forwarded-for") if trusted else ""
    return Visitor(
        _beyond(peer, forwarded, trusted) if forwarded else peer,
        _CONTROL.sub(" ", agent).strip()[:_MOST_OF_A_BROWSER_NAME],
    )


def header(scope: Scope, name: bytes) -> str:
    """All values of the header `name` (lower case), joined by commas, "" where it is absent."""
    values = [value for known, value in scope["headers"] if known == name]
    return b",".join(values).decode("latin-1") if values else ""


def preferred_languages(accept_language: str) -> list[str]:
    """The tags of an Accept-Language header (RFC 9110 §12.5.4), the most wanted first."""
    wanted: list[tuple[float, int, str]] = []
    for position, part in enumerate(accept_language.split(",")[:20]):
        tag, _, parameter = part.partition(";")
        weight = _weight(parameter)
        if tag.strip() and weight > 0:
            wanted.append((-weight, position, tag.strip()))
    return [tag for _, _, tag in sorted(wanted)]


def _weight(parameter: str) -> float:
    match = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameter)
    if match:
        return float(match.group(1))
    return 0.0 if parameter.strip() else 1.0


def _beyond(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """The last hop that is not one of our proxies."""
    hops = [*(hop.strip() for hop in forwarded.split(",")), peer]
    nearest = peer
    for hop in reversed(hops):
        address = _without_port(hop)
        try:
            is_ours = _is_in(address, trusted)
        except ValueError:
            return nearest  # somebody's invention: the hop that passed it on is what is known
        nearest = address
        if not is_ours:
            break
    return nearest


def _is_in(address: str, networks: Iterable[Network]) -> bool:
    parsed = ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
