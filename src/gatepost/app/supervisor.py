"""Several workers as one program: started, watched, started again, ended together.

In: how many, and where the configuration is. Out: the exit status of the whole. Each worker is
a process of its own that runs `gatepost serve` with a `Place` in its environment. Workers share
the ports (SO_REUSEPORT) and the store; their metrics are added up from files in
`data_dir/metrics`, which is emptied at start.

A worker that cannot start at all ends the whole, because trying again would not mend it; one
that dies later is started again, on the store of the others, which it inherits: the file may
name another by now. When the supervisor itself dies, its workers notice by the end
of their standard input and end, too. They keep the lock on data_dir until then, so that no
second set of workers starts beside them.

*Fails:* `OSError` when data_dir cannot be written.
"""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from prometheus_client.multiprocess import mark_process_dead

from gatepost import houselog
from gatepost.app.privileges import Account, hand_over
from gatepost.flow.accept import guessing, rates
from gatepost.store.private import leave_folder_to_owner

STOP_SECONDS = 9.5  # workers end by themselves half a second sooner
RESTART_PAUSE_SECONDS = 1.0
_LOOK_SECONDS = 0.05
_VARIABLE = "GATEPOST_WORKER"
_METRICS = "metrics"
_GUESSES_VARIABLE = "GATEPOST_GUESSES"
_RATES_VARIABLE = "GATEPOST_RATES"
_STORE_VARIABLE = "GATEPOST_STORE"
_METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's name for it


@dataclass(frozen=True, slots=True)
class Place:
    """Which worker of how many this process is."""

    number: int
    count: int

    @classmethod
    def read(cls) -> Self | None:
        """The place that a supervisor gave this process; `None` where there is none."""
        number, _, count = os.environ.get(_VARIABLE, "").partition("/")
        return cls(int(number), int(count)) if number.isdigit() and count.isdigit() else None


def inherited_guesses() -> int | None:
    """The memory in which all workers count wrong passwords; `None` for the only process."""
    return _inherited(_GUESSES_VARIABLE)


def inherited_rates() -> int | None:
    """The memory in which all workers count what clients may send; `None` as above."""
    return _inherited(_RATES_VARIABLE)


def inherited_store() -> tuple[Path, str] | None:
    """data_dir and URL of the store that all workers share; `None` for the only process."""
    descriptor = _inherited(_STORE_VARIABLE)
    if descriptor is None:
        return None
    folder, url = json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
    return Path(folder), url


def _remembered(folder: Path, url: str) -> int:
    """A descriptor of what `inherited_store` says: the URL may have a password."""
    descriptor = os.memfd_create("gatepost-store")
    os.write(descriptor, json.dumps([str(folder), url]).encode())
    return descriptor


def _inherited(variable: str) -> int | None:
    descriptor = os.environ.get(variable, "")
    return int(descriptor) if Place.read() and descriptor.isdigit() else None


def own_metrics() -> list[Path]:
    """The files of this worker's metrics, which were opened as it began."""
    folder = os.environ.get(_METRICS_VARIABLE)
    return list(Path(folder).glob(f"*_{os.getpid()}.db")) if Place.read() and folder else []


class Supervisor:
    """Keeps `count` workers running. `lock` is the descriptor that holds data_dir.

    `account` is who the workers become, `store` the URL of the store.
    """

    def __init__(
        self,
        path: Path,
        count: int,
        data_dir: Path,
        lock: int,
        hopeless: Sequence[int],
        *,
        account: Account | None = None,
        store: str = "",
    ) -> None:
        self._path = path
        self._count = count
        self._metrics = data_dir / _METRICS
        self._lock = lock
        self._account = account
        self._hopeless = frozenset(hopeless)
        self._guesses, self._rates = guessing.shared_memory(), rates.shared_memory()
        self._store = _remembered(data_dir, store)
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()  # put() may interrupt get()

    def run(self) -> int:
        """Runs until told to stop; 0, or the status of a worker that could not start."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: self._signals.put(number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        shutil.rmtree(self._metrics, ignore_errors=True)
        self._metrics.mkdir(mode=0o700)
        leave_folder_to_owner(self._metrics)
        hand_over(self._metrics, self._account)
        try:
            for place in range(self._count):
                self._start(place)
            return self._watch()
        finally:
            self._end()

    def _watch(self) -> int:
        again: set[int] = set()
        while True:
            try:
                number = self._signals.get(timeout=RESTART_PAUSE_SECONDS)
            except queue.Empty:
                number = 0
            if number == signal.SIGHUP:
                for process in self._workers.values():
                    process.send_signal(number)
            elif number:
                return 0
            for place, process in self._workers.items():
                status = process.poll()
                if status is None:
                    continue
                if status in self._hopeless and place not in again:
                    return status
                houselog.worker_ended(place, status)
                mark_process_dead(process.pid, str(self._metrics))  # type: ignore[no-untyped-call]
                again.add(place)
                try:
                    self._start(place)
                except OSError as error:  # no memory for one more process: in a second, perhaps
                    houselog.housekeeping_failed("start of a worker", error)

    def _start(self, place: int) -> None:
        """Starts a worker, in which SIGHUP waits to be listened to, or it would be its end."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            self._workers[place] = self._spawn(place)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _spawn(self, place: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, "-m", "gatepost", "--config", str(self._path), "serve"],
            stdin=subprocess.PIPE,
            pass_fds=(self._lock, self._guesses, self._rates, self._store),
            env={
                **os.environ,
                _VARIABLE: f"{place}/{self._count}",
                _GUESSES_VARIABLE: str(self._guesses),
                _RATES_VARIABLE: str(self._rates),
                _STORE_VARIABLE: str(self._store),
                _METRICS_VARIABLE: str(self._metrics.resolve()),
            },
        )

    def _end(self) -> None:
        for process in self._workers.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while any(one.poll() is None for one in self._workers.values()):
            if time.monotonic() > deadline or self._is_told_again():
                break
        for process in self._workers.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def _is_told_again(self) -> bool:
        try:
            return self._signals.get(timeout=_LOOK_SECONDS) != signal.SIGHUP
        except queue.Empty:
            return False
