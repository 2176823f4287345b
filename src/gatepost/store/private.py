"""What is ours alone: files with secrets, and the folder of all data.

In: paths. Out: why a secret is not safe where it is, and a folder that only its owner opens.

A secret may be read by its owner and, for keys that a service is given, by a group of its own
(mode 0640, as for TLS keys in Debian); whatever lets others in, or a group write, is refused
with the cure. A data folder that is open to others is closed (0700) with a warning, where it
is ours and no other than ours: nobody's home, no /tmp.

*Fails:* `OSError` where a file cannot be looked at, or a folder cannot be closed.
"""

import os
import stat
from pathlib import Path

from gatepost import maillog

PRIVATE = 0o700
_OTHERS = 0o077
_TOO_OPEN = 0o027  # whatever others may, and that a group writes
_MARKS = frozenset(
    {"keys", "gatepost.db", "serve.lock", "gatepost.lock", "suppression.key", "ledger.key"}
)


def why_open(path: Path) -> str:
    """Why a secret in `path` is not safe there; "" where it is. Raises `OSError`."""
    mode = path.stat().st_mode
    if not mode & _TOO_OPEN:
        return ""
    return "others may read it" if mode & 0o004 else "others may use or change it"


def cure(path: Path) -> str:
    """What to do about it."""
    return f"run chmod 600 {path}, or 640 where only the service's own group may read it"


def make_private_folder(path: Path) -> None:
    """Makes the folder, or closes one that is there to all but its owner. Raises `OSError`."""
    path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    found = path.stat()
    if not found.st_mode & _OTHERS:
        return
    if os.geteuid() not in (0, found.st_uid) or not _is_ours(path, found.st_mode):
        raise OSError(
            0, "others may open this folder: give data_dir a folder of its own (mode 0700)", path
        )
    path.chmod(PRIVATE)
    maillog.folder_closed(str(path), stat.S_IMODE(found.st_mode))


def _is_ours(path: Path, mode: int) -> bool:
    """Empty, or with our marks in it: not a folder that others need."""
    names = {one.name for one in path.iterdir()}
    return not mode & stat.S_ISVTX and (not names or bool(names & _MARKS))
