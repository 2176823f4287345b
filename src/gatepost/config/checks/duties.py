"""Duties: what law and standards ask of senders, streams and their keys.

In: settings. Out: complaints. Numbers such as ME-3 are those of REQUIREMENTS.

*Fails:* never; checks yield complaints.
"""

import re
from collections.abc import Iterator

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gatepost.config.explain import Complaint, nearest
from gatepost.config.nouns import to_senders
from gatepost.config.parties import DkimSettings
from gatepost.config.settings import Settings
from gatepost.consent.bases import Bases
from gatepost.mail.address import parse
from gatepost.store.private import cure, why_open

_LINK_BASE = re.compile(r"[A-Za-z0-9._~:/\[\]%@-]+")
_MAILTO = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+")
MIN_RSA_BITS = 1024  # RFC 8301 §3.2 (RK-1)


def bulk_senders_are_named(settings: Settings) -> Iterator[Complaint]:
    """Bulk mail carries legal name and postal address (ME-3, WP-9, WP-10)."""
    for name, sender in settings.senders.items():
        streams = [
            stream
            for stream, policy in settings.streams.items()
            if policy.sender == name and policy.kind == "bulk"
        ]
        if not streams:
            continue
        samples = {"name": "Acme AB", "postal_address": "Storgatan 1, 111 22 Stockholm, Sweden"}
        for key, sample in samples.items():
            if not getattr(sender, key):
                yield Complaint(
                    path=("senders", name, key),
                    what=f'is missing: the bulk stream "{streams[0]}" is sent on its behalf',
                    cure=f'write {key} = "{sample}" or the like',
                    rests_on=(("streams", streams[0], "kind"), ("streams", streams[0], "sender")),
                )


def returns_have_a_listener(settings: Settings) -> Iterator[Complaint]:
    """Mail to the bounce domain and the unsubscribe address must be able to come in."""
    if any(listener.role == "returns" for listener in settings.smtp):
        return
    for name, sender in settings.senders.items():
        for key in ("bounce_domain", "unsubscribe_mailto"):
            if getattr(sender, key):
                yield Complaint(
                    path=("senders", name, key),
                    what="nothing listens for the mail that comes there",
                    cure='add a listener: [[smtp]] with role = "returns"',
                    rests_on=(("smtp",),),
                )


def verp_has_a_domain(settings: Settings) -> Iterator[Complaint]:
    """Return paths of one's own need a domain to be in (R0-5)."""
    for name, stream in settings.streams.items():
        sender = settings.senders.get(stream.sender)
        if stream.return_path != "verp" or (stream.sender and sender is None):
            continue
        if sender is None or not sender.bounce_domain:
            whose = f"senders.{stream.sender}" if sender else "its sender"
            yield Complaint(
                path=("streams", name, "return_path"),
                what=f"{whose} has no bounce_domain for such return paths",
                cure=f'write bounce_domain in {whose}, or return_path = "keep"',
                rests_on=(
                    ("senders", stream.sender, "bounce_domain"),
                    ("streams", name, "sender"),
                ),
            )


def letters_come_from_the_sender(settings: Settings) -> Iterator[Complaint]:
    """Our letters on a sender's behalf bear an address it may send as (WP-9, G-5)."""
    for name, sender in to_senders(settings).items():
        if not sender.mail_from:
            continue
        address = parse(sender.mail_from)
        path = ("senders", name, "mail_from")
        if not sender.may_send_as(address):
            yield Complaint(
                path=path,
                what="is no address that this sender may send as",
                cure=f"write one that senders.{name}.from allows, or add it there",
                rests_on=(("senders", name, "from"),),
            )
        elif not sender.mail_from.rpartition("@")[0].isascii():
            yield Complaint(
                path=path,
                what="has letters that many mail servers do not take",
                cure="write an address in ASCII",
            )


