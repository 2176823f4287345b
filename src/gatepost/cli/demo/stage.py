"""Where the tour is shown: colours and boxes on a terminal, plain lines elsewhere.

In: titles, tables, mails, checks. Out: text on stdout, and a list of what did not hold.

*Known limits:* on a terminal without UTF-8 signs are replaced by plain ones.
"""

import io
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from gatepost.cli.demo.checks import Check

_WIDEST = 92
_MARGIN = 4
_INDENT = (0, 0, 0, _MARGIN)


class Stage:
    """The console, and what was claimed on it."""

    def __init__(self, console: Console | None = None) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a "?" is better than no tour
        self._console = console or Console(highlight=False)
        self._console.width = min(self._console.width, _WIDEST)
        self._began = time.monotonic()
        self._fancy = self._console.encoding.lower().startswith("utf")
        self._steps = 0
        self._held = 0
        self.failed: list[Check] = []

    def open(self, title: str, text: str) -> None:
        """The heading of everything."""
        self._console.print()
        self._console.print(Text(title, style="bold cyan"))
        self._console.print(Text(text, style="dim"))

    def step(self, title: str) -> None:
        """The next step of the tour."""
        self._steps += 1
        self._console.print()
        heading = Text.assemble((f" {self._steps} ", "bold white on blue"), (f" {title} ", "bold"))
        self._console.print(Rule(heading, align="left", style="blue"))

    def say(self, text: str, style: str = "", deeper: int = 0) -> None:
        """A sentence. `text` may carry console markup; `deeper` indents it more."""
        words = Text.from_markup(text, style=style)
        self._console.print(Padding(words, (0, 0, 0, _MARGIN + deeper), expand=False))

    def gap(self) -> None:
        """An empty line."""
        self._console.print()

    def pairs(self, rows: Iterable[tuple[str, ...]]) -> None:
        """Lines of a name, what it is, and perhaps a word on it."""
        grid = Table.grid(padding=(0, 2))
        styles = ("bold", "cyan", "dim")
        for row in rows:
            grid.add_row(
                *(Text(cell, style=style) for cell, style in zip(row, styles, strict=False))
            )
        self._console.print(Padding(grid, _INDENT, expand=False))

    def numbers(self, numbers: Iterable[tuple[int, str]], columns: int = 3) -> None:
        """Numbers, each with a word on what they count, in columns."""
        grid = Table.grid(padding=(0, 1))
        for _ in range(columns):
            grid.add_column(justify="right", style="cyan", min_width=5)
            grid.add_column(min_width=17)
        cells = [text for number, word in numbers for text in (str(number), word)]
        for start in range(0, len(cells), 2 * columns):
            grid.add_row(*cells[start : start + 2 * columns])
        self._console.print(Padding(grid, _INDENT, expand=False))

    def table(
        self, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str | Text]]
    ) -> None:
        """A table. A column is a heading and "left" or "right"."""
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
        for heading, side in columns:
            table.add_column(heading, justify="right" if side == "right" else "left")
        for row in rows:
            table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
        self._console.print(Padding(table, _INDENT, expand=False))

    def command(self, text: str) -> None:
        """What can be copied into a shell or a browser: never broken by us."""
        for line in text.splitlines():
            self._console.print(Text(f"      {line}", style="cyan"), soft_wrap=True)

    def mail(self, lines: Iterable[tuple[bool, str]]) -> None:
        """Lines of a mail, those that were added marked. Long ones are broken, not cut."""
        for added, line in lines:
            mark, style = ("+ ", "green") if added else ("  ", "")
            for piece in self._pieces(line):
                self._console.print(
                    Text(f"    {mark}{piece}".rstrip(), style=style), no_wrap=True, crop=False
                )

    def check(self, check: Check) -> bool:
        """Says whether a claim holds, and remembers it if not."""
        if check.holds:
            self._held += 1
            self._console.print(self._marked(True, check.claim))
        else:
            self.failed.append(check)
            self._console.print(self._marked(False, f"not so: {check.claim}"))
            self.say(escape(check.seen), "red", deeper=2)
        return check.holds

    def sign(self, good: bool) -> Text:
        """Yes or no, in a table's cell."""
        words = ("✓", "✗") if self._fancy else ("ok", "NO")
        return Text(words[0], style="green") if good else Text(words[1], style="bold red")

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator["Counting"]:
        """A bar on a terminal; elsewhere one line at the end."""
        bar = Progress(
            TextColumn("    {task.description}"),
            BarColumn(bar_width=36, complete_style="blue", finished_style="green"),
            MofNCompleteColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        with bar:
            counting = Counting(bar, what, total)
            yield counting
        if not self._console.is_terminal:
            self.say(f"{what}: {counting.done} of {total}")

    def close(self, next_steps: Iterable[tuple[str, str]]) -> bool:
        """The end: how many claims hold, and where to go from here. True if all hold."""
        seconds = time.monotonic() - self._began
        self._console.print()
        line = "─" if self._fancy else "-"
        self._console.print(Rule(characters=line, style="red" if self.failed else "green"))
        total = self._held + len(self.failed)
        if self.failed:
            self.complain(f"{len(self.failed)} of {total} claims did not hold:")
            for check in self.failed:
                self.say(escape(check.claim), "red", deeper=2)
            return False
        words = f"All {total} claims hold. {seconds:.1f} seconds."
        self._console.print(self._marked(True, words, "bold green"))
        self._console.print()
        self.pairs(next_steps)
        self._console.print()
        return True

    def complain(self, text: str) -> None:
        """A red line."""
        self._console.print(self._marked(False, text, "bold red"))

    def _marked(self, good: bool, text: str, style: str = "") -> Padding:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column()
        style = style or ("" if good else "bold red")
        grid.add_row(self.sign(good), Text(text, style=style))
        return Padding(grid, _INDENT, expand=False)

    def _pieces(self, line: str) -> Iterator[str]:
        room = max(20, self._console.width - 6)
        while len(line) > room:
            yield line[:room]
            line = line[room:]
        yield line


class Counting:
    """A number that grows on the stage."""

    def __init__(self, bar: Progress, what: str, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task(what, total=total)
        self.done = 0

    def reach(self, done: int) -> None:
        """So many are done."""
        self.done = done
        self._bar.update(self._task, completed=done)
