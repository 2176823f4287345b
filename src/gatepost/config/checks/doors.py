"""Doors: who can come in where, and by which key.

In: settings. Out: complaints about listeners, certificates and clients. Certificates are
loaded as a TLS server would load them.

*Fails:* never; checks yield complaints.
*Known limits:* whether a port is free is found out when listening.
"""

import ssl
from collections.abc import Iterator, Sequence
from ipaddress import (
    IPv4Network,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from itertools import combinations
from pathlib import Path

from gatepost.config.errors import KeyPath, key_text
from gatepost.config.explain import Complaint
from gatepost.config.gateway import AdminSettings, HttpSettings, SmtpSettings
from gatepost.config.settings import Settings
from gatepost.config.values import is_loopback
from gatepost.store.private import cure, why_open

_Listener = tuple[KeyPath, SmtpSettings | HttpSettings | AdminSettings]
_MAPPED_IPV4 = ip_network("::ffff:0:0/96")


def listeners_do_not_collide(settings: Settings) -> Iterator[Complaint]:
    """No two listeners share address and port; port 0 is a free one each time."""
    listeners: list[_Listener] = [
        (("smtp", number), listener) for number, listener in enumerate(settings.smtp)
    ]
    listeners += [(("http",), settings.http), (("admin",), settings.admin)]
    # The later of two is to blame, unless it only has its default.
    listeners.sort(key=lambda listener: "port" in listener[1].model_fields_set)
    for (path, one), (other_path, other) in combinations(listeners, 2):
        if one.port and one.port == other.port and _overlap(one.address, other.address):
            yield Complaint(
                path=(*other_path, "port"),
                what=f"{key_text(path)} listens on {one.address} port {one.port} already",
                cure="choose another port",
                rests_on=((*path, "port"), (*path, "address"), (*other_path, "address")),
            )


def listeners_have_certificates(settings: Settings) -> Iterator[Complaint]:
    """TLS needs a certificate and its key, and they must load; without TLS they say nothing."""
    for number, listener in enumerate(settings.smtp):
        path = ("smtp", number)
        if listener.tls == "none":
            if listener.certificate or listener.key:
                yield Complaint(
                    path=(*path, "tls"),
                    what='there is a certificate or key, but tls is "none"',
                    cure='write tls = "starttls" or "implicit", or remove certificate and key',
                    rests_on=((*path, "certificate"), (*path, "key")),
                )
            continue
        missing = [name for name in ("certificate", "key") if not getattr(listener, name)]
        for name in missing:
            yield Complaint(
                path=(*path, name),
                what=f'is missing: tls is "{listener.tls}"',
                cure=f'write {name} = "tls/{name}.pem" or the like',
                rests_on=((*path, "tls"),),
            )
        if not missing:
            yield from _certificate_loads(path, listener)


def _certificate_loads(path: KeyPath, listener: SmtpSettings) -> Iterator[Complaint]:
    unreadable = False
    for name in ("certificate", "key"):
        reason = _why_unreadable(getattr(listener, name))
        if reason:
            unreadable = True
            yield Complaint(
                path=(*path, name),
                what=f"the file cannot be read: {reason}",
                cure="give the path of a PEM file, from the folder of config.toml",
            )
    if unreadable or listener.certificate is None or listener.key is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password of its own, the library would ask for one on the terminal.
        context.load_cert_chain(listener.certificate, listener.key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError):
        yield Complaint(
            path=(*path, "certificate"),
            what="certificate and key do not load, or do not belong together",
            cure="give PEM files of one pair; the key without a password",
            rests_on=((*path, "key"),),
        )
        return
    if openness := why_open(listener.key):
        yield Complaint(
            path=(*path, "key"), what=f"the key is not safe: {openness}", cure=cure(listener.key)
        )


def _why_unreadable(path: Path) -> str:
    try:
        path.read_bytes()
    except OSError as error:
        return error.strerror or "unknown trouble"
    return ""


def returns_listeners_are_open(settings: Settings) -> Iterator[Complaint]:
    """Mail that comes back comes from anywhere: a returns listener has no clients, no stream."""
    for number, listener in enumerate(settings.smtp):
        for name in ("clients", "stream"):
            if listener.role == "returns" and getattr(listener, name):
                yield Complaint(
                    path=("smtp", number, name),
                    what="has no meaning on a returns listener, which takes no submissions",
                    cure=f'remove {name}, or write role = "submission"',
                    rests_on=(("smtp", number, "role"),),
                )


def balancers_are_not_everybody(settings: Settings) -> Iterator[Complaint]:
    """Who may use the PROXY protocol can name any address as its own (promise 6)."""
    for number, listener in enumerate(settings.smtp):
        if _is_everybody(listener.proxy_protocol):
            yield Complaint(
                path=("smtp", number, "proxy_protocol"),
                what="is everybody: anybody could pass for any client",
                cure="name the addresses of the load balancers alone",
            )


def clients_can_be_recognised(settings: Settings) -> Iterator[Complaint]:
    """A client has a network, or a username and the hash of its password."""
    for name, client in settings.clients.items():
        path = ("clients", name)
        has_hash = bool(client.password_hash.get_secret_value())
        if client.username and not has_hash:
            yield Complaint(
                path=(*path, "password_hash"),
                what="is missing: there is a username",
                cure="write what `gatepost hash-password` prints",
                rests_on=((*path, "username"),),
            )
        elif has_hash and not client.username:
            yield Complaint(
                path=(*path, "username"),
                what="is missing: there is a password_hash",
                cure=f'write username = "{name}" or the like',
                rests_on=((*path, "password_hash"),),
            )
        elif not client.username and not client.networks:
            yield Complaint(
                path=path,
                what="can be nobody: it has neither networks nor a username",
                cure='write networks = ["192.0.2.7"], or username and password_hash',
                rests_on=((*path, "networks"), (*path, "username"), (*path, "password_hash")),
            )


def clients_can_be_told_apart(settings: Settings) -> Iterator[Complaint]:
    """No two clients have one username, or, without a username, one network."""
    users: dict[str, str] = {}
    networks: dict[IPv4Network | IPv6Network, str] = {}
    for name, client in settings.clients.items():
        path = ("clients", name)
        if client.username:
            other = users.setdefault(client.username, name)
            if other != name:
                yield Complaint(
                    path=(*path, "username"),
                    what=f'client "{other}" has the same username',
                    cure="give each client its own",
                )
            continue
        for position, network in enumerate(client.networks):
            other = networks.setdefault(network, name)
            if other != name:
                yield Complaint(
                    path=(*path, "networks", position),
                    what=f'client "{other}" has the same network, and neither has a username',
                    cure="give one of them a username, or a narrower network",
                    rests_on=((*path, "username"), ("clients", other, "username")),
                )


def nobody_relays_for_strangers(settings: Settings) -> Iterator[Complaint]:
    """A network that is the whole world is no authorisation (promise 6)."""
    for name, client in settings.clients.items():
        if client.username or not _is_everybody(client.networks):
            continue
        for listener in settings.smtp:
            takes = listener.role == "submission" and name in (listener.clients or (name,))
            if takes and not is_loopback(listener.address):
                yield Complaint(
                    path=("clients", name, "networks"),
                    what=(
                        "is everybody, without a username: "
                        f"an open relay on {listener.address} port {listener.port}"
                    ),
                    cure="name the mailer's own networks, or add username and password_hash",
                    rests_on=(("clients", name, "username"), ("smtp",)),
                )
                break


def upstreams_have_passwords(settings: Settings) -> Iterator[Complaint]:
    """A username is worth nothing without its password."""
    places: list[KeyPath] = [("upstream",)]
    places += [("upstreams", name) for name in settings.upstreams]
    for path, upstream in zip(
        places, [settings.upstream, *settings.upstreams.values()], strict=True
    ):
        if upstream.username and not upstream.password.get_secret_value():
            yield Complaint(
                path=(*path, "password"),
                what="is missing: there is a username",
                cure='write password = { env = "UPSTREAM_PASSWORD" } or the like',
                rests_on=((*path, "username"),),
            )


def _is_everybody(networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether all of IPv4 or all of IPv6 is covered, be it in pieces."""
    fourth = collapse_addresses(n for n in networks if isinstance(n, IPv4Network))
    sixth = collapse_addresses(n for n in networks if isinstance(n, IPv6Network))
    return (
        any(network.prefixlen == 0 for network in fourth)
        or any(network.prefixlen == 0 for network in sixth)
        or _MAPPED_IPV4 in networks
    )


def _overlap(one: str, other: str) -> bool:
    return any(
        a == b or (a.version == b.version and (a.is_unspecified or b.is_unspecified))
        for a in map(ip_address, _addresses(one))
        for b in map(ip_address, _addresses(other))
    )


def _addresses(text: str) -> tuple[str, ...]:
    return ("127.0.0.1", "::1") if text == "localhost" else (text,)
