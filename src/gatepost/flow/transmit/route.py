"""A route: how one upstream is reached, and how patient we are with it.

Time-outs default to the minimums of RFC 5321 §4.5.3.2 (RQ-1); all times are seconds.
"""

import ssl
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Tls(StrEnum):
    """How the connection is protected; values are those of the configuration."""

    NONE = "none"
    OPPORTUNISTIC = "opportunistic"  # STARTTLS where offered, unverified; else plain
    STARTTLS = "starttls"  # demanded, name verified (RX-7)
    IMPLICIT = "implicit"  # RFC 8314 §3.3, name verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long one reply, or one block of content, may take.

    `connect` also bounds greeting, EHLO, the TLS handshake and each step of AUTH; `dot` is
    the answer to the end of data.
    """

    connect: float = 300.0
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    block: float = 180.0
    dot: float = 600.0

    @classmethod
    def all(cls, seconds: float) -> "Timeouts":
        """The same short time-out for everything."""
        return cls(
            connect=seconds, mail=seconds, rcpt=seconds, data=seconds, block=seconds, dot=seconds
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One upstream, as configured.

    `ehlo` is our own name. `username` "" means no AUTH. `rate` is (copies, seconds), `None`
    for no limit. `ca_file` names a PEM file to trust in place of the system's. An idle
    connection is closed after `idle`. After trouble the next connection is tried after
    `pause`, which doubles up to `longest_pause` until mail flows again.
    """

    name: str
    host: str
    port: int
    ehlo: str
    tls: Tls = Tls.NONE
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    connections: int = 10
    rate: tuple[int, float] | None = None
    timeouts: Timeouts = Timeouts()
    idle: float = 30.0
    pause: float = 1.0
    longest_pause: float = 300.0

    def shared_by(self, processes: int) -> "Route":
        """The route for one of so many processes: its share of the rate, and all the rest."""
        if self.rate is None:
            return self
        copies, seconds = self.rate
        return replace(self, rate=(copies, seconds * processes))

    def tls_context(self) -> ssl.SSLContext | None:
        """The context for this route, `None` without TLS.

        Reads `ca_file` or the system's certificates; raises `OSError` if that fails.
        """
        if self.tls is Tls.NONE:
            return None
        if self.tls is Tls.OPPORTUNISTIC:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context
