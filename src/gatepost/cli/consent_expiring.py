"""`gatepost consent expiring`: who is about to become ineligible, when, and why."""

import csv
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Any

import typer

from gatepost.cli.desk import Desk, Refusal, desk_of, say
from gatepost.cli.options import Json
from gatepost.cli.printing import moment, progress, show_json_rows, show_table
from gatepost.flow import expiring as conductor
from gatepost.mail.duration import Duration, DurationError
from gatepost.mail.duration import parse as parse_duration
from gatepost.mail.stream import Stream
from gatepost.store.sorting import Sorting

_COLUMNS = ("reason", "until", "address", "stream", "basis", "source", "since")


def expiring(
    ctx: typer.Context,
    *,
    within: Annotated[
        str, typer.Option(metavar="DURATION", help='How far to look ahead, such as "60 days".')
    ] = "60 days",
    stream: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this bulk stream; else all of them.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: Json = False,
) -> None:
    """List who may be mailed now and soon not any more, by reason and date.

    `expired`: the relation's time runs out; `dormant`: no sign of life for too long. Until then
    they can be asked to renew their consent. Changes nothing.
    """
    if as_csv and json:
        raise Refusal("--csv and --json exclude each other")
    desk = desk_of(ctx)
    streams = [desk.bulk_stream(stream)] if stream else list(desk.bulk_streams().values())
    ahead = _duration(within)
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        rows = stack.enter_context(Sorting())
        looked_at = _collect(desk, streams, ahead, rows, counts)
        _show(rows, as_csv=as_csv, json=json)
    said = ", ".join(f"{reason} {number}" for reason, number in sorted(counts.items()))
    say(f"{looked_at} looked at; within {ahead}: {said or 'nobody'}")


def _collect(
    desk: Desk, streams: list[Stream], ahead: Duration, rows: Sorting, counts: Counter[str]
) -> int:
    """Fills `rows` and `counts`; how many people were looked at."""
    total = 0
    with desk.store() as store, progress("looking ahead", None) as advance:
        for stream in streams:
            for found, looked_at in conductor.portions(store, desk.policy, stream, ahead):
                rows.add((f"{one.reason} {moment(one.at)}", _row(one)) for one in found)
                counts.update(one.reason for one in found)
                total += looked_at
                advance(looked_at)
    return total


def _row(one: conductor.Expiring) -> tuple[str, ...]:
    return (
        one.reason,
        moment(one.at),
        one.address.given,
        one.stream,
        one.basis,
        one.source,
        moment(one.since),
    )


def _show(rows: Sorting, *, as_csv: bool, json: bool) -> None:
    if json:
        show_json_rows(_named(rows))
    elif as_csv:
        write = csv.writer(sys.stdout, lineterminator="\n").writerow
        write(_COLUMNS)
        for row in rows:
            write(row)
    else:
        show_table(_COLUMNS, rows)


def _named(rows: Sorting) -> Iterator[dict[str, Any]]:
    return (dict(zip(_COLUMNS, row, strict=True)) for row in rows)


def _duration(text: str) -> Duration:
    try:
        return parse_duration(text)
    except DurationError as error:
        raise Refusal(f"--within {text!r}: {error}") from error
