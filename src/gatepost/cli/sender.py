"""`gatepost sender`: stop a sender's bulk mail, take it again, remove what is held for it."""

from collections import Counter
from functools import partial
from typing import Annotated

import typer

from gatepost.cli.desk import Refusal, Status, desk_of
from gatepost.cli.options import Json, Note
from gatepost.cli.printing import progress, show_json_rows, show_table
from gatepost.store import campaigns, removal
from gatepost.store.engine import Store

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


@app.command()
def remove(
    ctx: typer.Context,
    name: Name,
    *,
    with_suppressions: Annotated[
        bool,
        typer.Option(
            "--with-suppressions",
            help="Also who left or is suppressed; else that stays, as a hash.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove what is held for a sender: consents, sources, texts and pictures.

    For whoever hands a customer's data over: `gatepost consent export` comes first. The sender
    must be frozen. What other senders hold of the same people stays, and the chain of evidence
    stays verifiable. Rows of mail go by their own terms. Can be repeated after an interruption.
    """
    with desk_of(ctx).store() as store:
        if name not in store.read_now(campaigns.frozen_senders):
            raise Refusal(
                f"{name} is not frozen: no mail of it may be on its way. "
                f"Run gatepost sender freeze {name} first",
                Status.NO,
            )
        if not yes:
            typer.confirm(f"Remove everything that is held for {name}, for good?", abort=True)
        done = _remove(store, name, whole=with_suppressions)
        sources = store.write_now(lambda tx: removal.remove_rest(tx, name))
    typer.echo(
        f"removed: {done['events']} events of {done['people']} people, {done['addresses']} "
        f"addresses, {sources} sources"
    )


def _remove(store: Store, name: str, *, whole: bool) -> Counter[str]:
    done: Counter[str] = Counter()
    mark: int | None = removal.FIRST
    with progress(f"removing {name}", None) as advance:
        while mark is not None:
            work = partial(removal.remove_slice, mark=mark, sender=name, whole=whole)
            part = store.write_now(work)
            done.update(people=part.people, events=part.events, addresses=part.addresses)
            advance(part.people)
            mark = part.mark
    return done
