"""`gatepost campaign`: what became of each bulk mailing, and stopping one."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from gatepost.cli import selection
from gatepost.cli.desk import Refusal, Status, desk_of
from gatepost.cli.options import Json, Note
from gatepost.cli.printing import show_facts, show_json, show_json_rows, show_table
from gatepost.store import campaign_report, campaigns
from gatepost.store.engine import Store

app = typer.Typer(help="Campaigns: bulk mailings and what became of them.", no_args_is_help=True)

_PAGE = 50_000  # recipients; each page sorts all of the campaign
_SHOWN = ("id", "name", "stream", "client", "started_at", "recipients", "verdicts", "outcomes")
_RECIPIENT = ("recipient", "verdict", "reason", "since", "state", "attempts", "last_reply")

Number = Annotated[int, typer.Argument(metavar="ID", help="A number that list shows.")]


@app.command("list")
def list_campaigns(
    ctx: typer.Context,
    limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="At most so many, the newest first.")
    ] = 100,
    json: Json = False,
) -> None:
    """List the newest campaigns with their counts by verdict, reason and outcome."""
    with desk_of(ctx).store() as store:
        rows = [
            asdict(row) for row in store.read_now(lambda tx: campaign_report.list_all(tx, limit))
        ]
    if json:
        show_json_rows(rows)
    elif not show_table(_SHOWN, ([row[name] for name in _SHOWN] for row in rows)):
        typer.echo("there is no campaign yet")


@app.command()
def show(ctx: typer.Context, number: Number, json: Json = False) -> None:
    """Show one campaign and every recipient of it."""
    with desk_of(ctx).store() as store:
        try:
            row = store.read_now(lambda tx: campaign_report.show(tx, number))
        except LookupError as error:
            raise _unknown(number) from error
        facts = asdict(row)
        recipients = _recipients(store, number)
        if json:
            count = facts.pop("recipients")
            show_json({**facts, "recipient_count": count, "recipients": list(recipients)})
            return
        show_facts(facts)
        typer.echo()
        show_table(_RECIPIENT, ([one[name] for name in _RECIPIENT] for one in recipients))


@app.command()
def stop(ctx: typer.Context, number: Number, note: Note = "") -> None:
    """End what is still queued of a campaign, and refuse what comes later.

    Copies that are on the wire are not called back.
    """
    with desk_of(ctx).store() as store:
        try:
            ended = store.write_now(lambda tx: campaigns.stop(tx, number, note))
        except LookupError as error:
            raise _unknown(number) from error
    typer.echo(f"campaign {number} is stopped; {ended} queued copies will not be sent")


def _unknown(number: int) -> Refusal:
    return Refusal(f"there is no campaign {number}", Status.NO)


def _recipients(store: Store, number: int) -> Iterator[Mapping[str, Any]]:
    found = selection.pages(
        lambda after: store.read_now(
            lambda tx: campaign_report.recipients(tx, number, after=after, limit=_PAGE)
        ),
        lambda pair: pair[0],
    )
    return ({"id": place, **asdict(one)} for place, one in found)
