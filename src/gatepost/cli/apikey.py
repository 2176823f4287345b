"""`gatepost apikey`: keys to the API, for programs."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from gatepost.cli.desk import Refusal, Status, desk_of, say
from gatepost.cli.options import Json
from gatepost.cli.printing import show_json, show_json_rows, show_table
from gatepost.consent.rows import read_time, split
from gatepost.mail import duration
from gatepost.store import api_keys

app = typer.Typer(help="Keys to the API, for programs.", no_args_is_help=True)

_SHOWN = (
    "name", "scopes", "senders", "created_at", "expires_at", "last_used_at", "revoked_at",
)  # fmt: skip

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the key is called.")]


@app.command()
def add(
    ctx: typer.Context,
    name: Name,
    *,
    scopes: Annotated[
        str,
        typer.Option(
            metavar="A,B", help=f"What it opens, of {', '.join(api_keys.SCOPES)}. Default: all."
        ),
    ] = "",
    senders: Annotated[
        str, typer.Option(metavar="A,B", help="For which senders. Default: all.")
    ] = "",
    expires: Annotated[
        str, typer.Option(metavar="WHEN", help='ISO 8601, or a time from now such as "90 days".')
    ] = "",
    json: Json = False,
) -> None:
    """Make a key and print it, once: kept is only what recognises it."""
    desk = desk_of(ctx)
    named = [desk.check_sender(sender) for sender in split(senders)]
    with desk.store() as store:
        try:
            key = store.write_now(
                lambda tx: api_keys.add(
                    tx,
                    name,
                    scopes=split(scopes),
                    senders=named,
                    expires_at=_expiry(expires, tx.now),
                )
            )
        except ValueError as error:
            raise Refusal(str(error)) from error
    if json:
        show_json({"name": name, "key": key})
        return
    typer.echo(key)
    say("keep it now: it is not shown again")


@app.command("list")
def list_keys(ctx: typer.Context, json: Json = False) -> None:
    """List the keys, what they open, and when each was used last."""
    with desk_of(ctx).store() as store:
        rows = [asdict(key) for key in store.read_now(api_keys.list_all)]
    if json:
        show_json_rows(rows)
    elif not show_table(_SHOWN, ([row[name] for name in _SHOWN] for row in rows)):
        typer.echo("there is no key")


@app.command()
def revoke(ctx: typer.Context, name: Name) -> None:
    """Make a key worthless, at once and for good."""
    with desk_of(ctx).store() as store:
        if not store.write_now(lambda tx: api_keys.revoke(tx, name)):
            raise Refusal(f"there is no key {name!r}", Status.NO)
    typer.echo(f"{name} is revoked")


def _expiry(text: str, now: datetime) -> datetime | None:
    if not text:
        return None
    try:
        return duration.parse(text).after(now)
    except duration.DurationError:
        pass
    try:
        return read_time(text)
    except ValueError:
        raise Refusal(f'{text!r} is no time: write 2027-03-01 or "90 days"') from None
