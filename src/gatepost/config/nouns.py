"""Settings → the nouns of `gatepost.mail` and `gatepost.consent`.

In: loaded `Settings`. Out: streams, senders, clients, bases and placeholders as
the rooms know them.

*Fails:* never; settings that were loaded make nouns.
"""

from datetime import timedelta

from gatepost.config.parties import ClientSettings, SenderSettings, StreamSettings
from gatepost.config.settings import Settings
from gatepost.consent.bases import Bases
from gatepost.mail.address import parse
from gatepost.mail.client import Client
from gatepost.mail.placeholder import FOREIGN, MEANINGS, Spellings
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Kind, Stream, Unmodifiable
from gatepost.mail.verdict import Disposition


def to_streams(settings: Settings) -> dict[str, Stream]:
    """The streams by name."""
    return {name: _stream(name, stream) for name, stream in settings.streams.items()}


def to_senders(settings: Settings) -> dict[str, Sender]:
    """The senders by name, each with the base of its links."""
    fallback = settings.server.public_url
    return {name: _sender(name, sender, fallback) for name, sender in settings.senders.items()}


def to_clients(settings: Settings) -> dict[str, Client]:
    """The clients by name."""
    return {name: _client(name, client) for name, client in settings.clients.items()}


def to_placeholders(settings: Settings) -> Spellings:
    """The spellings beside our own, each with what it means."""
    given = settings.placeholders
    listed = [FOREIGN[system] for system in given.systems]
    listed.append({name: getattr(given, name) for name in MEANINGS})
    return tuple(
        (spelling, meaning)
        for table in listed
        for meaning, spellings in table.items()
        for spelling in spellings
    )


def to_bases(settings: Settings) -> Bases:
    """The table of bases with what the configuration makes stricter."""
    bases = Bases.built_in(settings.consent.implied_lifetime)
    for name, basis in settings.consent.bases.items():
        bases = bases.stricter(name, lifetime=basis.lifetime)
    return bases


def _stream(name: str, given: StreamSettings) -> Stream:
    return Stream(
        name=name,
        kind=Kind(given.kind),
        sender=given.sender,
        title=given.title,
        description=given.description,
        language=given.language,
        requires_explicit=given.requires == "explicit",
        soft_opt_in=given.soft_opt_in,
        double_opt_in=given.double_opt_in,
        categories=frozenset(given.categories),
        max_inactive=given.max_inactive,
        allow_role_addresses=given.role_addresses == "allow",
        on_ineligible=Disposition(given.on_ineligible),
        release_within=timedelta(seconds=given.release_within.approximate_seconds),
        unmodifiable=Unmodifiable(given.unmodifiable),
        footer_always=given.footer == "always",
        verp=given.return_path == "verp",
        observe=given.mode == "observe",
        upstream=given.upstream,
    )


def _sender(name: str, given: SenderSettings, public_url: str) -> Sender:
    return Sender(
        name=name,
        legal_name=given.name,
        postal_address=given.postal_address,
        public_url=given.public_url or public_url,
        registration=given.registration,
        contact=given.contact,
        privacy_url=given.privacy_url,
        from_patterns=given.from_,
        from_names=given.from_names,
        upstream=given.upstream,
        bounce_domain=given.bounce_domain,
        unsubscribe_mailto=_in_ascii(given.unsubscribe_mailto),
        mail_from=given.mail_from,
        accent=given.accent,
        unsubscribe_notice=given.unsubscribe_notice,
    )


def _in_ascii(address: str) -> str:
    """An address with its domain in A-labels, "" as it is: it goes into a header and a URL."""
    return f"{address.rpartition('@')[0]}@{parse(address).domain}" if address else ""


def _client(name: str, given: ClientSettings) -> Client:
    return Client(
        name=name,
        networks=given.networks,
        username=given.username,
        password_hash=given.password_hash.get_secret_value(),
        streams=given.streams,
        default_stream=given.default_stream,
        trust_headers=given.trust_headers,
        may_override=given.may_override,
        keep_dkim=given.keep_dkim,
        rate=given.rate,
    )
