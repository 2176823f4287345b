"""Options that several commands have, each defined once."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="A note for the record.")]
Ids = Annotated[list[int] | None, typer.Argument(metavar="ID...", help="Numbers that list shows.")]
All = Annotated[bool, typer.Option("--all", help="All that can be changed, in place of numbers.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for a confirmation of --all.")]
OneStream = Annotated[
    str | None, typer.Option("--stream", metavar="NAME", help="Only of this stream.")
]
Encoding = Annotated[
    str,
    typer.Option("--encoding", metavar="NAME", help="How the file is encoded, e.g. windows-1252."),
]
OutputFile = Annotated[Path, typer.Argument(metavar="FILE", help="The file; - is stdout.")]
