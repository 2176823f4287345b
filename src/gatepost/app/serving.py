"""Gatepost as a program: one process or several workers, signals, an orderly end.

In: the path of the configuration. Out: an exit status: 0 after SIGTERM or SIGINT, 2 for a
configuration that cannot be used, 3 for a store or an address that cannot be had.

With several workers a supervisor starts them, starts a worker that died again, and passes
signals on. They share the ports (SO_REUSEPORT) and the store; the first one does what only one
needs to do. A second instance on the same embedded store is refused.

*Known limits:* the supervisor reads the configuration only to know how many workers to start.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from gatepost import maillog
from gatepost.app.gateway import Gateway
from gatepost.app.texts import TextsError
from gatepost.app.wiring import WiringError
from gatepost.config import ConfigErrors, Settings, load
from gatepost.store.engine import StoreUnavailable

DONE, BAD_CONFIG, OUT_OF_REACH = 0, 2, 3
WORKER = "GATEPOST_WORKER"
_RESTART_PAUSE_SECONDS = 1.0
_STOP_SECONDS = 15.0


class AlreadyServed(Exception):  # noqa: N818  a fact, said to whoever started the second one
    """Another instance serves this data directory."""


def serve(path: Path, workers: int | None = None) -> int:
    """Runs until told to stop; the exit status. `workers` overrides the configuration."""
    try:
        settings = load(path, os.environ)
    except ConfigErrors as errors:
        _say(errors)
        return BAD_CONFIG
    count = workers or settings.server.workers
    try:
        if WORKER in os.environ:
            return _run(path, settings, worker=int(os.environ[WORKER]))
        with _only_instance(settings):
            return _run(path, settings) if count == 1 else _supervise(path, count)
    except AlreadyServed as error:
        _say(error)
        return OUT_OF_REACH


def _say(text: object) -> None:
    sys.stderr.write(f"{text}\n")


@contextlib.contextmanager
def _only_instance(settings: Settings) -> Iterator[None]:
    """Holds the embedded store's folder; several gateways share a PostgreSQL, never a file."""
    data_dir = Path(settings.server.data_dir)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data_dir / "serve.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyServed(
                f"another gatepost serve runs on {data_dir}: stop it first, "
                "or give this one a data_dir of its own"
            ) from error
        yield


def _run(path: Path, settings: Settings, worker: int | None = None) -> int:
    try:
        return uvloop.run(_main(path, settings, worker))
    except (StoreUnavailable, OSError) as error:
        _say(f"gatepost cannot start: {error}")
        return OUT_OF_REACH
    except (WiringError, TextsError) as error:
        _say(f"gatepost cannot start: {error}")
        return BAD_CONFIG


async def _main(path: Path, settings: Settings, worker: int | None) -> int:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    gateway = Gateway(
        settings, alone=worker is None, share_ports=worker is not None, leads=not worker
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    await gateway.start()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(_reload(gateway, path))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    await stop.wait()
    await gateway.stop()
    return DONE


async def _reload(gateway: Gateway, path: Path) -> None:
    try:
        await gateway.reload(await asyncio.to_thread(load, path, os.environ))
    except (ConfigErrors, WiringError, StoreUnavailable) as errors:
        maillog.reload_failed(str(errors))


def _supervise(path: Path, count: int) -> int:
    """Keeps `count` workers running until told to stop."""
    workers: dict[int, subprocess.Popen[bytes]] = {}
    ending: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        if number != signal.SIGHUP:
            ending.append(number)
        for process in workers.values():
            process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    while not ending:
        for place in range(count):
            process = workers.get(place)
            status = process.poll() if process else None
            if status in {BAD_CONFIG, OUT_OF_REACH}:  # starting again would not mend it
                ending.append(signal.SIGTERM)
                _end(workers)
                return status or BAD_CONFIG
            if process is None or status is not None:
                workers[place] = _start(path, place)
        time.sleep(_RESTART_PAUSE_SECONDS)
    _end(workers)
    return DONE


def _start(path: Path, place: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, "-m", "gatepost", "--config", str(path), "serve"],
        env={**os.environ, WORKER: str(place)},
    )


def _end(workers: dict[int, subprocess.Popen[bytes]]) -> None:
    for process in workers.values():
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for process in workers.values():
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
