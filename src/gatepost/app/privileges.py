"""What a service that root started keeps of root's power: nothing.

Order at a start as root with `[server] user`: the configuration, its secrets, certificates and
DKIM keys are read, the ports are bound, and then, before the store is opened or anybody is
answered, the process becomes that user for good. Whether it could come back is tried, not
assumed. Of several workers each does so by itself; the supervisor stays what it was, so that it
can start another worker, and touches neither mail nor store.

Root or not, a serving process leaves no core dump (it would hold keys and mail), cannot be
looked into by others of its user, gets no privileges by what it starts, and makes files for
itself alone (umask 077).

*Fails:* `PrivilegesError`, with the cure.
*Known limits:* Linux. After the change a reload cannot read what only root can.
"""

import ctypes
import grp
import os
import pwd
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gatepost.store.instance import SERVE_LOCK
from gatepost.store.private import make_private_folder

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


class PrivilegesError(Exception):
    """The process cannot become who it should be; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who the process becomes: user, group, supplementary groups."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def account_of(user: str, group: str) -> Account | None:
    """The account to become, `None` where the process stays who it is.

    Raises `PrivilegesError` for names that do not exist, and where it cannot be done.
    """
    if not user:
        if group:
            raise PrivilegesError("server.group is set without server.user: name the user, too")
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise PrivilegesError(
            f'server.user: there is no user "{user}" on this machine: '
            f"make one with adduser --system --group {user}"
        ) from None
    try:
        gid = grp.getgrnam(group).gr_gid if group else entry.pw_gid
    except KeyError:
        raise PrivilegesError(
            f'server.group: there is no group "{group}" on this machine'
        ) from None
    if entry.pw_uid == 0:
        raise PrivilegesError("server.user: root keeps every privilege; name another user")
    if os.geteuid() == entry.pw_uid:
        return None  # it is so already
    if os.geteuid() != 0:
        raise PrivilegesError(
            f"server.user: only root can become {user}: start as root or as {user}"
        )
    return Account(user, entry.pw_uid, gid, tuple(os.getgrouplist(user, gid)))


def harden() -> None:
    """No core dumps, no looking in, no new privileges, files for ourselves alone."""
    os.umask(0o077)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def become(account: Account) -> None:
    """Be `account` from now on, for good. Raises `PrivilegesError`."""
    try:
        os.setgroups(account.groups)
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    except OSError as error:
        raise PrivilegesError(f"cannot become {account.name}: {error.strerror}") from error
    done = (
        os.getresuid() == (account.uid,) * 3
        and os.getresgid() == (account.gid,) * 3
        and sorted(set(os.getgroups())) == sorted(set(account.groups))
    )
    ways_back: tuple[Callable[[int], None], ...] = (os.setuid, os.seteuid, os.setgid, os.setegid)
    if not done or any(_succeeds(way) for way in ways_back):
        raise PrivilegesError(f"root's privileges are not gone after becoming {account.name}")
    harden()  # a change of user sets the first of it back


def hand_over(path: Path | int, account: Account | None) -> None:
    """Gives what was just made to `account`, but nothing that a link of theirs leads to.

    Raises `OSError` and `PrivilegesError`.
    """
    if account is None:
        return
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    made = path if isinstance(path, int) else os.open(path, flags)
    try:
        found = os.fstat(made)
        if not stat.S_ISDIR(found.st_mode) and found.st_nlink > 1:
            raise PrivilegesError(f"a file in data_dir has another name elsewhere: {path}")
        os.fchown(made, account.uid, account.gid)
    finally:
        if made != path:
            os.close(made)


def prepare_folder(data_dir: Path, account: Account) -> None:
    """Makes data_dir for `account` if it is missing, and looks whether all in it is its own.

    Raises `PrivilegesError` or `OSError`.
    """
    if not data_dir.exists() or not any(data_dir.iterdir()):
        make_private_folder(data_dir)
        hand_over(data_dir.resolve(), account)
    for path in _owned(data_dir):
        owner = path.stat().st_uid
        if owner != account.uid:
            raise PrivilegesError(
                f"{path} belongs to {_name_of(owner)}, not to {account.name}: "
                f"run chown -R {account.name}: {data_dir}"
            )


def _owned(data_dir: Path) -> Iterator[Path]:
    """What the user must own to serve; the lock is handed over when it is taken."""
    yield data_dir
    for folder in (data_dir, data_dir / "keys"):
        if folder.is_dir():
            yield from sorted(one for one in folder.iterdir() if one.name != SERVE_LOCK)


def _succeeds(way_back: Callable[[int], None]) -> bool:
    try:
        way_back(0)
    except PermissionError:
        return False
    return True


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
