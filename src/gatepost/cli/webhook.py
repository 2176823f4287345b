"""`gatepost webhook`: who is told of changes, what did not arrive, and trying it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from gatepost.app.onward.configured import hooks
from gatepost.app.onward.destinations import Fate, Outcome
from gatepost.app.onward.webhooks import Hook, Webhook
from gatepost.cli.desk import Desk, Refusal, Status, desk_of, listing, say
from gatepost.cli.options import Json
from gatepost.cli.printing import show_json_rows, show_table
from gatepost.store import onward
from gatepost.store.engine import Store, Tx
from gatepost.store.ids import from_text, to_text

app = typer.Typer(help="Webhooks: systems that are told of changes.", no_args_is_help=True)

_SHOWN = ("name", "configured", "waiting", "dead", "behind", "delivered", "delivered_at")
_DEAD = ("id", "webhook", "event", "subject", "made_at", "given_up_at", "attempts", "last_error")

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID...", help="Deliveries that list --dead shows.")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The webhook, as in config.toml.")]
OfName = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="All given up of this webhook.")
]


@app.command("list")
def list_webhooks(
    ctx: typer.Context,
    dead: Annotated[
        bool, typer.Option("--dead", help="List the deliveries that were given up.")
    ] = False,
    json: Json = False,
) -> None:
    """List the webhooks, or what could not be delivered to them."""
    desk = desk_of(ctx)
    with desk.store() as store:
        rows = _dead(store) if dead else _webhooks(desk, store)
    columns = _DEAD if dead else _SHOWN
    if json:
        show_json_rows(rows)
    elif not show_table(columns, ([row[name] for name in columns] for row in rows)):
        typer.echo("nothing was given up" if dead else "there is no webhook")


@app.command()
def retry(ctx: typer.Context, *, ids: Ids = None, name: OfName = None) -> None:
    """Try again what was given up, for as long as something new."""
    _change(ctx, ids, name, onward.revive, "tried again")


@app.command()
def delete(ctx: typer.Context, *, ids: Ids = None, name: OfName = None) -> None:
    """Forget what was given up: it is not delivered any more."""
    _change(ctx, ids, name, onward.drop, "forgotten")


@app.command()
def test(ctx: typer.Context, name: Name) -> None:
    """Send a signed event named test, about nobody, and say what came back."""
    desk = desk_of(ctx)
    known = hooks(desk.settings)
    if name not in known:
        raise Refusal(f"there is no webhook {name!r} in the configuration: it has {listing(known)}")
    with desk.store() as store:
        outcome = asyncio.run(_try(known[name], store))
    if outcome.fate is not Fate.ARRIVED:
        raise Refusal(
            f"{name}: {outcome.why}",
            Status.NO if outcome.fate is Fate.REFUSED else Status.OUT_OF_REACH,
        )
    typer.echo(f"{name} took it")


async def _try(hook: Hook, store: Store) -> Outcome:
    webhook = Webhook(hook, store.now)
    try:
        return await webhook.test()
    finally:
        await webhook.close()


def _webhooks(desk: Desk, store: Store) -> list[Mapping[str, Any]]:
    configured = desk.settings.webhooks
    known = {row.name: asdict(row) for row in store.read_now(onward.list_webhooks)}
    nothing = {"waiting": 0, "dead": 0, "behind": 0, "delivered": 0, "delivered_at": None,
               "oldest_waiting_at": None}  # fmt: skip
    names = sorted({*known, *configured})
    return [
        {**known.get(name, {"name": name, **nothing}), "configured": name in configured}
        for name in names
    ]


def _dead(store: Store) -> list[Mapping[str, Any]]:
    return [
        {
            "id": to_text(row.id),
            "webhook": row.webhook,
            "event": row.kind,
            "subject": to_text(row.subject),
            "made_at": row.made_at,
            "given_up_at": row.given_up_at,
            "attempts": row.attempts,
            "last_error": row.last_error,
        }
        for row in store.read_now(onward.list_dead)
    ]


def _change(
    ctx: typer.Context,
    ids: list[str] | None,
    name: str | None,
    do: Callable[..., list[int]],
    done: str,
) -> None:
    if bool(ids) == (name is not None):
        raise Refusal("give the ids that list --dead shows, or --name for all of a webhook")
    numbers = [_number(text) for text in ids] if ids else None

    def write(tx: Tx) -> list[int]:
        return do(tx, ids=numbers, name=name)

    with desk_of(ctx).store() as store:
        changed = store.write_now(write)
    typer.echo(f"{done}: {len(changed)}")
    missing = [to_text(one) for one in numbers or () if one not in changed]
    if missing:
        say(f"not among what was given up: {', '.join(missing)}")
        raise typer.Exit(Status.NO)


def _number(text: str) -> int:
    try:
        return from_text(text)
    except ValueError as error:
        raise Refusal(f"{text!r} is no id: {error}") from error
