"""Empty embedded stores, laid down ready instead of migrated one by one.

The file is what the migrations make of nothing; it is made once in each process that runs
tests and copied from then on, as `support.postgres` does with a template. It is no store yet:
the keys, and what belongs to them, come with the first `Store.open`. That a store is made from
nothing is shown in `rooms/store`, and wherever `gatepost init` and the demo run.
"""

import tempfile
from functools import cache
from pathlib import Path

from gatepost.store.connection import sqlite_engine
from gatepost.store.private import make_private_folder
from gatepost.store.schema import migrate
from gatepost.store.upkeep import DATABASE


def lay_down(data_dir):
    """An empty store with the newest schema in `data_dir`, where there is none; the folder."""
    path = data_dir / DATABASE
    if not path.exists():
        make_private_folder(data_dir)
        path.touch(0o600)
        path.write_bytes(_pattern())
    return data_dir


@cache
def _pattern():
    with tempfile.TemporaryDirectory() as folder:
        engine = sqlite_engine(Path(folder) / DATABASE, writes=True)
        migrate(engine)
        engine.dispose()
        assert [path.name for path in Path(folder).iterdir()] == [DATABASE]
        return (Path(folder) / DATABASE).read_bytes()
