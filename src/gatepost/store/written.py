"""The register of files with addresses that commands wrote, so that erasure reaches them.

In: paths. Out: paths. The files themselves are the business of whoever writes and reads them.
*Fails:* whatever the database raises.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, insert, select

from gatepost.store.tables.uses import written_file
from gatepost.store.times import from_ms
from gatepost.store.transaction import Tx

REJECTS = "import rejects"


@dataclass(frozen=True, slots=True)
class Written:
    """One file, what it is, and when it was last written."""

    path: Path
    kind: str
    at: datetime


def note_file(tx: Tx, path: Path, kind: str = REJECTS) -> None:
    """Enters a file that is about to be written."""
    forget_file(tx, path)
    row = {"path": str(path.absolute()), "kind": kind, "written_ms": tx.now_ms}
    tx.connection.execute(insert(written_file), row)


def files(tx: Tx) -> list[Written]:
    """All files in the register, by path."""
    query = select(written_file).order_by(written_file.c.path)
    return [
        Written(Path(row.path), row.kind, from_ms(row.written_ms))
        for row in tx.connection.execute(query)
    ]


def forget_file(tx: Tx, path: Path) -> None:
    """Strikes out a file that is gone."""
    which = written_file.c.path == str(path.absolute())
    tx.connection.execute(delete(written_file).where(which))
