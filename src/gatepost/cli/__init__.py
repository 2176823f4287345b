"""The command line: one module per noun, put together here.

Out: `app`, which `python -m gatepost` runs. The words, options and exit statuses are in
docs/commands.md; how a command ends is in `desk`.
"""

from pathlib import Path
from typing import Annotated

import typer

from gatepost import __version__
from gatepost.cli import (
    apikey,
    audience,
    campaign,
    complaint,
    config,
    consent,
    dkim,
    keys,
    ledger,
    quarantine,
    queue,
    retention,
    sender,
    source,
    store,
    suppression,
    webhook,
)
from gatepost.cli.demo import demo
from gatepost.cli.desk import Desk, DeskGroup
from gatepost.cli.doctor import doctor
from gatepost.cli.init import init
from gatepost.cli.password import hash_password_command
from gatepost.cli.preview import preview
from gatepost.cli.selftest import selftest
from gatepost.cli.serve import serve

__all__ = ["app"]

app = typer.Typer(
    name="gatepost",
    cls=DeskGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit status: 0 done; 1 the answer is no; 2 bad usage or configuration; "
        "3 the store or upstream is out of reach."
    ),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gatepost {__version__}")
        raise typer.Exit


@app.callback()
def gatepost(
    ctx: typer.Context,
    config_path: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="PATH",
            envvar="GATEPOST_CONFIG",
            help="The configuration; else ./config.toml, then /etc/gatepost/config.toml.",
        ),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version, and end."
        ),
    ] = False,
) -> None:
    """A consent-enforcing SMTP relay: nobody is mailed without a reason on record."""
    ctx.obj = Desk(config_path)


app.command()(init)
app.command()(serve)
app.command()(demo)
for _noun in (
    config,
    source,
    consent,
    audience,
    quarantine,
    queue,
    campaign,
    complaint,
    sender,
    suppression,
    apikey,
    webhook,
    ledger,
    store,
    retention,
    keys,
    dkim,
):
    app.add_typer(_noun.app, name=_noun.__name__.rpartition(".")[2])
app.command()(doctor)
app.command()(preview)
app.command()(selftest)
app.command("hash-password")(hash_password_command)
