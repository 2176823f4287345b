"""`gatepost config check`: what is wrong with the configuration, everything at once."""

import typer

from gatepost.cli.desk import desk_of, listing

app = typer.Typer(help="The configuration.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """The configuration."""


@app.command()
def check(ctx: typer.Context) -> None:
    """Validate config.toml and conf.d/, and print every error with its cure."""
    desk = desk_of(ctx)
    settings = desk.settings
    typer.echo(f"{desk.path}: the configuration is good")
    typer.echo(f"  senders: {listing(settings.senders)}")
    typer.echo(f"  streams: {listing(settings.streams)}")
    typer.echo(f"  clients: {listing(settings.clients)}")
