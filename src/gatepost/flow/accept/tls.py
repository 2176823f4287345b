"""TLS on the way in: the context from PEM files, and the cipher's registered name."""

import re
import ssl
from pathlib import Path

_OPENSSL_NAME = re.compile(
    r"(ECDHE|DHE)-(RSA|ECDSA)-(?:AES(128|256)-(GCM|CCM8|CCM|SHA\d*)(?:-(SHA\d+))?|CHACHA20-POLY1305)"
)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for a listener: TLS 1.2 or newer (RFC 8314 §4.1), nothing asked of clients.

    The ciphers are Python's own choice: forward secrecy and no SHA-1 in all of them.
    Raises `OSError` or `ssl.SSLError` for files that do not work.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.load_cert_chain(certificate, key)
    return context


def cipher_name(tls: ssl.SSLObject | None) -> str:
    """The name for the `tls` clause of Received (RFC 8314 §4.3), "" without TLS.

    OpenSSL's own spelling is turned into the registered one where the rule is known.
    """
    cipher = tls.cipher() if tls else None
    return registered_name(cipher[0]) if cipher else ""


def registered_name(openssl_name: str) -> str:
    """`TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384` for `ECDHE-RSA-AES256-GCM-SHA384`."""
    match = _OPENSSL_NAME.fullmatch(openssl_name)
    if not match:
        return openssl_name  # TLS 1.3 uses the registered names already
    exchange, signature, bits, mode, digest = match.groups()
    if bits is None:
        return f"TLS_{exchange}_{signature}_WITH_CHACHA20_POLY1305_SHA256"
    cipher = f"AES_{bits}"
    if mode.startswith("SHA"):
        return f"TLS_{exchange}_{signature}_WITH_{cipher}_CBC_{mode}"
    tail = {"GCM": f"GCM_{digest}", "CCM": "CCM", "CCM8": "CCM_8"}[mode]
    return f"TLS_{exchange}_{signature}_WITH_{cipher}_{tail}"
