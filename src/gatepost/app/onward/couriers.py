"""One POST to another system, to where it may go and no further.

In: an https address, a body. Out: the status of the answer, or a `Trouble`. The name is resolved
here, the addresses are checked, and the connection is made to a checked one, so that a name that
means something else a moment later (DNS rebinding) leads nowhere. TLS is verified against the
name. No redirect is followed, no cookie kept, no proxy of the environment used; of the answer
only the first bytes are read.

*Fails:* `Trouble`, with words for the record that hold neither address nor secret.
*Known limits:* a courier keeps its connections, so it serves one host: pools tell connections
apart by address, not by the name that was verified.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx

SECONDS = 10.0
_CONNECT_SECONDS = 5.0
_MOST_OF_AN_ANSWER = 4096
_TRIED = 2  # addresses of one name
_AZURE_HOST = ip_address("168.63.129.16")  # a cloud's own services behind a public address
_NAT64 = IPv6Network("64:ff9b::/96")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Trouble(Exception):  # noqa: N818  an outcome
    """The request did not get an answer; the message says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The status of an answer, and after how many seconds to come back, if it says so."""

    status: int
    retry_after: float = 0.0


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, by the system's resolver. Raises `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def is_public(text: str) -> bool:
    """Whether an address belongs to the Internet, and not to us, our network or our cloud."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast and address != _AZURE_HOST


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to, by whichever way."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


class Courier:
    """Carries requests to one host. `authority` is a PEM file, `None` for the system's own."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        authority: Path | None = None,
        resolve: Resolve = resolve,
        seconds: float = SECONDS,
    ) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._seconds = seconds
        context = ssl.create_default_context(cafile=str(authority) if authority else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(verify=context, trust_env=False, retries=0),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(seconds, connect=_CONNECT_SECONDS),
            headers={"User-Agent": "Gatepost", "Accept": "*/*"},
        )

    async def close(self) -> None:
        """Gives the connections back."""
        await self._client.aclose()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Posts `body` to an https address. Raises `Trouble`."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._post(url, body, headers)
        except TimeoutError as error:
            raise Trouble(f"no answer within {self._seconds:g} seconds") from error

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        if parts.scheme != "https" or not host:
            raise Trouble("only https addresses are told")
        addresses = await self._addresses(host, parts.port or 443)
        for last, address in enumerate(addresses[:_TRIED], 1 - min(len(addresses), _TRIED)):
            try:
                return await self._post_to(address, url, host, body, headers)
            except httpx.ConnectError as error:
                if not last:
                    raise Trouble(_words(error)) from error
            except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
                raise Trouble(_words(error)) from error
        raise Trouble("the name has no address")

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise Trouble("the name does not resolve") from error
        good = [one for one in found if self._allow_private or is_public(one)]
        if found and not good:
            raise Trouble("the name leads into a private network: allow_private is not set")
        return good

    async def _post_to(
        self, address: str, url: str, host: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        """Posts to the very address that was checked, under the name that is verified."""
        target = httpx.URL(url)
        request = self._client.stream(
            "POST",
            target.copy_with(host=address),
            content=body,
            headers={**headers, "Host": target.netloc.decode("ascii")},
            extensions={"sni_hostname": host},
        )
        async with request as answer:
            read = 0
            async for piece in answer.aiter_raw():
                read += len(piece)
                if read > _MOST_OF_AN_ANSWER:
                    break
            return Answer(answer.status_code, _seconds(answer.headers.get("retry-after", "")))


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0.0


def _words(error: Exception) -> str:
    """What went wrong, without the address of whom it went wrong with."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is refused: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason or 'no reason given'}"
        cause = cause.__cause__ or cause.__context__
    match error:
        case httpx.TimeoutException():
            return "no answer in time"
        case httpx.ConnectError():
            return "no connection"
        case _:
            return f"the connection broke: {type(error).__name__}"
