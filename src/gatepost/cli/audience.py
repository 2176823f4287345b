"""`gatepost audience check`: who of a list would get a mail, and why the rest would not."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, TextIO

import typer

from gatepost.cli.audience_work import Judgement, judge
from gatepost.cli.desk import Refusal, Status, desk_of, say
from gatepost.cli.listfile import addresses_in
from gatepost.cli.options import Encoding, Json
from gatepost.cli.printing import progress, show_json_texts, show_table

app = typer.Typer(help="Audiences: lists of addresses, before they are mailed.")

_COLUMNS = ("address", "verdict", "reason", "since")
_SAID = 20  # wrong lines that are told one by one


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
    of_stream = desk.stream(stream)
    count = _Count()
    with ExitStack() as stack:
        store = stack.enter_context(desk.store())
        advance = stack.enter_context(progress("checking", None))
        opened: TextIO | None = None
        if eligible is not None:
            if eligible.exists() and file.exists() and eligible.samefile(file):
                raise Refusal("--eligible names the list that is read")
            opened = stack.enter_context(eligible.open("w", encoding="utf-8", newline=""))
            opened.write("address,since\r\n")

        def answers() -> Iterator[Judgement]:
            lines = addresses_in(file, encoding)
            for answer in judge(desk, store, of_stream, lines, json=json):
                count.add(answer)
                if opened is not None:
                    opened.write(answer.eligible)
                yield answer
                advance(answer.lines)
            if not count.lines:
                raise Refusal("the list holds no address")

        if json:
            show_json_texts(text for answer in answers() for text in answer.texts)
        else:
            show_table(_COLUMNS, (row for answer in answers() for row in answer.rows))
    count.tell(json=json)
    raise typer.Exit(Status.DONE if count.everybody else Status.NO)


class _Count:
    """How many got which verdict, and which lines were none."""

    def __init__(self) -> None:
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.wrong = self.lines = 0

    @property
    def everybody(self) -> bool:
        """Whether every line is an address that would get the mail."""
        return not self.wrong and all(verdict == "deliver" for verdict, _ in self.reasons)

    def add(self, answer: Judgement) -> None:
        """Counts a portion; what is no address is told, the first of them one by one."""
        self.reasons.update(answer.reasons)
        self.lines += answer.lines
        for line, error in answer.wrong[: max(0, _SAID - self.wrong)]:
            say(f"line {line}: no address: {error}")
        self.wrong += len(answer.wrong)

    def tell(self, *, json: bool) -> None:
        """The counts; beside JSON they go to stderr."""
        if self.wrong:
            say(f"{self.wrong} lines are no addresses")
        if json:
            for (verdict, reason), number in self.reasons.most_common():
                say(f"{verdict} {reason}: {number}")
            return
        typer.echo()
        rows = [(*pair, number) for pair, number in self.reasons.most_common()]
        show_table(("verdict", "reason", "addresses"), rows)
