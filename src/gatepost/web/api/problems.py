"""Refusals as RFC 9457 has them: `application/problem+json`, always with status, title, detail.

In: what is wrong. Out: an `Answer`, or an exception for routes to raise. What a request said is
not repeated: it may be somebody's address.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from gatepost.web.answer import Answer, Headers, retry_later

PROBLEM = b"application/problem+json"
_MOST_ERRORS = 50
_WHOLE = "#"
_READING = re.compile(r"[A-Z]|list\[")  # a model's name; fields begin with a small letter
_STRING = {"type": "string"}
_SHAPE: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": _STRING,
        "title": _STRING,
        "status": {"type": "integer"},
        "detail": _STRING,
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"pointer": _STRING, "detail": _STRING}},
        },
    },
}
_MEANINGS = {
    400: "The body is no JSON.",
    401: "No key, or none that is one.",
    403: "The key has not the scope.",
    404: "There is no such thing, or it belongs to another sender.",
    408: "The rest of the request did not come.",
    409: "Only the person can do that.",
    413: "The request is too large.",
    422: "The request is not what is asked for.",
    503: "Try again later.",
}
# What the document says of refusals, for every operation.
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "content": {PROBLEM.decode("ascii"): {"schema": _SHAPE}}}
    for status, words in _MEANINGS.items()
}


class Problem(Exception):  # noqa: N818  an answer
    """Ends a request with a refusal."""

    def __init__(self, status: int, detail: str, extra: Headers = (), **members: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.extra, self.members = status, detail, extra, members

    def answer(self) -> Answer:
        """The refusal as it is sent."""
        body: Mapping[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }
        return Answer(self.status, json.dumps(body, ensure_ascii=False), PROBLEM, self.extra)


def unauthenticated(detail: str, *, invalid: bool) -> Problem:
    """No key, or none that is one (RFC 6750 §3)."""
    challenge = b'Bearer realm="gatepost"' + (b', error="invalid_token"' if invalid else b"")
    return Problem(401, detail, ((b"www-authenticate", challenge),))


def forbidden(scope: str) -> Problem:
    """The key does not open this."""
    challenge = f'Bearer realm="gatepost", error="insufficient_scope", scope="{scope}"'
    extra = ((b"www-authenticate", challenge.encode("ascii")),)
    return Problem(403, f"the key has not the scope {scope}", extra)


def unavailable(detail: str) -> Problem:
    """Try again later; nothing was lost, and nothing half done is told as done."""
    return Problem(503, detail, retry_later())


def invalid(errors: Iterable[Mapping[str, Any]]) -> Problem:
    """The body or a parameter is not what is asked for; where and why, without the values."""
    told: Sequence[Mapping[str, str]] = [
        {"pointer": _pointer(error["loc"]), "detail": str(error["msg"])[:200]} for error in errors
    ]
    # A body that may be one or many is read as both; the reading that got further was meant.
    told = [one for one in told if one["pointer"] != _WHOLE] or told
    return Problem(422, "the request is not what is asked for", errors=told[:_MOST_ERRORS])


def _pointer(place: Sequence[str | int]) -> str:
    """Where in the body, as RFC 6901 points in a fragment, or which parameter."""
    where, *path = place or ("body",)
    steps = [str(step) for step in path]
    if where != "body":
        return f"{where}: {'/'.join(steps)}"
    if steps and _READING.match(steps[0]):
        del steps[0]
    return _WHOLE + "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
