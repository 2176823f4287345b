"""Lists in pages: an array per page, and the next one in a Link header (RFC 8288).

So that a page has the very shape of the command's `--json`.
"""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request, Response

Limit = Annotated[int, Query(ge=1, le=1000, description="rows per page")]
PAGE = 200


def link_next(request: Request, response: Response, **changed: object) -> None:
    """Says where the next page is: the same question with other values of some parameters."""
    asked = dict(request.query_params) | {name: str(value) for name, value in changed.items()}
    path = request.url.path
    response.headers["link"] = f'<{path}?{urlencode(asked)}>; rel="next"'
