"""What a domain publishes in DNS so that its DKIM signatures can be checked (RFC 6376 §3.6).

In: a private key, a domain, a selector. Out: the record's name and text, and the text as DNS
wants it, in strings of at most 255 octets.

*Fails:* `ValueError` from `public_key` for a text that is no record of an RSA key.
"""

from base64 import b64decode, b64encode

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

STRING_OCTETS = 255  # RFC 1035 §3.3


def record_name(domain: str, selector: str) -> str:
    """Where the record stands, without a dot at the end."""
    return f"{selector}._domainkey.{domain}"


def record_text(key: RSAPrivateKey) -> str:
    """The record that publishes the public half of `key`."""
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={b64encode(public).decode('ascii')}"


def record_strings(text: str) -> tuple[str, ...]:
    """`text` cut into strings that DNS can hold; readers join them without blanks."""
    return tuple(text[at : at + STRING_OCTETS] for at in range(0, len(text), STRING_OCTETS))


def zone_line(domain: str, selector: str, text: str) -> str:
    """The record as a zone file has it."""
    strings = " ".join(f'"{one}"' for one in record_strings(text))
    return f"{record_name(domain, selector)}. IN TXT ( {strings} )"


def public_key(text: str) -> RSAPublicKey:
    """The key that a record publishes.

    Raises `ValueError` where it publishes none, or has withdrawn it (an empty p=).
    """
    tags = dict(_tag(piece) for piece in text.split(";") if "=" in piece)
    if tags.get("v", "DKIM1") != "DKIM1" or tags.get("k", "rsa") != "rsa":
        raise ValueError("it is no record of an RSA key")
    if not tags.get("p"):
        raise ValueError("it publishes no key: p= is empty or missing")
    try:
        key = load_der_public_key(b64decode("".join(tags["p"].split()), validate=True))
    except ValueError as error:
        raise ValueError("its p= is no public key") from error
    if not isinstance(key, RSAPublicKey):
        raise ValueError("its p= is no RSA key")  # noqa: TRY004 - a matter of content
    return key


def _tag(piece: str) -> tuple[str, str]:
    name, _, value = piece.partition("=")
    return name.strip(), value.strip()
