"""What kind of visit a request is: a person, a browser that fetches ahead, or a program.

Security scanners open every link of a mail, some with a browser. None of that changes anything
(R8058-14), and the kinds are only counted apart, so that a figure of page views means something.

*Known limits:* a scanner that behaves like a browser in every header counts as a person.
"""

import re
from enum import StrEnum

from gatepost.web import counters
from gatepost.web.visitor import Scope, header

_AHEAD = (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz")
_SAYS_SO = re.compile(r"prefetch|prerender|preview", re.IGNORECASE)
_PROGRAM = re.compile(
    r"bot\b|crawl|spider|scan|preview|headless|python|curl|wget|httpclient|http-client|okhttp|"
    r"go-http|java/|libwww|proofpoint|barracuda|mimecast|safelinks|urldefense",
    re.IGNORECASE,
)


class Visit(StrEnum):
    """The kinds."""

    PERSON = "person"
    PREFETCH = "prefetch"
    PROGRAM = "program"
    OTHER_METHOD = "other-method"  # HEAD, OPTIONS, PROPFIND: safe, and never a person


def kind_of(scope: Scope) -> Visit:
    """The kind of a request that is no POST."""
    if scope["method"] != "GET":
        return Visit.OTHER_METHOD
    if any(_SAYS_SO.search(header(scope, name)) for name in _AHEAD):
        return Visit.PREFETCH
    agent = header(scope, b"user-agent")
    if not agent.startswith("Mozilla/") or _PROGRAM.search(agent):
        return Visit.PROGRAM
    return Visit.PERSON if "html" in header(scope, b"accept") else Visit.PROGRAM


def count(page: str, scope: Scope) -> None:
    """Counts a visit to `page`."""
    counters.PAGE_VIEWS.labels(page, kind_of(scope)).inc()
