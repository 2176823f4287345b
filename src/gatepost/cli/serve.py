"""`gatepost serve`: runs everything until told to stop."""

from typing import Annotated

import typer

from gatepost.cli.desk import desk_of


def serve(
    ctx: typer.Context,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=256, metavar="N", help="Processes to run; else as [server] workers says."
        ),
    ] = None,
) -> None:
    """Run everything: SMTP, the recipients' pages, delivery, housekeeping.

    SIGTERM and SIGINT end it in order, SIGHUP reads the configuration again.
    """
    from gatepost.app.serving import serve as run  # noqa: PLC0415  loads every room

    raise typer.Exit(run(desk_of(ctx).path, workers))
