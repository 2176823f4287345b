"""The command line: one module per noun, put together here.

Out: `app`, which `python -m gatepost` runs. The words, options and exit statuses are in
docs/commands.md; how a command ends is in `desk`, how its module is found in `later`.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from gatepost import __version__
from gatepost.cli.desk import Desk, DeskGroup
from gatepost.cli.later import Later

__all__ = ["app"]

# name, where it is below this package, and the line that `gatepost --help` shows
_COMMANDS = (
    (
        "init",
        "init:init",
        "Write a commented config.toml, secret keys (mode 0600) and an empty store.",
    ),
    (
        "serve",
        "serve:serve",
        "Run everything: SMTP, the recipients' pages, delivery, housekeeping.",
    ),
    (
        "demo",
        "demo:demo",
        "Show the whole product at work: 1,000 people, two mailings, one unsubscribe.",
    ),
    (
        "doctor",
        "doctor:doctor",
        "Check store, disk, upstream, public URL, and the DKIM, SPF, DMARC and PTR records.",
    ),
    (
        "preview",
        "preview:preview",
        "Show the copy of a message for one address, and every octet that is changed in it.",
    ),
    (
        "selftest",
        "selftest:selftest",
        "Send a mail through the whole path to oneself, and judge it as Gmail and Yahoo would.",
    ),
    (
        "hash-password",
        "password:hash_password_command",
        "Ask for a password twice, and print its hash for `password_hash` in config.toml.",
    ),
    ("config", "config:app", "The configuration."),
    ("source", "source:app", "Sources: where consent is collected."),
    ("consent", "consent:app", "Consent: what is on record, and adding to it."),
    ("audience", "audience:app", "Audiences: lists of addresses, before they are mailed."),
    ("quarantine", "quarantine:app", "The quarantine: recipients that are held."),
    ("queue", "queue:app", "The queue: accepted mail on its way."),
    ("campaign", "campaign:app", "Campaigns: bulk mailings and what became of them."),
    ("complaint", "complaint:app", "Complaint cases and their deadlines."),
    ("sender", "sender:app", "Senders."),
    ("suppression", "suppression:app", "Suppressions: addresses that a sender must not mail."),
    ("apikey", "apikey:app", "Keys to the API, for programs."),
    ("webhook", "webhook:app", "Webhooks: systems that are told of changes."),
    ("ledger", "ledger:app", "The chain of evidence."),
    ("store", "store:app", "The store as a whole."),
    ("retention", "retention:app", "What is no longer needed goes."),
    ("keys", "keys:app", "The keys behind the links in mails."),
    ("dkim", "dkim:app", "Keys for DKIM signatures."),
)


class _House(DeskGroup):
    """The outermost command: it knows every noun, and loads the one that is named."""

    def __init__(self, **given: Any) -> None:
        rows = (Later(name, f"{__name__}.{place}", line) for name, place, line in _COMMANDS)
        super().__init__(**given | {"commands": {str(row.name): row for row in rows}})


app = typer.Typer(
    name="gatepost",
    cls=_House,
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
