"""How `gatepost consent show` prints what is on record of a person, for people."""

from collections.abc import Mapping
from typing import Any

import typer

from gatepost.app.records import Record
from gatepost.cli.printing import cell, show_table

_STANDING = ("stream", "state", "basis", "since", "verdict", "reason")
_EVENT = ("at", "kind", "stream", "basis", "source", "actor", "method", "note")
_SUPPRESSION = ("sender", "scope", "reason", "since")


def print_record(record: Record) -> None:
    """Tables for people."""
    found = record.as_json()
    typer.echo(f"{record.address}: {'on record' if record.history else 'not on record'}")
    if found["erased_at"]:
        typer.echo(f"erased on {found['erased_at']:%Y-%m-%d}")
    for title, columns in (
        ("standings", _STANDING), ("events", _EVENT), ("suppressions", _SUPPRESSION),
    ):  # fmt: skip
        if found[title]:
            typer.echo(f"\n{title}")
            show_table(columns, ([row.get(name) for name in columns] for row in found[title]))
        if title == "standings":
            for row in record.standings:
                _explain(row)


def _explain(row: Mapping[str, Any]) -> None:
    """In words: what stands for one stream, what would help, and what the source lacks."""
    typer.echo(f"{row['stream']}: {cell(row['why'])}")
    if row["cure"]:
        typer.echo(f"  what would help: {row['cure']}")
    if row["marks"]:
        typer.echo(f"  the source: {cell(row['marks'])}")
