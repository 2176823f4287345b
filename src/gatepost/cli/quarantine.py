"""`gatepost quarantine`: recipients that are held, and what becomes of them."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from gatepost.cli import selection
from gatepost.cli.desk import Refusal, Status, desk_of
from gatepost.cli.options import All, Ids, Json, Note, OneStream, Yes
from gatepost.cli.printing import printable, show_facts, show_json, show_json_rows, show_table
from gatepost.store.engine import Store
from gatepost.store.spool import quarantine as spool
from gatepost.store.spool.quarantine import QuarantineRow

app = typer.Typer(help="The quarantine: recipients that are held.", no_args_is_help=True)

_SHOWN = ("id", "recipient", "stream", "reason", "held_at", "expires_at", "submission")
_SHOWN_LINES = 60
_NOT_THERE = "not in quarantine"


@app.command("list")
def list_quarantine(ctx: typer.Context, stream: OneStream = None, json: Json = False) -> None:
    """List what is held, and until when."""
    with desk_of(ctx).store() as store:
        rows = (asdict(row) for row in _rows(store, stream))
        if json:
            show_json_rows(rows)
        elif not show_table(_SHOWN, ([row[name] for name in _SHOWN] for row in rows)):
            typer.echo("nothing is in quarantine")


@app.command()
def show(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="ID", help="A number that list shows.")],
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the message as it came, and nothing else.")
    ] = False,
    json: Json = False,
) -> None:
    """Show one held recipient and the message."""
    with desk_of(ctx).store() as store:
        try:
            row, content = store.read_now(lambda tx: spool.show(tx, number))
        except LookupError as error:
            raise Refusal(f"{number} is {_NOT_THERE}", Status.NO) from error
    if raw:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        return
    text = content.decode("utf-8", "replace")
    if json:
        show_json({**asdict(row), "size": len(content), "message": text})
        return
    show_facts({**asdict(row), "size": len(content)})
    lines = text.splitlines()
    typer.echo()
    for line in lines[:_SHOWN_LINES]:
        typer.echo(f"  {printable(line.replace(chr(9), ' '))}")
    if len(lines) > _SHOWN_LINES:
        typer.echo(f"  ... {len(lines) - _SHOWN_LINES} lines more: --raw shows all")


@app.command()
def release(
    ctx: typer.Context,
    *,
    ids: Ids = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why this may be sent; goes on record. Required.")
    ] = "",
    everything: All = False,
    stream: OneStream = None,
    yes: Yes = False,
) -> None:
    """Let held mail go out, on your responsibility.

    Nothing overrules a withdrawal from everything, a complaint or a hard bounce.
    """
    if not reason.strip():
        raise Refusal("a release needs --reason: why may this be sent?")
    _check(ids, everything, stream)
    if everything:
        selection.confirm("Release all of it", yes=yes)
    with desk_of(ctx).store() as store:
        wanted = ids or [row.id for row in _rows(store, stream)]
        changed = store.write_now(lambda tx: spool.release(tx, wanted, reason))
    selection.report("released", wanted, changed, _NOT_THERE)


@app.command()
def delete(
    ctx: typer.Context,
    *,
    ids: Ids = None,
    everything: All = False,
    stream: OneStream = None,
    note: Note = "",
    yes: Yes = False,
) -> None:
    """Drop held mail for good; it stays on record."""
    _check(ids, everything, stream)
    if everything:
        selection.confirm("Delete all of it", yes=yes)
    with desk_of(ctx).store() as store:
        wanted = ids or [row.id for row in _rows(store, stream)]
        changed = store.write_now(lambda tx: spool.delete(tx, wanted, note))
    selection.report("deleted", wanted, changed, _NOT_THERE)


def _check(ids: list[int] | None, everything: bool, stream: str | None) -> None:
    selection.check_choice(ids, everything=everything)
    if stream is not None and not everything:
        raise Refusal("--stream goes with --all")


def _rows(store: Store, stream: str | None) -> Iterator[QuarantineRow]:
    return selection.pages(
        lambda after: store.read_now(
            lambda tx: spool.list_quarantine(tx, stream=stream, after=after, limit=selection.PAGE)
        ),
        lambda row: row.id,
    )
