"""`gatepost store`: the store as a whole: its condition, its schema up and back.

Nothing here opens the store as other commands do, because that would upgrade it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from gatepost.cli.desk import Desk, Refusal, Status, desk_of, say
from gatepost.cli.options import Json
from gatepost.cli.printing import show_facts, show_json, show_table
from gatepost.cli.selection import confirm
from gatepost.cli.store_moving import migrate_to
from gatepost.store import upkeep
from gatepost.store.engine import Store
from gatepost.store.instance import AlreadyServed, only_instance
from gatepost.store.schema import CannotRollBack, revisions

app = typer.Typer(help="The store as a whole.", no_args_is_help=True)
app.command()(migrate_to)


@app.command()
def status(
    ctx: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Read the whole embedded file, and find any damage.")
    ] = False,
    json: Json = False,
) -> None:
    """Say which engine and schema the store has, and whether this program fits it.

    Changes nothing, also where the store is older or newer than the program. Ends with 1 if
    they do not fit, or the file is damaged.
    """
    url, data_dir = _place(desk_of(ctx))
    found = upkeep.look(url, data_dir)
    damage = upkeep.check_file(url, data_dir) if check else []
    facts = asdict(found) | {"fits": found.schema == found.program}
    if json:
        show_json(facts | {"damage": damage})
    else:
        show_facts({"store": "PostgreSQL" if url else data_dir / upkeep.DATABASE, **facts})
        for line in damage:
            say(f"damaged: {line}")
    raise typer.Exit(Status.NO if damage or not facts["fits"] else Status.DONE)


@app.command()
def upgrade(ctx: typer.Context) -> None:
    """Bring the schema up to date; `serve` and every other command do so, too.

    Stop every gateway and make a backup before.
    """
    desk = desk_of(ctx)
    url, data_dir = _place(desk)
    before, now = upkeep.revision_of(url, data_dir), revisions()[-1]
    with _no_gateway(desk):
        Store.open(url, data_dir, alone=True).close()
    if before == now:
        typer.echo(f"the store has schema {now} already")
    else:
        typer.echo(f"the store had schema {before or 'none'} and has {now} now")


@app.command()
def rollback(
    ctx: typer.Context,
    *,
    to: Annotated[
        str, typer.Option("--to", metavar="REVISION", help="The schema to go back to, e.g. 0011.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for a confirmation.")] = False,
) -> None:
    """Take the schema back to an older one, for the older program that knows it.

    What the older schema has no place for goes; everything else stays, what was accepted or
    recorded since the upgrade included. Stop every gateway and make a backup before.
    """
    desk = desk_of(ctx)
    with _no_gateway(desk):
        lost = _rolled_back(desk, to, dry_run=True)
        show_table(("what goes", "rows"), sorted(lost.items()))
        if dry_run:
            return
        confirm(f"Take the store back to schema {to}", yes=yes)
        _rolled_back(desk, to, dry_run=False)
    typer.echo(f"the store has schema {to} now: install the program that knows it")
    say("whatever command of this program comes next upgrades it again")


def _rolled_back(desk: Desk, to: str, *, dry_run: bool) -> dict[str, int]:
    try:
        return dict(upkeep.roll_back(*_place(desk), to, dry_run=dry_run))
    except CannotRollBack as error:
        raise Refusal(str(error), Status.NO) from error


@contextmanager
def _no_gateway(desk: Desk) -> Iterator[None]:
    """Keeps gateways off data_dir meanwhile. Raises `Refusal` while one runs."""
    try:
        with only_instance(desk.settings.server.data_dir):
            yield
    except AlreadyServed as error:
        raise Refusal(str(error), Status.OUT_OF_REACH) from error


def _place(desk: Desk) -> upkeep.Where:
    settings = desk.settings
    return settings.store.url.get_secret_value(), settings.server.data_dir
