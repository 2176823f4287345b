"""The API as a whole: `/api/v1`, its OpenAPI document and the page that shows it.

In: a site and the questions that only `app` can answer. Out: an ASGI application that
`add_api` mounts on the administrators' one.

*Known limits:* the document describes the API as it is; earlier versions are not kept.
"""

from fastapi import FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from gatepost import __version__
from gatepost.store.trouble import StoreUnavailable
from gatepost.web.answer import CSS, HTML, Answer, Headers
from gatepost.web.api import (
    audience,
    campaigns,
    consents,
    docs,
    problems,
    quarantine,
    suppressions,
    withdrawals,
)
from gatepost.web.api.gate import ENDED_BY, OWN_ERROR, Gate, inner_path, refusal
from gatepost.web.api.problems import Problem
from gatepost.web.api.questions import Questions
from gatepost.web.site import Site

PREFIX = "/api"
_NONE: Headers = ()
_ABOUT = """\
Consents, withdrawals, audience checks, suppressions, campaigns and the quarantine, for programs.
A request carries a key (`gatepost apikey add`) as `Authorization: Bearer …`; addresses stand in
bodies, never in URLs. Refusals are problem details (RFC 9457); what belongs to another sender is
answered as what does not exist. Lists come in pages: a `Link` header with `rel="next"` names the
next one. `503` with `Retry-After` means that the store is away: nothing was done.
"""


def add_api(app: FastAPI, site: Site, questions: Questions) -> None:
    """Puts the API under `/api` of the administrators' application."""
    app.mount(PREFIX, Gate(site.store, _rooms(site, questions)))


def _rooms(site: Site, questions: Questions) -> FastAPI:
    app = FastAPI(
        title="Gatepost",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    bearer = HTTPBearer(auto_error=False, description="a key of `gatepost apikey add`")
    for routes in (
        withdrawals.router(site),
        consents.router(site, questions),
        audience.router(site, questions),
        suppressions.router(site),
        campaigns.router(site),
        quarantine.router(site),
    ):
        app.include_router(
            routes,
            prefix="/v1",
            dependencies=[Security(bearer)],
            responses=problems.DOCUMENTED,
        )

    async def page() -> Response:
        return Answer(200, docs.page(app.openapi()), HTML).response()

    async def style() -> Response:
        return Answer(200, docs.STYLE, CSS).response()

    app.add_api_route("/docs", page, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/docs.css", style, methods=["GET", "HEAD"], include_in_schema=False)
    _add_troubles(app)
    return app


def _add_troubles(app: FastAPI) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        ended_by: Problem | None = request.scope.get(ENDED_BY)
        if ended_by is not None:
            return ended_by.answer().response()
        status, extra = 404, _NONE
        if isinstance(error, HTTPException):
            status = error.status_code
            if status == 405:
                path = inner_path(request.scope)
                allow = _allowed(app, path, (error.headers or {}).get("Allow", ""))
                extra = ((b"allow", allow),)
        details = {404: "there is nothing here", 405: "the method is not for this", 400: "no JSON"}
        return Problem(status, details.get(status, "refused"), extra).answer().response()

    async def problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)  # noqa: S101  what it is registered for
        return error.answer().response()

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        return problems.invalid(error.errors()).answer().response()

    async def away(_: Request, error: Exception) -> Response:
        return refusal(error).answer().response()

    async def own_error(_: Request, __: Exception) -> Response:
        # Starlette raises the error again after this answer; the gate counts and logs it.
        return OWN_ERROR.answer().response()

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(StoreUnavailable, away)
    app.add_exception_handler(Exception, own_error)
    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(RequestValidationError, invalid)


def _allowed(app: FastAPI, path: str, by_framework: str) -> bytes:
    """All methods of a path. The framework names those of one route, and each has a route."""
    for known, operations in app.openapi()["paths"].items():
        if compile_path(known)[0].fullmatch(path):
            return ", ".join(sorted(method.upper() for method in operations)).encode("ascii")
    return by_framework.encode("ascii")
