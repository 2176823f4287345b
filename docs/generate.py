"""Writes the pages that are made from the code: run `make docs` after changing what they show."""  # noqa: INP001

from pathlib import Path

from gatepost.cli.reference import commands_page
from gatepost.config import reference, sample
from gatepost.flow.spool.diagram import states_page

TOP = Path(__file__).parents[1]
PAGES = {
    "config.toml": sample,
    "docs/commands.md": commands_page,
    "docs/configuration.md": reference,
    "docs/states.md": states_page,
}

for name, write in PAGES.items():
    (TOP / name).write_text(write(), "utf-8")
    print(name)  # noqa: T201
