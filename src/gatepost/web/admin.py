"""The administrators' application: metrics and health, on a listener of its own.

In: ASGI requests. Out: `/metrics` in the format that the scraper asks for, `/healthz` and
`/readyz`; the API under `/api`. It is bound to loopback unless configured otherwise. Whatever else
is asked for is refused as the API refuses, with the headers that every answer has.
"""

import os

from fastapi import FastAPI, Request
from fastapi.responses import Response
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.exceptions import HTTPException

from gatepost.web.answer import Answer, Headers
from gatepost.web.api.application import add_api
from gatepost.web.api.problems import Problem
from gatepost.web.api.questions import Questions
from gatepost.web.health import LOOK, add_health
from gatepost.web.site import Site


def admin_app(site: Site, questions: Questions) -> FastAPI:
    """The application for the admin listener; `questions` are what the API asks of `app`."""
    app = FastAPI(
        title="Gatepost", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Answer(200, encode(_registry()), content_type.encode("ascii")).response()

    app.add_api_route("/metrics", metrics, methods=[*LOOK])
    add_health(app, site, tell=True)
    add_api(app, site, questions)
    app.add_exception_handler(HTTPException, _refused)
    return app


async def _refused(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    allowed = (error.headers or {}).get("Allow", "") if isinstance(error, HTTPException) else ""
    extra: Headers = ((b"allow", allowed.encode("ascii")),) if allowed else ()
    detail = "the method is not for this" if status == 405 else "there is nothing here"
    return Problem(status, detail, extra).answer().response()


def _registry() -> CollectorRegistry:
    """The numbers of this process or, in Prometheus' multi-process mode, of all workers."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
