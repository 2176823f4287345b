"""`/healthz` and `/readyz`: is the process alive, and does everything it needs answer.

In: a FastAPI application. Out: two more routes. What is missing is told on the admin listener
only; strangers learn no more than yes or no.
"""

from fastapi import FastAPI
from fastapi.responses import Response

from gatepost.web.answer import TEXT, Answer, retry_later
from gatepost.web.site import Site

LOOK = ("GET", "HEAD")


def add_health(app: FastAPI, site: Site, *, tell: bool) -> None:
    """Adds both routes; `tell` says whether the reason for not being ready is shown."""

    async def alive() -> Response:
        return Answer(200, "ok\n", TEXT).response()

    async def ready() -> Response:
        missing = await site.ready()
        if not missing:
            return Answer(200, "ready\n", TEXT).response()
        text = f"not ready: {missing}\n" if tell else "not ready\n"
        return Answer(503, text, TEXT, retry_later()).response()

    app.add_api_route("/healthz", alive, methods=[*LOOK])
    app.add_api_route("/readyz", ready, methods=[*LOOK])
