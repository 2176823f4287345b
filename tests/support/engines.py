"""Which engine the stores of a test are on, where the test does not open them itself.

A test marked `both_engines` runs once on each. Whatever is built for it (`support.site`,
`support.program`, `support.command`, `support.returning`) asks here for a URL: "" for the
embedded store, or a PostgreSQL database of its own for each folder.
"""

from contextlib import contextmanager

from support import postgres
from support.embedded import lay_down

ENGINES = ["sqlite", "postgresql"] if postgres.find_binaries() else ["sqlite"]

_server = None
_urls = {}


def store_url(folder):
    """Where the store of a gateway in `folder` is: the same at every question.

    An embedded one is laid down there, in `data`, unless it is there already.
    """
    if _server is None:
        lay_down(folder / "data")
        return ""
    place = str(folder.resolve())
    if place not in _urls:
        _urls[place] = _server.database()
    return _urls[place]


def on_postgresql():
    """Whether the test runs on PostgreSQL this time."""
    return _server is not None


@contextmanager
def stores_on(server):
    """Puts new stores on `server` meanwhile."""
    global _server  # a test has one engine, and helpers have no fixtures
    _server = server
    try:
        yield
    finally:
        _server = None
        while _urls:
            server.drop(_urls.popitem()[1])
