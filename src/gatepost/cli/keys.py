"""`gatepost keys`: the keys behind the links in mails, and a new one of them."""

from typing import Annotated

import typer

from gatepost.cli.desk import Desk, Refusal, Status, desk_of
from gatepost.cli.options import Json
from gatepost.cli.printing import show_json, show_json_rows, show_table
from gatepost.store import link_keys
from gatepost.store.link_keys import RingFile, RingFull, UnknownKey

app = typer.Typer(help="The keys behind the links in mails.", no_args_is_help=True)


@app.command("list")
def list_keys(ctx: typer.Context, json: Json = False) -> None:
    """List the keys by id: which one makes links, which only open them. No key is shown."""
    desk = desk_of(ctx)
    with desk.store():
        rows = _rows(link_keys.read(desk.settings.server.data_dir / "keys"))
    if json:
        show_json_rows(rows)
    else:
        show_table(tuple(rows[0]), (tuple(row.values()) for row in rows))


@app.command()
def rotate(
    ctx: typer.Context,
    compromised: Annotated[
        int | None,
        typer.Option(
            metavar="ID", help="Mark this key: by its links people can leave, and nothing else."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a new key that links are made with from now on; old links go on working.

    A running `serve` takes the new key by itself. Where gateways on several machines share a
    store, copy keys/links.json to all of them. Back it up: without their key links are dead.
    """
    desk = desk_of(ctx)
    ring = _rotated(desk, compromised)
    if json:
        show_json({"current": ring.current, "compromised": sorted(ring.compromised)})
        return
    typer.echo(f"links are made with key {ring.current} from now on")
    if compromised is not None:
        typer.echo(f"key {compromised} is marked compromised: its links only let people leave")
    typer.echo(f"back up {desk.settings.server.data_dir / 'keys' / 'links.json'}")


def _rotated(desk: Desk, compromised: int | None) -> RingFile:
    with desk.store() as store:
        folder = desk.settings.server.data_dir / "keys"
        try:
            return link_keys.rotate(folder, store.now(), compromised=compromised)
        except (RingFull, UnknownKey) as error:
            raise Refusal(str(error), Status.NO) from error


def _rows(ring: RingFile) -> list[dict[str, object]]:
    return [
        {
            "id": number,
            "state": ring.state(number),
            "made_at": ring.made[number].isoformat() if number in ring.made else "",
        }
        for number in sorted(ring.keys)
    ]