def ways_out_fit_into_a_header(settings: Settings) -> Iterator[Complaint]:
    """List-Unsubscribe is one line of plain ASCII (R8058-1, R2369-7)."""
    links: dict[tuple[str, ...], str] = {("server", "public_url"): settings.server.public_url}
    for name, party in settings.senders.items():
        links["senders", name, "public_url"] = party.public_url
    for path, link in links.items():
        if link and not _LINK_BASE.fullmatch(link):
            yield Complaint(
                path=path,
                what="has a character that a link in a header cannot have",
                cure="keep to letters, digits and . _ ~ - % / in its path",
            )
    for name, sender in to_senders(settings).items():
        if sender.unsubscribe_mailto and not _MAILTO.fullmatch(sender.unsubscribe_mailto):
            yield Complaint(
                path=("senders", name, "unsubscribe_mailto"),
                what="has letters that many mail servers do not take",
                cure="write an address in ASCII, without quotes and brackets",
            )


def dkim_keys_can_sign(settings: Settings) -> Iterator[Complaint]:
    """A key is there, is RSA and long enough (RK-1), and no two share a DNS record."""
    for name, sender in settings.senders.items():
        for number, dkim in enumerate(sender.dkim):
            path = ("senders", name, "dkim", number, "key")
            trouble = _why_useless(dkim)
            if trouble:
                yield Complaint(
                    path=path,
                    what=trouble,
                    cure="give the path of an RSA key in PEM, 2048 bits, without a password",
                )
            elif openness := why_open(dkim.key):
                yield Complaint(
                    path=path, what=f"the key is not safe: {openness}", cure=cure(dkim.key)
                )
        records = [(dkim.selector, dkim.domain) for dkim in sender.dkim]
        for number, record in enumerate(records):
            if record in records[:number]:
                yield Complaint(
                    path=("senders", name, "dkim", number, "selector"),
                    what="two keys of this sender have the same selector and domain",
                    cure="give each key a selector of its own",
                )


def _why_useless(dkim: DkimSettings) -> str:
    try:
        key = load_pem_private_key(dkim.key.read_bytes(), password=None)
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "the file holds no private key that can be read without a password"
    if not isinstance(key, RSAPrivateKey):
        return "the key is not an RSA key"
    if key.key_size < MIN_RSA_BITS:
        return f"the key has {key.key_size} bits; receivers ignore less than {MIN_RSA_BITS}"
    return ""


def releases_come_before_the_end(settings: Settings) -> Iterator[Complaint]:
    """Held mail cannot be released when it is gone."""
    keep = settings.quarantine.keep
    for name, stream in settings.streams.items():
        given = "release_within" in stream.model_fields_set
        if given and stream.release_within.approximate_seconds > keep.approximate_seconds:
            yield Complaint(
                path=("streams", name, "release_within"),
                what=f"is longer than held mail is kept: quarantine.keep is {keep}",
                cure=f'write "{keep}" or less, or keep it longer',
                rests_on=(("quarantine", "keep"),),
            )


def confirmations_come_before_the_end(settings: Settings) -> Iterator[Complaint]:
    """A sign-up can be confirmed only while it is on record."""
    kept, given = settings.retention.unconfirmed, settings.consent.confirm_within
    if given.approximate_seconds > kept.approximate_seconds:
        yield Complaint(
            path=("consent", "confirm_within"),
            what=f"is longer than such a sign-up is kept: retention.unconfirmed is {kept}",
            cure=f'write "{kept}" or less, or keep it longer',
            rests_on=(("retention", "unconfirmed"),),
        )


def bases_are_only_stricter(settings: Settings) -> Iterator[Complaint]:
    """No setting makes a basis of consent stronger than the law has it (HS-26)."""
    bases = Bases.built_in(settings.consent.implied_lifetime)
    useful = [basis.name for basis in bases if not basis.never_counts]
    for name, basis in settings.consent.bases.items():
        if bases.find(name) is None:
            near = nearest(name, useful)
            yield Complaint(
                path=("consent", "bases", name),
                what="is no basis",
                cure=f"did you mean {near}?" if near else "write one of " + ", ".join(useful),
            )
            continue
        try:
            bases.stricter(name, lifetime=basis.lifetime)
        except ValueError as error:
            what, _, cure = str(error).rpartition(": ")
            yield Complaint(
                path=("consent", "bases", name, "lifetime"),
                what=what,
                cure=cure,
                rests_on=(("consent", "implied_lifetime"),),
            )
