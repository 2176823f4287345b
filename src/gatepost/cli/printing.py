"""How commands print: JSON for programs, tables for people, progress for the patient.

On a terminal tables and progress bars are Rich's; anywhere else they are plain aligned text
and a line now and then. What came from the wire is shown without its control characters, so
that no subject line can paint on somebody's terminal.

*Known limits:* a long table is printed in portions, each with columns as wide as it needs.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

PORTION = 500  # rows of a table whose columns are aligned with each other
_REPORT_SECONDS = 5.0
_GAP = "  "


def show_json(value: object) -> None:
    """One JSON document; times are ISO 8601 in UTC."""
    sys.stdout.write(as_json(value))


def as_json(value: object) -> str:
    """The same as text, for a file."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=jsonable) + "\n"


def show_json_rows(rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON array, a row per line, written as the rows come."""
    show_json_texts(json.dumps(row, ensure_ascii=False, default=jsonable) for row in rows)


def show_json_texts(texts: Iterable[str]) -> None:
    """The same of rows that are JSON already."""
    separator = "[\n"
    for text in texts:
        sys.stdout.write(f"{separator}{text}")
        separator = ",\n"
    sys.stdout.write("[]\n" if separator == "[\n" else "\n]\n")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """A table with a heading, printed in portions; how many rows it had."""
    waiting, count = iter(rows), 0
    while portion := [[cell(value) for value in row] for row in islice(waiting, PORTION)]:
        if sys.stdout.isatty():
            _show_rich(columns, portion)
        else:
            _show_plain(columns if not count else None, portion)
        count += len(portion)
    return count


def show_facts(facts: Mapping[str, object]) -> None:
    """Names and values, one per line; what is empty is left out."""
    shown = {name: cell(value) for name, value in facts.items() if value not in (None, "", ())}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        sys.stdout.write(f"{name.ljust(width)}{_GAP}{value}\n")


def cell(value: object) -> str:
    """A value as people read it, on one line and without control characters."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
        case Mapping():
            return ", ".join(f"{name} {number}" for name, number in value.items())
        case list() | tuple():
            return ", ".join(cell(item) for item in value)
        case _:
            return printable(str(value))


def printable(text: str) -> str:
    """`text` with U+FFFD for whatever a terminal might act upon."""
    return (
        text
        if text.isprintable()
        else "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    )


def moment(value: datetime) -> str:
    """A time as JSON and CSV files have it: ISO 8601, UTC, milliseconds."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Shows on stderr how far `what` is; call what you get with the number of rows just done."""
    if sys.stderr.isatty():
        yield from _bar(what, total)
    else:
        yield from _lines(what, total)


def _bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda rows: shown.advance(task, rows)


def _lines(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    done, said = 0, time.monotonic()

    def advance(rows: int) -> None:
        nonlocal done, said
        done += rows
        if time.monotonic() - said >= _REPORT_SECONDS:
            said = time.monotonic()
            of = f" of {total}" if total is not None else ""
            sys.stderr.write(f"{what}: {done}{of}\n")

    yield advance


def _show_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(value) for value in row))
    Console().print(table)


def _show_plain(columns: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> None:
    lines = [*([columns] if columns else []), *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    for line in lines:
        padded = (value.ljust(width) for value, width in zip(line, widths, strict=True))
        sys.stdout.write(_GAP.join(padded).rstrip() + "\n")


def jsonable(value: object) -> object:
    """For `json.dumps`: times in ISO 8601, sets and tuples as lists, the rest as text."""
    match value:
        case datetime():
            return moment(value)
        case tuple() | set() | frozenset():
            return list(value)
        case Mapping():
            return dict(value)
        case _:
            return str(value)
