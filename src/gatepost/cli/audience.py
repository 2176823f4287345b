"""`gatepost audience check`: who of a list would get a mail, and why the rest would not."""

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from gatepost.cli.desk import Refusal, Status, desk_of, say
from gatepost.cli.listfile import addresses_in
from gatepost.cli.options import Encoding, Json
from gatepost.cli.printing import moment, progress, show_json_rows, show_table
from gatepost.flow import audience as conductor
from gatepost.mail.address import Address, AddressError, parse

app = typer.Typer(help="Audiences: lists of addresses, before they are mailed.")

_COLUMNS = ("address", "verdict", "reason", "since")
_SAID = 20  # wrong lines that are told one by one


class Judged(NamedTuple):
    """One address, and what would become of it."""

    address: str
    verdict: str
    reason: str
    since: datetime | None


@app.callback(no_args_is_help=True)
def audience() -> None:
    """Audiences: lists of addresses, before they are mailed."""


@app.command()
def check(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="One address per line, or CSV with an address column; - is stdin."
        ),
    ],
    *,
    stream: Annotated[
        str, typer.Option(metavar="NAME", help="The stream the mail would belong to.")
    ],
    eligible: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write those who would get it to a CSV file."),
    ] = None,
    encoding: Encoding = "utf-8",
    json: Json = False,
) -> None:
    """Say of each address whether it would get a mail of the stream now, and why.

    Changes nothing. Ends with 0 if everybody would get it, with 1 otherwise.
    """
    desk = desk_of(ctx)
    policy, of_stream = desk.policy, desk.stream(stream)
    count = _Count()
    with ExitStack() as stack:
        store = stack.enter_context(desk.store())
        advance = stack.enter_context(progress("checking", None))
        write = None
        if eligible is not None:
            opened = stack.enter_context(eligible.open("w", encoding="utf-8", newline=""))
            write = csv.writer(opened).writerow
            write(("address", "since"))

        def judged() -> Iterator[Judged]:
            addresses = count.readable(addresses_in(file, encoding))
            while portion := list(islice(addresses, conductor.SLICE)):
                for address, verdict in conductor.check(store, policy, of_stream, portion):
                    count.reasons[verdict.disposition, verdict.reason] += 1
                    if write and verdict.delivers:
                        write((address.given, moment(verdict.since) if verdict.since else ""))
                    yield Judged(address.given, verdict.disposition, verdict.reason, verdict.since)
                advance(len(portion))

        if json:
            show_json_rows(one._asdict() for one in judged())
        else:
            show_table(_COLUMNS, judged())
    count.tell(json=json)
    raise typer.Exit(Status.DONE if count.everybody else Status.NO)


class _Count:
    """How many got which verdict, and which lines were none."""

    def __init__(self) -> None:
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.wrong = 0

    @property
    def everybody(self) -> bool:
        """Whether every line is an address that would get the mail."""
        return not self.wrong and all(verdict == "deliver" for verdict, _ in self.reasons)

    def readable(self, lines: Iterator[tuple[int, str]]) -> Iterator[Address]:
        """The addresses; what is none is told and counted."""
        line = 0
        for line, text in lines:
            try:
                yield parse(text)
            except AddressError as error:
                self.wrong += 1
                if self.wrong <= _SAID:
                    say(f"line {line}: no address: {error}")
        if not line:
            raise Refusal("the list holds no address")

    def tell(self, *, json: bool) -> None:
        """The counts; beside JSON only what JSON does not hold."""
        if self.wrong:
            say(f"{self.wrong} lines are no addresses")
        if not json:
            typer.echo()
            rows = [(*pair, number) for pair, number in self.reasons.most_common()]
            show_table(("verdict", "reason", "addresses"), rows)
