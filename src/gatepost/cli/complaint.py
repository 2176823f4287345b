"""`gatepost complaint`: complaint cases, their deadlines, and what was done about them."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from gatepost.cli.desk import Refusal, Status, desk_of
from gatepost.cli.options import Json
from gatepost.cli.printing import show_facts, show_json, show_json_rows, show_table
from gatepost.mail.duration import Duration
from gatepost.store import complaint_cases
from gatepost.store.complaint_cases import Case, CaseAnswered, CaseClosed
from gatepost.store.engine import Tx

app = typer.Typer(help="Complaint cases and their deadlines.", no_args_is_help=True)

_SHOWN = ("id", "sender", "stream", "address", "complaints", "received_at", "state", "due_at")
_LARGEST = 2**63 - 1

Number = Annotated[
    int,
    typer.Argument(metavar="ID", min=1, max=_LARGEST, help="A number that list shows."),
]
Words = Annotated[
    str, typer.Option("--note", metavar="TEXT", help="What was found and done, for the record.")
]


@app.command("list")
def list_cases(
    ctx: typer.Context,
    *,
    only_open: Annotated[bool, typer.Option("--open", help="Those not closed yet.")] = False,
    sender: Annotated[
        str | None, typer.Option("--sender", metavar="NAME", help="Only of this sender.")
    ] = None,
    json: Json = False,
) -> None:
    """List the cases, the newest first, and until when each wants an answer."""
    desk = desk_of(ctx)
    name = desk.check_sender(sender) if sender is not None else ""
    within = desk.settings.complaints.answer_within
    with desk.store() as store:
        cases = store.read_now(
            lambda tx: complaint_cases.list_cases(tx, only_open=only_open, sender=name)
        )
    rows = [_facts(case, within) for case in cases]
    if json:
        show_json_rows(rows)
    elif not show_table(_SHOWN, ([row[name] for name in _SHOWN] for row in rows)):
        typer.echo("there is no open complaint case" if only_open else "there is no complaint case")


@app.command()
def show(ctx: typer.Context, number: Number, json: Json = False) -> None:
    """Show one case."""
    desk = desk_of(ctx)
    with desk.store() as store:
        try:
            case = store.read_now(lambda tx: complaint_cases.find(tx, number))
        except LookupError as error:
            raise Refusal(str(error.args[0]), Status.NO) from error
    facts = _facts(case, desk.settings.complaints.answer_within)
    if json:
        show_json(facts)
    else:
        show_facts(facts)


@app.command()
def answer(ctx: typer.Context, number: Number, note: Words) -> None:
    """Record what was done about a complaint; this stops its clock.

    The case stays open, and further complaints of the person join it, until it is closed.
    """
    _change(ctx, number, note, complaint_cases.answer)
    typer.echo(f"complaint case {number} is answered; its clock has stopped")


@app.command()
def close(ctx: typer.Context, number: Number, note: Words) -> None:
    """End a case; the next complaint of the person opens another.

    The person still gets no bulk mail of the sender, and a frozen sender stays frozen.
    """
    _change(ctx, number, note, complaint_cases.close)
    typer.echo(f"complaint case {number} is closed")


def _change(
    ctx: typer.Context, number: int, note: str, change: Callable[[Tx, int, str], None]
) -> None:
    words = note.strip()
    if not words:
        raise Refusal("say with --note what was found and done")
    with desk_of(ctx).store() as store:
        try:
            store.write_now(lambda tx: change(tx, number, words))
        except (LookupError, CaseClosed, CaseAnswered) as error:
            raise Refusal(str(error.args[0]), Status.NO) from error


def _facts(case: Case, within: Duration) -> dict[str, Any]:
    return {**asdict(case), "state": case.state, "due_at": case.due_at(within)}
