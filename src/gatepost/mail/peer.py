"""Peers by their addresses: behind which of them there may be anybody."""

from ipaddress import IPv4Address, IPv6Address, ip_network

_NEAR = [
    ip_network(network)
    for network in (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
        "100.64.0.0/10", "::1/128", "fc00::/7", "fe80::/10",
    )
]  # fmt: skip


def is_near(peer: IPv4Address | IPv6Address) -> bool:
    """Whether `peer` is in a private network: a server in front of us, and the world behind it."""
    return any(peer in network for network in _NEAR)
