"""`gatepost retention`: applies the terms of the configuration now.

In: nothing. Out: per rule how much went or would go, and why.
"""

from dataclasses import asdict
from typing import Annotated

import typer

from gatepost.app.retention import Report, Retention
from gatepost.cli.desk import Status, desk_of, say
from gatepost.cli.options import Json
from gatepost.cli.printing import progress, show_json, show_table

app = typer.Typer(help="What is no longer needed goes.", no_args_is_help=True)


@app.callback()
def retention() -> None:
    """What is no longer needed goes: evidence, mail, counts, each by a term of its own."""


@app.command()
def run(
    ctx: typer.Context,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go and why, and change nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Remove now what has outlived its term; `serve` does so daily.

    Evidence never goes before its date, and never while a consent could still carry mail. Doing
    it twice is doing it once. Ends with 1 if a file could not be reached.
    """
    desk = desk_of(ctx)
    with desk.store() as store:
        work = Retention(store, desk.settings, desk.policy.bases)
        if dry_run:
            report = work.preview()
        else:
            with progress("applying retention", None) as advance:
                report = work.run(advance)
    if json:
        show_json(_as_json(report, dry_run))
    else:
        _show(report, dry_run)
    raise typer.Exit(Status.NO if report.unreachable else Status.DONE)


def _show(report: Report, dry_run: bool) -> None:
    typer.echo("would go now:" if dry_run else "gone:")
    show_table(
        ("what", "count", "rule", "setting", "before", "due from", "due to"),
        (
            (
                step.what, step.count, step.rule, f"{step.setting} = {step.term}", step.before,
                step.first, step.last,
            )
            for step in report.steps
        ),
    )  # fmt: skip
    for what, count in sorted(report.places.items()):
        typer.echo(f"of people who were erased: {what}: {count}")
    for path in report.unreachable:
        say(f"could not be changed; remove erased people's rows by hand: {path}")


def _as_json(report: Report, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "rules": [asdict(step) for step in report.steps],
        "places": dict(report.places),
        "unreachable": report.unreachable,
    }
