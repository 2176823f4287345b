"""`gatepost queue`: what is accepted and not finished, and what can be done to it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from typing import Annotated, NamedTuple

import typer

from gatepost.cli import selection
from gatepost.cli.desk import desk_of
from gatepost.cli.options import All, Ids, Json, Note, Yes
from gatepost.cli.printing import show_json_rows, show_table
from gatepost.mail.recipient_state import State
from gatepost.store.engine import Store, Tx
from gatepost.store.spool import queue as spool
from gatepost.store.spool.queue import QueueRow

app = typer.Typer(help="The queue: accepted mail on its way.", no_args_is_help=True)

_SHOWN = ("id", "recipient", "stream", "state", "attempts", "next_attempt_at", "last_reply")


class Change(NamedTuple):
    """What a command does to rows, in which states they may be, and what it says then."""

    states: Sequence[State]
    make: Callable[[Tx, Iterable[int]], list[int]]
    done: str
    why_not: str


class Listed(StrEnum):
    """The states that `queue list` can be limited to."""

    READY = State.READY.value
    SENDING = State.SENDING.value
    DEFERRED = State.DEFERRED.value
    HELD = State.HELD.value


@app.command("list")
def list_queue(
    ctx: typer.Context,
    state: Annotated[
        list[Listed] | None,
        typer.Option(metavar="|".join(Listed), help="Only rows in this state; may be repeated."),
    ] = None,
    upstream: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only rows for this upstream.")
    ] = None,
    json: Json = False,
) -> None:
    """List the recipients whose copy is still to be sent."""
    states = [State(one) for one in state] if state else spool.LISTED
    with desk_of(ctx).store() as store:
        rows = (asdict(row) for row in _rows(store, states, upstream))
        if json:
            show_json_rows(rows)
        elif not show_table(_SHOWN, ([row[name] for name in _SHOWN] for row in rows)):
            typer.echo("the queue is empty")


@app.command()
def retry(ctx: typer.Context, ids: Ids = None, everything: All = False) -> None:
    """Send deferred and held copies now."""
    states = State.DEFERRED, State.HELD
    _change(
        ctx, ids, everything, Change(states, spool.retry, "to be sent now", "not deferred or held")
    )


@app.command()
def hold(ctx: typer.Context, ids: Ids = None, everything: All = False, note: Note = "") -> None:
    """Set copies aside until somebody retries or deletes them.

    Also what a gateway had on the wire that has been dead for some minutes, as in a backup.
    """
    make = partial(spool.hold, note=note)
    why_not = "not waiting to be sent, or on the wire"
    _change(ctx, ids, everything, Change(spool.LISTED, make, "held", why_not))


@app.command()
def delete(
    ctx: typer.Context,
    *,
    ids: Ids = None,
    everything: All = False,
    note: Note = "",
    yes: Yes = False,
) -> None:
    """End copies without sending them; they stay on record as stopped."""
    selection.check_choice(ids, everything=everything)
    if everything:
        selection.confirm("End the whole queue without sending", yes=yes)
    states = State.READY, State.DEFERRED, State.HELD
    make = partial(spool.delete, note=note)
    _change(
        ctx, ids, everything, Change(states, make, "deleted", "not in the queue, or on the wire")
    )


def _change(
    ctx: typer.Context,
    ids: Sequence[int] | None,
    everything: bool,
    change: Change,
) -> None:
    selection.check_choice(ids, everything=everything)
    with desk_of(ctx).store() as store:
        if ids:
            changed = store.write_now(lambda tx: change.make(tx, ids))
        else:
            changed = _change_all(store, change)
    selection.report(change.done, ids or changed, changed, change.why_not)


def _change_all(store: Store, change: Change) -> list[int]:
    """In slices, so that mail is not held up."""
    changed: list[int] = []
    for page in _pages(store, change.states, None):

        def make(tx: Tx, page: Sequence[int] = page) -> list[int]:
            return change.make(tx, page)

        changed += store.write_now(make)
    return changed


def _rows(store: Store, states: Sequence[State], upstream: str | None) -> Iterator[QueueRow]:
    for page in _pages(store, states, upstream):
        yield from store.read_now(partial(spool.list_rows, ids=page, states=states))


def _pages(store: Store, states: Sequence[State], upstream: str | None) -> Iterator[Sequence[int]]:
    """The ids of all these rows, as they are now, page by page."""
    ids = store.read_now(partial(spool.open_ids, states=states, upstream=upstream))
    for start in range(0, len(ids), selection.PAGE):
        yield list(ids[start : start + selection.PAGE])
