"""Settings → what the rooms are given: routes, listeners' doors, policies, keys.

In: `Settings`. Out: frozen values of the rooms. Nothing is opened here except files that
the settings name.

*Fails:* `WiringError` for a file that was there when the settings were checked and is not
any more, and for what takes a restart.
"""

import socket
import ssl
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from gatepost.config import (
    Settings,
    to_bases,
    to_clients,
    to_placeholders,
    to_senders,
    to_streams,
)
from gatepost.config.gateway import SmtpSettings, TimeoutSettings, UpstreamSettings
from gatepost.config.parties import DkimSettings
from gatepost.consent.tokens import Ring
from gatepost.flow.accept.clients import ClientTable
from gatepost.flow.accept.door import Limits
from gatepost.flow.accept.tls import server_context
from gatepost.flow.classify import Rule, Suspicion
from gatepost.flow.decide.policy import Policy
from gatepost.flow.edit import DkimKey, load_key
from gatepost.flow.inbound import Sorting
from gatepost.flow.transmit.route import Route, Timeouts, Tls
from gatepost.mail.duration import Duration
from gatepost.mail.picture import Picture, picture
from gatepost.mail.placeholder import Spellings
from gatepost.store.keys import StoreKeys
from gatepost.web.site import Confirming


class WiringError(Exception):
    """A file that the settings name cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Everything that follows from the settings and may change with a reload."""

    settings: Settings
    hostname: str
    policy: Policy
    sorting: Sorting
    clients: ClientTable
    limits: Limits
    routes: Mapping[str, Route]
    retry_for: Mapping[str, timedelta]
    dkim: Mapping[str, tuple[DkimKey, ...]]
    logos: Mapping[str, Picture]
    placeholders: Spellings


def wire(settings: Settings, hostname: str = "") -> Wiring:
    """The rooms' values for `settings`; `hostname` is one that is kept. Raises `WiringError`."""
    hostname = hostname or settings.server.hostname or socket.getfqdn()
    upstreams = {"": settings.upstream, **settings.upstreams}
    return Wiring(
        settings=settings,
        hostname=hostname,
        policy=Policy(
            streams=to_streams(settings), senders=to_senders(settings), bases=to_bases(settings)
        ),
        sorting=_sorting(settings, hostname),
        clients=ClientTable(to_clients(settings).values()),
        limits=Limits(
            message_size=settings.limits.message_size,
            recipients_per_message=settings.limits.recipients_per_message,
            connections_per_client=settings.limits.connections_per_client,
            connections=settings.limits.connections,
        ),
        routes={name: _route(name, given, hostname) for name, given in upstreams.items()},
        retry_for={name: in_time(given.retry_for) for name, given in upstreams.items()},
        dkim={name: _keys(sender.dkim) for name, sender in settings.senders.items()},
        logos={name: _logo(one.logo) for name, one in settings.senders.items() if one.logo},
        placeholders=to_placeholders(settings),
    )


def check_upstreams(wiring: Wiring, running: Collection[str]) -> None:
    """Raises `WiringError` where mail would wait for an upstream to which nobody brings it."""
    policy = wiring.policy
    wanted = [(f"streams.{one.name}", policy.upstream_of(one)) for one in policy.streams.values()]
    wanted += [(f"senders.{one.name}", one.upstream) for one in policy.senders.values()]
    for who, upstream in wanted:
        if upstream and upstream not in running:
            raise WiringError(
                f"{who}: the upstream {upstream} is new, and mail for it would wait: restart"
            )


def ring_of(keys: StoreKeys) -> Ring:
    """The link keys of the store as a ring that seals and opens tokens."""
    return Ring(keys.link_keys, keys.link_current, keys.link_compromised)


def tls_context(listener: SmtpSettings) -> ssl.SSLContext | None:
    """The TLS context of a listener, `None` without TLS. Raises `WiringError`."""
    if listener.tls == "none":
        return None
    try:
        return server_context(Path(str(listener.certificate)), Path(str(listener.key)))
    except (OSError, ssl.SSLError) as error:
        raise WiringError(
            f"{listener.certificate}: the certificate cannot be used: {error}"
        ) from error


def confirming(wiring: Wiring) -> Confirming:
    """How sign-ups are confirmed, for the pages."""
    given = wiring.settings.consent
    return Confirming(given.confirm_within, given.confirm_again)


def in_time(duration: Duration) -> timedelta:
    """A duration that a timer waits for; months count as 30 days."""
    return timedelta(seconds=duration.approximate_seconds)


def _sorting(settings: Settings, hostname: str) -> Sorting:
    detection = settings.bulk_detection
    return Sorting(
        hostname=hostname,
        rules=tuple(
            Rule(
                stream=rule.stream,
                client=rule.client,
                header=rule.header,
                from_=rule.from_,
                subject=rule.subject,
                recipients_at_least=rule.recipients_at_least,
            )
            for rule in settings.classify
        ),
        suspicion=Suspicion(
            recipients=detection.recipients,
            same_content=detection.same_content,
            internal_domains=frozenset(detection.internal_domains),
        ),
        detect_bulk=detection.mode != "off",
        hold_undeclared_bulk=detection.mode == "quarantine",
        bulk_window=in_time(detection.within),
    )


def _route(name: str, given: UpstreamSettings, hostname: str) -> Route:
    return Route(
        name=name or "default",
        host=given.host,
        port=given.port,
        ehlo=hostname,
        tls=Tls(given.tls),
        username=given.username,
        password=given.password.get_secret_value(),
        connections=given.connections,
        rate=given.rate,
        timeouts=_timeouts(given.timeouts),
    )


def _timeouts(given: TimeoutSettings) -> Timeouts:
    limits = ((name, in_time(getattr(given, name))) for name in type(given).model_fields)
    return Timeouts(**{name: limit.total_seconds() for name, limit in limits})


def _keys(given: Sequence[DkimSettings]) -> tuple[DkimKey, ...]:
    keys = []
    for one in given:
        try:
            keys.append(DkimKey(one.domain, one.selector, load_key(Path(one.key).read_bytes())))
        except (OSError, ValueError) as error:
            raise WiringError(f"{one.key}: the DKIM key cannot be used: {error}") from error
    return tuple(keys)


def _logo(path: Path) -> Picture:
    try:
        return picture(path.read_bytes())
    except (OSError, ValueError) as error:
        raise WiringError(f"{path}: the logo cannot be used: {error}") from error
