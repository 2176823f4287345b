"""The administrators' application: metrics and health, on a listener of its own.

In: ASGI requests. Out: `/metrics` in the format that the scraper asks for, `/healthz` and
`/readyz`. It is bound to loopback unless configured otherwise.
"""

from fastapi import FastAPI, Request
from fastapi.responses import Response
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from gatepost.web.answer import Answer
from gatepost.web.health import LOOK, add_health
from gatepost.web.site import Site


def admin_app(site: Site) -> FastAPI:
    """The application for the admin listener."""
    app = FastAPI(
        title="Gatepost", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Answer(200, encode(REGISTRY), content_type.encode("ascii")).response()

    app.add_api_route("/metrics", metrics, methods=[*LOOK])
    add_health(app, site, tell=True)
    return app
