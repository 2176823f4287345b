"""Which rows a command changes: the numbers that were given, or all.

In: numbers and `--all`. Out: the numbers to change; afterwards a word on those that were not
in a state to be changed, and an exit status.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import typer

from gatepost.cli.desk import Refusal, Status, say

R = TypeVar("R")

PAGE = 1000
_NAMED = 20  # numbers that are named one by one in a message


def pages(fetch: Callable[[int], Sequence[R]], number: Callable[[R], int]) -> Iterator[R]:
    """All rows that `fetch` finds after a number, page by page."""
    after = 0
    while rows := fetch(after):
        yield from rows
        after = number(rows[-1])


def check_choice(ids: Sequence[int] | None, *, everything: bool) -> None:
    """Raises `Refusal` unless either numbers or --all were given."""
    if bool(ids) == everything:
        raise Refusal("give the numbers that list shows, or --all")


def confirm(what: str, *, yes: bool) -> None:
    """Asks on a terminal before all is changed; elsewhere --all is meant as it is written."""
    if not yes and sys.stdin.isatty():
        typer.confirm(f"{what}?", abort=True)


def report(done: str, wanted: Sequence[int], changed: Sequence[int], why_not: str) -> None:
    """Says what was changed; ends with 1 if anything was not."""
    typer.echo(f"{done}: {len(changed)}")
    left = sorted(set(wanted) - set(changed))
    if left:
        names = ", ".join(map(str, left[:_NAMED])) + (", ..." if len(left) > _NAMED else "")
        say(f"{why_not}: {names}")
        raise typer.Exit(Status.NO)
