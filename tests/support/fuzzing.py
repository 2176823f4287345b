"""schemathesis as a process of its own, and what a store holds as one number."""

import asyncio
import hashlib
import sys
from pathlib import Path

from sqlalchemy import text
from sqlmodel import SQLModel

import gatepost.store.engine  # every table is known to the metadata  # noqa: F401

# A key's last use is noted by whatever it is used for.
COUNTERS = {"api_key": {"last_used_ms"}}


async def fuzz(folder, document, url, *options):
    """Asks `url` whatever the OpenAPI `document` (a path or URL) allows, and more; all it said.

    The same requests each time. Any breach of the document fails the test.
    """
    fuzzing = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"), "run", str(document), "--url", url,
        "--generation-deterministic", "--no-color", "--continue-on-failure", "--max-redirects", "0",
        "--request-timeout", "300", *options,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await fuzzing.communicate()
    assert fuzzing.returncode == 0, said.decode()
    return said.decode()


async def digest(store):
    """A digest of every row of every table, counters aside."""

    def read(tx):
        found = hashlib.sha256()
        for table in SQLModel.metadata.sorted_tables:
            columns = [c.name for c in table.columns if c.name not in COUNTERS.get(table.name, ())]
            listed = ", ".join(f'"{name}"' for name in columns)
            rows = tx.connection.execute(text(f'SELECT {listed} FROM "{table.name}"')).all()
            found.update(f"{table.name} {sorted(map(repr, rows))}".encode())
        return found.hexdigest()

    return await store.read(read)
