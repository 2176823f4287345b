"""What is ours alone: files with secrets, and the folder of all data.

In: paths. Out: why a secret is not safe where it is, and a folder that only its owner opens.

A secret may be read by its owner and, for keys that a service is given, by a group of its own
(mode 0640, as for TLS keys in Debian); whatever lets others in, or a group write, is refused
with the cure. An orchestrator's secret is excepted (`is_mounted`): its mode cannot be changed
from inside, and whom it was mounted for is decided outside.

What root makes in the folder of somebody else is theirs: `sudo gatepost keys rotate` must not leave
the service with keys that it cannot read.

A data folder that is open to others is closed (0700) with a warning, where it is ours and no
other than ours: nobody's home, no /tmp.

*Fails:* `OSError` where a file cannot be looked at, or a folder cannot be closed.
*Known limits:* mounts are known on Linux only.
"""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from gatepost import houselog

PRIVATE = 0o700
_OTHERS = 0o077
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_EVERYBODYS = frozenset({"/", "/run", "/tmp", "/var/tmp", "/dev", "/dev/shm"})  # noqa: S108
_OCTAL = re.compile(r"\\([0-7]{3})")  # how a blank in a mount point is written
_TOO_OPEN = 0o027  # whatever others may, and that a group writes
_MARKS = frozenset(
    {"keys", "gatepost.db", "serve.lock", "gatepost.lock", "suppression.key", "ledger.key"}
)


def why_open(path: Path) -> str:
    """Why a secret in `path` is not safe there; "" where it is. Raises `OSError`."""
    mode = path.stat().st_mode
    if not mode & _TOO_OPEN or is_mounted(path):
        return ""
    return "others may read it" if mode & 0o004 else "others may use or change it"


def is_mounted(path: Path) -> bool:
    """Whether a read-only mount was made for this file alone, or for a folder of secrets.

    That is how Kubernetes, Docker and Podman hand in secrets: a file of its own, or a folder in
    memory, readable by all who live in the container. A system that is read-only as a whole, as
    `ProtectSystem=strict` shows it to a service, is no such mount.
    """
    real = str(path.resolve())
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    return _covering_mount_is_ours(real, mounts)


def _covering_mount_is_ours(real: str, mounts: Sequence[str]) -> bool:
    """The same, by the lines of proc_pid_mountinfo(5); the last of the longest covers the rest."""
    point, is_ours = "", False
    for line in mounts:
        about, _, kind = line.partition(" - ")
        at, options = about.split(" ")[4:6]
        at = _OCTAL.sub(lambda found: chr(int(found[1], 8)), at)
        if len(at) >= len(point) and (real == at or real.startswith(at.rstrip("/") + "/")):
            in_memory = kind.split(" ")[0] in _IN_MEMORY and at not in _EVERYBODYS
            point, is_ours = at, "ro" in options.split(",") and (real == at or in_memory)
    return is_ours


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
    houselog.folder_closed(str(path), stat.S_IMODE(found.st_mode))


def open_own(path: Path, flags: int) -> int:
    """Opens a file; one that is missing is made (mode 0600) for whoever owns its folder.

    Raises `OSError`.
    """
    try:
        made = os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:  # or a link, which the owner may have laid to a file of root
        return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
    leave_to_owner(made, path)
    return made


def leave_to_owner(descriptor: int, path: Path) -> None:
    """Gives what root has just made at `path` to the owner of the folder. Raises `OSError`.

    Only what is there and nowhere else: the folder's name may lead elsewhere by now.
    """
    if os.geteuid() != 0:
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        made = os.fstat(descriptor)
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        alone = stat.S_ISDIR(made.st_mode) or made.st_nlink == 1
        if alone and os.path.samestat(made, found):
            owner = os.fstat(folder)
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(folder)


def leave_folder_to_owner(made: Path) -> None:
    """Gives a folder that root has just made to the owner of the one it is in. Raises `OSError`."""
    descriptor = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        leave_to_owner(descriptor, made)
    finally:
        os.close(descriptor)


def _is_ours(path: Path, mode: int) -> bool:
    """Empty, or with our marks in it: not a folder that others need."""
    names = {one.name for one in path.iterdir()}
    return not mode & stat.S_ISVTX and (not names or bool(names & _MARKS))
