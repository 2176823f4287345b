"""One gateway per data directory: the lock that `gatepost serve` holds as long as it runs.

In: data_dir. Out: a descriptor that holds it; workers inherit it. The lock is the system's, so
it ends with the last process that has it, however that ended: a file left behind is no
obstacle. Several gateways share a PostgreSQL, never a folder.

*Fails:* `AlreadyServed`, `StoreInUse`; `OSError` where the folder cannot be written.
*Known limits:* local file systems; over a network file system two machines may not see each
other's lock.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from gatepost.store.private import make_private_folder, open_own
from gatepost.store.trouble import StoreUnavailable

SERVE_LOCK = "serve.lock"


class AlreadyServed(Exception):  # noqa: N818  a fact, said to whoever came second
    """A gateway runs on this data directory."""


@contextlib.contextmanager
def only_instance(data_dir: Path) -> Iterator[int]:
    """Holds data_dir by a descriptor. Raises `AlreadyServed`."""
    make_private_folder(data_dir)
    with _lock_file(data_dir) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyServed(
                f"another gatepost serve runs on {data_dir}: stop it first, "
                "or give this one a data_dir of its own"
            ) from error
        yield file.fileno()


def _lock_file(data_dir: Path) -> TextIO:
    try:
        # Root may give it away: no link to another file is followed.
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
        return os.fdopen(open_own(data_dir / SERVE_LOCK, flags), "a")
    except PermissionError as error:
        raise OSError(
            f"{data_dir} may be used by {_owner(data_dir)} only: run as that user, unless a "
            "gateway of theirs runs there already, or give this one a data_dir of its own"
        ) from error


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # a container has no names for those outside
        return f"user {path.stat().st_uid}"


class StoreInUse(StoreUnavailable):
    """A gateway of another version works with the store that would be upgraded under it."""


def check_alone(data_dir: Path, schema: str) -> None:
    """Raises `StoreInUse` where a gateway works with the store, which has an older `schema`."""
    try:
        with only_instance(data_dir):
            return
    except AlreadyServed as error:
        raise StoreInUse(
            f"the store has the older schema {schema}, and a gateway of that version runs on "
            f"{data_dir}: stop it first, then this program upgrades the store"
        ) from error
