"""Writes the pages that are made from the code: run `make docs` after changing what they show."""  # noqa: INP001

import sys
from pathlib import Path

from gatepost.cli.reference import commands_page
from gatepost.config import reference, sample
from gatepost.flow.spool.diagram import states_page

TOP = Path(__file__).parents[1]
sys.path.insert(0, str(TOP / "tests"))

from support.requirements import requirements_page  # noqa: E402  where the tests are listed
from support.trouble_rows import troubles_page  # noqa: E402

PAGES = {
    "config.toml": sample,
    "docs/commands.md": commands_page,
    "docs/configuration.md": reference,
    "docs/requirements.md": requirements_page,
    "docs/states.md": states_page,
    "docs/troubles.md": troubles_page,
}

for name, write in PAGES.items():
    (TOP / name).write_text(write(), "utf-8")
    print(name)  # noqa: T201
