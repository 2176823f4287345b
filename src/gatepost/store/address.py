"""The address of a PostgreSQL: the URL of `[store]`, read as libpq reads it, and never repeated.

In: `postgresql://…`, with everything that libpq takes behind a question mark. Out: libpq's
parameters, or the URL without its secrets.

*Fails:* `ValueError` for what cannot be read. Its text says what to write instead and holds
nothing of the URL that may belong to a password: libpq's own words would.
"""

import re

SCHEMES = ("postgresql://", "postgres://")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_NEAR = ("", "localhost", "::1")
_UNKNOWN = re.compile(r'invalid URI query parameter: "([a-z_]{1,30})"')
_IN_FRONT = re.compile(r"(://[^:@/?#]*:)[^@]*@")
_BEHIND = re.compile(r"([?&](?:ssl)?password=)[^&]*")
_UNREADABLE = (
    "cannot be read: write %25 %40 %2F %3A for the characters % @ / : in a password, and an IPv6 "
    "address in brackets"
)


def parameters(url: str) -> dict[str, str]:
    """What `url` says, by libpq's names. Raises `ValueError`."""
    import psycopg  # noqa: PLC0415  an embedded store does without
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    if not url.startswith(SCHEMES):
        raise ValueError("is no address of a PostgreSQL database")
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.Error as error:
        known = _UNKNOWN.search(str(error))
        why = f"has a parameter that libpq does not know: {known[1]}" if known else _UNREADABLE
        raise ValueError(why) from None
    # An @ that is part of a password ends it, and the rest would pass for a host or a name.
    if any("@" in found.get(name, "") for name in ("host", "dbname", "port")):
        raise ValueError(_UNREADABLE)
    if not all(port.isdecimal() for port in found.get("port", "0").split(",") if port):
        raise ValueError("has a port that is no number")
    if found.get("sslmode", "prefer") not in _SSL_MODES:
        raise ValueError(f"has an sslmode that is none of {', '.join(_SSL_MODES)}")
    return found


def is_exposed(url: str) -> bool:
    """Whether others on the way could read along, or pass for the server."""
    found = parameters(url)
    hosts = found.get("host", "").split(",")
    near = all(host in _NEAR or host.startswith(("/", "127.")) for host in hosts)
    # With the system's authorities libpq insists on the name.
    verified = found.get("sslmode") == "verify-full" or found.get("sslrootcert") == "system"
    return not (near or verified)


def without_secrets(url: str) -> str:
    """`url` for eyes and logs, with *** for its passwords."""
    return _BEHIND.sub(r"\1***", _IN_FRONT.sub(r"\1***@", url))
