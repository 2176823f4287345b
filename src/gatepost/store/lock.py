"""The file lock that processes sharing one SQLite file take around each write transaction.

SQLite's own waiting (busy_timeout) polls, and starves a writer for a second and more when
others commit in quick succession. `flock` wakes waiters at once, and a second lock, the
turnstile, keeps the process that just let go from overtaking whoever waits already: a
waiter holds the turnstile until it has the lock.

*Fails:* `StoreBusy` when the lock is not to be had in time.
*Known limits:* local file systems only, as SQLite's WAL mode.
"""

import fcntl
import os
import threading
import time
from pathlib import Path

from gatepost.store.private import open_own
from gatepost.store.trouble import StoreBusy

MOMENT_SECONDS = 0.02
LOOK_SECONDS = 0.0003  # some transactions are not longer


class FileLock:
    """An exclusive lock between processes, for one thread of each.

    `flock` cannot be given a time limit. Most waits are over in a moment, so the first in the
    line looks again a few times; whoever waits longer, or behind another, waits in a thread that
    outlives the caller's patience; what it gets too late it gives back at once.
    """

    def __init__(self, path: Path, *, patience: float) -> None:
        self._descriptor = open_own(path, os.O_RDWR)
        self._turnstile = open_own(path.with_name(path.name + ".next"), os.O_RDWR)
        self._patience = patience
        self._state = threading.Condition()
        self._waiting = False  # the waiting thread is on its way
        self._wanted = False  # somebody still stands behind it
        self._held = False

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self, patience: float | None = None) -> None:
        """Waits for the lock, as long as usual or `patience` seconds. Raises `StoreBusy`."""
        patience = self._patience if patience is None else patience
        with self._state:
            if not self._waiting and self._try(min(patience, MOMENT_SECONDS)):
                self._held = True
                return
            self._wanted = True
            if not self._waiting:
                self._begin_to_wait()
            if not self._state.wait_for(lambda: self._held, patience):
                self._wanted = False
                raise StoreBusy("another process has held the store for too long")

    def release(self) -> None:
        """Lets the next one in."""
        with self._state:
            self._held = False
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Gives the files back; a lock still awaited keeps them until it is decided."""
        with self._state:
            if not self._waiting:
                os.close(self._descriptor)
                os.close(self._turnstile)

    def _try(self, seconds: float) -> bool:
        """Whether nobody waits already, and the lock was to be had so soon.

        Whoever has come to the turnstile stays there: `_wait` goes on from it.
        """
        if not _take(self._turnstile):
            return False
        try:
            deadline = time.monotonic() + seconds
            while not _take(self._descriptor):
                if time.monotonic() >= deadline:
                    return False
                time.sleep(LOOK_SECONDS)
        except BaseException:
            fcntl.flock(self._turnstile, fcntl.LOCK_UN)
            raise
        fcntl.flock(self._turnstile, fcntl.LOCK_UN)
        return True

    def _begin_to_wait(self) -> None:
        try:
            threading.Thread(target=self._wait, name="store-lock", daemon=True).start()
        except BaseException:  # nobody could go through the turnstile any more
            fcntl.flock(self._turnstile, fcntl.LOCK_UN)
            raise
        self._waiting = True

    def _wait(self) -> None:
        fcntl.flock(self._turnstile, fcntl.LOCK_EX)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        fcntl.flock(self._turnstile, fcntl.LOCK_UN)
        with self._state:
            self._waiting = False
            if self._wanted:
                self._wanted, self._held = False, True
                self._state.notify_all()
            else:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
