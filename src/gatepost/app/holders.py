"""The names under which the workers of this gateway hold rows of the spool.

In: the data directory. Out: one name per worker, the same after every start, so that a process
knows what its dead predecessor had claimed, and need not wait until those leases run out.

A name follows from a random id kept in `data_dir`, the host's name and the directory's path:
who copies a data_dir to make a second gateway does not make a second holder of the same name,
which would take the first one's rows for its own. In doubt the name is a new one, and the rows
wait for the end of their leases.

*Fails:* `OSError`.
"""

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from gatepost.store.ids import new_id, to_text
from gatepost.store.private import open_own

MAX_WORKERS = 256
_FILE = "gateway.id"


def holders(data_dir: Path) -> Sequence[str]:
    """A name for each worker there may ever be, by its number."""
    parts = (_own_id(data_dir / _FILE), socket.gethostname(), str(data_dir.resolve()))
    digest = blake2b("\0".join(parts).encode(), digest_size=8, person=b"holder").hexdigest()
    return [f"{digest}-{number}" for number in range(MAX_WORKERS)]


def _own_id(path: Path) -> str:
    """The id in the file, which is made where it is missing; workers may start together."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        with os.fdopen(open_own(draft, os.O_WRONLY | os.O_TRUNC), "w") as file:
            file.write(f"{to_text(new_id())}\n")
        with suppress(FileExistsError):
            os.link(draft, path)  # at once, and never over one that exists
        draft.unlink()
    return path.read_text().strip()
