"""The administrators' application: metrics and health, on a listener of its own.

In: ASGI requests. Out: `/metrics` in the format that the scraper asks for, `/healthz` and
`/readyz`; the API under `/api`. It is bound to loopback unless configured otherwise.
"""

import os

from fastapi import FastAPI, Request
from fastapi.responses import Response
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from gatepost.web.answer import Answer
from gatepost.web.api.application import add_api
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
    return app


def _registry() -> CollectorRegistry:
    """The numbers of this process or, in Prometheus' multi-process mode, of all workers."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
