"""What checks found: a line for each, good, bad or open, with the cure.

`doctor` and `selftest` print through this, so that both read and count alike.
"""

import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

import typer

from gatepost.cli.desk import Status
from gatepost.cli.printing import printable, show_json


class Mark(StrEnum):
    """How a check ended."""

    GOOD = "good"
    BAD = "bad"
    OPEN = "open"  # it could not be asked, or is a matter of judgement
    AWAY = "away"  # bad: the store or upstream is out of reach


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was asked of what, what was found, and what to do about it."""

    mark: Mark
    about: str
    found: str
    cure: str = ""


_SIGNS = {Mark.GOOD: "✓", Mark.BAD: "✗", Mark.OPEN: "\N{EN DASH}", Mark.AWAY: "✗"}
_PLAIN = {Mark.GOOD: "ok", Mark.BAD: "NO", Mark.OPEN: "--", Mark.AWAY: "NO"}
_COLORS = {Mark.GOOD: "green", Mark.BAD: "red", Mark.OPEN: "yellow", Mark.AWAY: "red"}


def holds(about: str, good: bool, found: str, cure: str = "") -> Finding:
    """A finding that is good or bad; only a bad one needs a cure."""
    return Finding(Mark.GOOD if good else Mark.BAD, about, found, "" if good else cure)


def show_findings(findings: Iterable[Finding], *, json: bool) -> Status:
    """Prints the findings as they come; the exit status they make."""
    marks: list[Mark] = []
    rows: list[dict[str, str]] = []
    for one in findings:
        marks.append(one.mark)
        rows.append(asdict(one))
        if not json:
            _show(one)
    if json:
        show_json({"ok": not {Mark.BAD, Mark.AWAY} & set(marks), "checks": rows})
    if Mark.AWAY in marks:
        return Status.OUT_OF_REACH
    return Status.NO if Mark.BAD in marks else Status.DONE


def _show(one: Finding) -> None:
    fancy = (sys.stdout.encoding or "").lower().startswith("utf")
    sign = (_SIGNS if fancy else _PLAIN)[one.mark]
    line = f"{typer.style(sign, fg=_COLORS[one.mark])} {one.about}: {printable(one.found)}"
    typer.echo(line)
    if one.cure:
        typer.echo(f"    {printable(one.cure)}")
