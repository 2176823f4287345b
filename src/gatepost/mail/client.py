"""A client: who submits mail, a network range or an authenticated user."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client, as configured.

    With both `networks` and `username`, both must match. `password_hash` is the text that
    `gatepost hash-password` prints. `rate` is (messages, seconds), `None` for no limit. With
    `keep_dkim` mail that comes with a DKIM signature counts as unmodifiable.
    """

    name: str
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    username: str = ""
    password_hash: str = ""
    streams: tuple[str, ...] = ()
    default_stream: str = ""
    trust_headers: bool = False
    may_override: bool = False
    keep_dkim: bool = False
    rate: tuple[int, float] | None = None

    @property
    def only_stream(self) -> str:
        """The stream this client is bound to, "" if it may send on several."""
        return self.streams[0] if len(self.streams) == 1 else ""
