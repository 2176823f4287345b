"""`gatepost ledger`: checks the chain of evidence, tells its head, and derives standings anew."""

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Annotated

import typer

from gatepost.cli.desk import Refusal, Status, desk_of, say
from gatepost.cli.options import Json
from gatepost.cli.printing import progress, show_json, show_table
from gatepost.store import ledger as chain
from gatepost.store import people
from gatepost.store.engine import Store
from gatepost.store.ids import to_text

app = typer.Typer(help="The chain of evidence.", no_args_is_help=True)

_HEAD = re.compile(r"(\d{1,18})[:\s]\s*([0-9a-f]{64})")


@app.command()
def verify(
    ctx: typer.Context,
    head: Annotated[
        str | None,
        typer.Option(metavar="HEAD", help="What `ledger head` printed earlier: finds a cut tail."),
    ] = None,
    json: Json = False,
) -> None:
    """Check the whole ledger: every event, payload and block, erasures, texts and standings.

    Mail goes on meanwhile. Ends with 1 if anything is not as it was recorded.
    """
    kept = _head_from(head) if head is not None else None
    with desk_of(ctx).store() as store:
        total = store.read_now(chain.size)
        with progress("checked", total) as advance:
            found = chain.inspect(store.read_now, kept, advance)
            findings = list(islice(found, chain.MAX_FINDINGS))
        if findings:
            _tell(findings, json=json)
            raise typer.Exit(Status.NO)  # and nothing is sealed on top of it
        height, digest = store.read_now(chain.head)
    if json:
        show_json({"ok": True, "head": f"{height}:{digest}", "findings": []})
    else:
        typer.echo(f"the ledger is whole: {height} blocks")


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


@app.command()
def rebuild(
    ctx: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what differs; ends with 1 if anything does.")
    ] = False,
    json: Json = False,
) -> None:
    """Derive standings and suppressions anew from the events, wherever they differ.

    For tables that were changed by hand, and after an upgrade that says so. Mail goes on
    meanwhile.
    """
    findings: list[chain.Finding] = []
    people_count = 0
    with desk_of(ctx).store() as store, progress("people", store.read_now(chain.people)) as advance:
        for found, ids in chain.differing(store.read_now, advance):
            people_count += len(ids)
            findings += found[: chain.MAX_FINDINGS - len(findings)]
            if not dry_run:
                _repair(store, ids)
    if json:
        show_json({"people": people_count, "findings": _as_rows(findings)})
    elif findings:
        _show(findings)
        say(f"{people_count} people {'differ' if dry_run else 'were derived anew'}")
    else:
        typer.echo("standings and suppressions are what the events say")
    raise typer.Exit(Status.NO if findings and dry_run else Status.DONE)


def _repair(store: Store, ids: list[int]) -> None:
    store.write_now(lambda tx: people.rebuild_subjects(tx, ids))


def _tell(findings: Sequence[chain.Finding], *, json: bool) -> None:
    if json:
        show_json({"ok": False, "head": "", "findings": _as_rows(findings)})
    else:
        _show(findings)


def _show(findings: Iterable[chain.Finding]) -> None:
    rows = (
        (row["block"] or "", row["event"] or "", row["subject"], row["what"])
        for row in _as_rows(findings)
    )
    show_table(("block", "event", "subject", "what"), rows)


def _as_rows(findings: Iterable[chain.Finding]) -> list[dict[str, object]]:
    return [
        {
            "block": one.block,
            "event": one.event,
            "subject": to_text(one.subject) if one.subject > 0 else "",
            "what": one.what,
        }
        for one in findings
    ]


def _head_from(text: str) -> tuple[int, str]:
    match = _HEAD.fullmatch(text.strip().lower())
    if match is None:
        raise Refusal(f"{text!r} is no head: give what `gatepost ledger head` printed")
    return int(match.group(1)), match.group(2)
