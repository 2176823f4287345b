"""`gatepost sender`: stop a sender's bulk mail at once, and take it again."""

from typing import Annotated

import typer

from gatepost.cli.desk import desk_of
from gatepost.cli.options import Json, Note
from gatepost.cli.printing import show_json_rows, show_table
from gatepost.store import campaigns

app = typer.Typer(help="Senders.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The sender, as in config.toml.")]


@app.command("list")
def list_senders(ctx: typer.Context, json: Json = False) -> None:
    """List the senders, and which of them are frozen."""
    desk = desk_of(ctx)
    with desk.store() as store:
        frozen = store.read_now(campaigns.frozen_senders)
    names = sorted(desk.policy.senders.keys() | frozen)
    known = desk.policy.senders
    rows = [
        {
            "name": name,
            "legal_name": known[name].legal_name if name in known else "",
            "configured": name in known,
            "frozen": name in frozen,
        }
        for name in names
    ]
    if json:
        show_json_rows(rows)
    else:
        show_table(tuple(rows[0]) if rows else (), (tuple(row.values()) for row in rows))


@app.command()
def freeze(ctx: typer.Context, name: Name, note: Note = "") -> None:
    """Refuse a sender's bulk mail from now on; queued bulk mail is not sent."""
    desk = desk_of(ctx)
    desk.check_sender(name)
    with desk.store() as store:
        store.write_now(lambda tx: campaigns.freeze(tx, name, note))
    typer.echo(f"{name} is frozen: its bulk mail is refused until `gatepost sender thaw {name}`")


@app.command()
def thaw(ctx: typer.Context, name: Name) -> None:
    """Take a sender's bulk mail again."""
    desk = desk_of(ctx)
    with desk.store() as store:
        if not store.write_now(lambda tx: campaigns.thaw(tx, name)):
            desk.check_sender(name)
            typer.echo(f"{name} was not frozen")
            return
    typer.echo(f"{name} is thawed: its bulk mail is taken again")
