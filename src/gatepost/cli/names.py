"""Questions to DNS, for `doctor` and `selftest`.

In: names. Out: texts, addresses, names of addresses, keys for signatures.

*Fails:* `NoAnswer` where nobody could be asked; a name that does not exist, or has nothing of
the kind, has no answers: an empty list.
"""

from typing import Any

import dns.exception
import dns.resolver
import dns.reversename
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gatepost.cli.desk import Refusal
from gatepost.cli.signature import Signature
from gatepost.flow.edit.dkim_record import public_key, record_name

SECONDS = 5.0
_PORT = 53


class NoAnswer(Exception):  # noqa: N818  an outcome
    """DNS could not be asked; the message says why."""


class Names:
    """A resolver: the system's, or one name server (`ADDRESS` or `ADDRESS:PORT`)."""

    def __init__(self, server: str | None = None) -> None:
        self._trouble = ""  # why nobody can be asked at all
        try:
            self._resolver = dns.resolver.Resolver(configure=server is None)
        except dns.resolver.NoResolverConfiguration:
            self._resolver = dns.resolver.Resolver(configure=False)
            self._trouble = "this system names no name server"
        self._resolver.lifetime = SECONDS
        if server is not None:
            self._aim(server)

    def texts(self, name: str) -> list[str]:
        """The TXT records of a name, each with its strings joined."""
        return [
            b"".join(record.strings).decode("utf-8", "replace") for record in self._ask(name, "TXT")
        ]

    def addresses(self, name: str) -> list[str]:
        """The addresses of a host, IPv4 first."""
        return [record.address for kind in ("A", "AAAA") for record in self._ask(name, kind)]

    def names_of(self, address: str) -> list[str]:
        """The names that the reverse zone has for an address."""
        name = dns.reversename.from_address(address).to_text()
        return [record.target.to_text().rstrip(".").lower() for record in self._ask(name, "PTR")]

    def key_of(self, signature: Signature) -> RSAPublicKey | str:
        """The key that a signature names, or why there is none."""
        try:
            texts = self.texts(record_name(signature.domain, signature.selector))
            return public_key(texts[0]) if texts else "DNS has no record for its key"
        except NoAnswer as error:
            return f"could not ask DNS for its key: {error}"
        except ValueError as error:
            return f"the record of its key: {error}"

    def _aim(self, server: str) -> None:
        address, _, port = server.rpartition(":") if server.count(":") == 1 else (server, "", "")
        try:
            self._resolver.nameservers = [address]
            self._resolver.port = int(port) if port else _PORT
        except ValueError as error:
            raise Refusal(f"{server!r} is no address of a name server: {error}") from error

    def _ask(self, name: str, kind: str) -> list[Any]:
        if self._trouble:
            raise NoAnswer(self._trouble)
        try:
            return list(self._resolver.resolve(name, kind, search=False))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.Timeout as error:
            self._trouble = "no name server answers"  # nor would it the next time
            raise NoAnswer(self._trouble) from error
        except dns.exception.DNSException as error:
            raise NoAnswer(str(error) or type(error).__name__) from error
