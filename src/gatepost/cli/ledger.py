"""`gatepost ledger`: checks the chain of evidence, and tells its head."""

import re
from typing import Annotated

import typer

from gatepost.cli.desk import Refusal, Status, desk_of
from gatepost.cli.options import Json
from gatepost.cli.printing import show_json, show_table
from gatepost.store import ledger as chain

app = typer.Typer(help="The chain of evidence.", no_args_is_help=True)

_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{64})")


@app.command()
def verify(
    ctx: typer.Context,
    head: Annotated[
        str | None,
        typer.Option(metavar="HEAD", help="What `ledger head` printed earlier: finds a cut tail."),
    ] = None,
    json: Json = False,
) -> None:
    """Check the whole chain: every event, payload and block.

    Ends with 1 if anything is not as it was sealed.
    """
    kept = _head_from(head) if head is not None else None
    with desk_of(ctx).store() as store:
        findings = store.read_now(lambda tx: chain.verify(tx, kept))
        height, digest = store.read_now(chain.head)
    if json:
        show_json(
            {
                "ok": not findings,
                "head": f"{height}:{digest}",
                "findings": [
                    {"block": one.block, "event": one.event, "what": one.what} for one in findings
                ],
            }
        )
    elif findings:
        show_table(
            ("block", "event", "what"),
            ((one.block or "", one.event or "", one.what) for one in findings),
        )
    else:
        typer.echo(f"the ledger is whole: {height} blocks")
    raise typer.Exit(Status.NO if findings else Status.DONE)


@app.command()
def head(ctx: typer.Context, json: Json = False) -> None:
    """Print the head of the chain, to be kept elsewhere.

    With it `ledger verify --head` finds out whether the end of the ledger was cut off.
    """
    with desk_of(ctx).store() as store:
        while store.write_now(chain.seal):
            pass
        height, digest = store.read_now(chain.head)
    if json:
        show_json({"height": height, "digest": digest, "head": f"{height}:{digest}"})
    else:
        typer.echo(f"{height}:{digest}")


def _head_from(text: str) -> tuple[int, str]:
    match = _HEAD.fullmatch(text.strip().lower())
    if match is None:
        raise Refusal(f"{text!r} is no head: give what `gatepost ledger head` printed")
    return int(match.group(1)), match.group(2)
