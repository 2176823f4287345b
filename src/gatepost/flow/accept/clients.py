"""Who is it? The clients of the configuration, found by user name or by network.

In: the configured clients. Out: the client that a peer or a user name is.
AUTH beats network; of networks the most specific wins; a client with both needs both, so
its networks alone never make anybody that client. Two clients that are known by the same
network alone, or by the same user name, cannot be told apart.

*Fails:* `ValueError`, naming both clients, when two cannot be told apart; naming one, when its
password hash is none.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from gatepost.flow.accept import passwords
from gatepost.mail.client import Client

Peer = tuple[IPv4Address | IPv6Address, int]


@lru_cache(maxsize=4096)
def peer_address(host: str) -> IPv4Address | IPv6Address:
    """The address of a peer; an IPv4 address mapped into IPv6 is the IPv4 address."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


class ClientTable:
    """The clients, looked up in constant time (one step per distinct prefix length)."""

    def __init__(self, clients: Iterable[Client] = ()) -> None:
        self._users: dict[str, Client] = {}
        self._networks: dict[tuple[int, int, int], Client] = {}
        for client in clients:
            self._add(client)
        lengths = {(version, length) for version, length, _ in self._networks}
        self._lengths = {
            version: sorted((n for v, n in lengths if v == version), reverse=True)
            for version in (4, 6)
        }

    @property
    def with_username(self) -> Iterable[Client]:
        """The clients that authenticate."""
        return self._users.values()

    def by_network(self, peer: IPv4Address | IPv6Address) -> Client | None:
        """The client that `peer` is without authentication."""
        for length in self._lengths[peer.version]:
            found = self._networks.get(_prefix(peer, length))
            if found:
                return found
        return None

    def by_username(self, username: str, peer: IPv4Address | IPv6Address) -> Client | None:
        """The client with this user name, if it may come from `peer`."""
        client = self._users.get(username)
        if client and client.networks and not any(peer in net for net in client.networks):
            return None
        return client

    def _add(self, client: Client) -> None:
        if client.username:
            other = self._users.setdefault(client.username, client)
            if other is not client:
                raise ValueError(
                    f'clients "{other.name}" and "{client.name}" have the same username '
                    f'"{client.username}"; give each its own'
                )
            try:
                passwords.check_form(client.password_hash)
            except ValueError as error:
                raise ValueError(f'client "{client.name}": {error}') from None
            return
        for network in client.networks:
            prefix = _prefix(network.network_address, network.prefixlen)
            other = self._networks.setdefault(prefix, client)
            if other is not client:
                raise ValueError(
                    f'clients "{other.name}" and "{client.name}" have the same network '
                    f"{network}; give one of them a username or a narrower network"
                )


def _prefix(address: IPv4Address | IPv6Address, length: int) -> tuple[int, int, int]:
    return address.version, length, int(address) >> (address.max_prefixlen - length)
