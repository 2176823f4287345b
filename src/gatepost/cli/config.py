"""`gatepost config check`: what is wrong with the configuration, everything at once."""

from pathlib import Path

import typer

from gatepost.cli.desk import Refusal, desk_of, listing

app = typer.Typer(help="The configuration.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """The configuration."""


@app.command()
def check(ctx: typer.Context) -> None:
    """Validate config.toml and conf.d/, and print every error with its cure."""
    desk = desk_of(ctx)
    settings = desk.settings
    _check_texts(settings.pages.templates)
    typer.echo(f"{desk.path}: the configuration is good")
    typer.echo(f"  senders: {listing(settings.senders)}")
    typer.echo(f"  streams: {listing(settings.streams)}")
    typer.echo(f"  clients: {listing(settings.clients)}")


def _check_texts(folder: Path | None) -> None:
    from gatepost.app.texts import Texts  # noqa: PLC0415  loads the catalogues
    from gatepost.app.trouble import TextsError  # noqa: PLC0415

    try:
        Texts(folder)
    except TextsError as error:
        raise Refusal(str(error)) from error
