"""Where a request goes: its path as the pages know it, and the way back to their root.

In: the ASGI scope, and the paths that public URLs have. Out: a scope whose `path` begins at the
pages' root, whether the reverse proxy took the prefix away or not, and `root(scope)`, the
relative way there, which every link on a page begins with. Nothing is taken from `Host`.

A prefix that no public URL has any more is taken away, too: mails of the time before it changed,
or of a sender that left the configuration, still have it in their links (HR-5, R8058-15).

*Known limits:* a public URL whose path is that of a page (`/u`) works only behind a proxy that
treats both alike, which those of the guides do.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from gatepost.web.visitor import Scope

_ROOT = "gatepost.root"
_FIRST_STEPS = frozenset(
    {"u", "p", "c", "subscribe", "privacy", "manage", "static"}
    | {"healthz", "readyz", "robots.txt", "favicon.ico"}
)
_OF_BEFORE = re.compile(rf"(?:/[^/]+)+?(?=/(?:{'|'.join(map(re.escape, _FIRST_STEPS))})(?:/|\Z))")


def prefixes(urls: Iterable[str]) -> tuple[str, ...]:
    """The paths of these public URLs, the longest first, without a slash at the end."""
    paths = {urlsplit(url).path.rstrip("/") for url in urls}
    return tuple(sorted((path for path in paths if path), key=len, reverse=True))


def placed(scope: Scope, known: Iterable[str]) -> Scope:
    """`scope` with its path below the pages' root."""
    path = "/" + scope["path"].lstrip("/")
    # A slash that came as %2F is none to a browser that resolves a relative link.
    raw = scope.get("raw_path") or path.encode()
    steps = raw.partition(b"?")[0].count(b"/") - 1
    prefix = _prefix(path, known)
    path = path.removeprefix(prefix)
    steps -= prefix.count("/")
    return {**scope, "path": path, _ROOT: "../" * max(steps, 0)}


def root(scope: Scope) -> str:
    """The way from the request's page to the pages' root, such as `../`."""
    found: str = scope[_ROOT]
    return found or "./"


def _prefix(path: str, known: Iterable[str]) -> str:
    """What stands before the pages' root, "" for nothing."""
    for prefix in known:
        rest = path.removeprefix(prefix)
        if rest != path and rest.startswith("/") and _is_ours(rest):
            return prefix
    before = None if _is_ours(path) else _OF_BEFORE.match(path)
    return before.group() if before else ""


def _is_ours(path: str) -> bool:
    return path[1:].partition("/")[0] in _FIRST_STEPS
