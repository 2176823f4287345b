"""DKIM keys for tests, and an independent verifier that knows their public halves."""

import base64

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gatepost.flow.edit import DkimKey

NOW = 1_700_000_000
KEY = rsa.generate_private_key(65537, 1024)
OTHER = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
KEYS = [DkimKey("acme.example", "gp1", KEY), DkimKey("mail.acme.example", "gp2", OTHER)]


def record(key: rsa.RSAPrivateKey) -> bytes:
    """The DNS record that publishes the key."""
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


RECORDS = {
    b"gp1._domainkey.acme.example.": record(KEY),
    b"gp2._domainkey.mail.acme.example.": record(OTHER),
}


def verify(copy: bytes, index: int = 0) -> bool:
    """Whether the signature number `index`, from the top, is valid."""
    try:
        return dkim.DKIM(copy).verify(idx=index, dnsfunc=lambda name, timeout=5: RECORDS[name])
    except dkim.ValidationError:
        return False
