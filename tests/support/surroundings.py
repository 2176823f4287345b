"""What a machine's environment would say to programs and libraries under test, taken back.

A colour for every terminal that there is none of, a proxy for loopback, another host or more TLS
for every PostgreSQL: `settle` is called before anything is imported that looks for it.
"""

import os

_COLOURS = ("FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE")
_OURS = ("GATEPOST_CONFIG",)
_HERE = "127.0.0.1,::1,localhost,example,test,example.org,example.com"


def settle() -> None:
    """Leaves proxies as they are, for what is downloaded, but not for what is here."""
    libpq = [name for name in os.environ if name.startswith("PG")]
    for name in (*_COLOURS, *_OURS, *libpq):
        os.environ.pop(name, None)
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), _HERE]))
