"""Why a PostgreSQL did not let us in, and what to do about it.

In: what libpq says. Out: the same with a cure, where one is known.
*Known limits:* libpq's English is what is known; a server that speaks another language says
itself why it refuses.
"""

from collections.abc import Mapping

# Looked for in this order: the first that is found says the cure.
_CURES: Mapping[str, str] = {
    "does not match host name": "name the server in [store] url as its certificate does",
    "certificate verify failed": "sslrootcert in [store] url has to name the authority that signed "
    "the server's certificate, which must not have expired",
    "SSL, but SSL was required": "the server, or a pooler in front of it, has to speak TLS",
    "password authentication failed": "see the password in [store] url, or in ~/.pgpass",
    "no password supplied": "write the password into [store] url or ~/.pgpass of the user that "
    "Gatepost runs as, or name a client certificate (sslcert, sslkey)",
    "valid client certificate": "name the client's certificate in [store] url (sslcert, sslkey)",
    "no encryption": "write sslmode=verify-full into [store] url",
    "no pg_hba.conf entry": "let this host and user in, in the server's pg_hba.conf",
}


def with_cure(text: str) -> str:
    """What libpq said, on one line, and what to do."""
    said = " ".join(text.split())
    return next((f"{said}: {cure}" for sign, cure in _CURES.items() if sign in said), said)
