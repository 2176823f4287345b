"""Gatepost as a program: one process or several workers, signals, an orderly end.

In: the path of the configuration. Out: an exit status: 0 after SIGTERM or SIGINT, 2 for a
configuration that cannot be used, 3 for a store or an address that cannot be had.

With several workers a `supervisor` keeps them running. They share the ports and the store; the
first one does what only one needs to do. A second instance on the same data_dir is refused.

*Known limits:* a supervisor reads the configuration only at its start, to know how many workers
to run and how to log.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import uvloop

from gatepost import maillog
from gatepost.app.gateway import Gateway
from gatepost.app.resources import prepare
from gatepost.app.supervisor import Place, Supervisor
from gatepost.app.trouble import TextsError
from gatepost.app.wiring import WiringError
from gatepost.config import ConfigErrors, Settings, load
from gatepost.store.engine import StoreUnavailable
from gatepost.store.instance import AlreadyServed, only_instance

GC_THRESHOLD = 20_000  # objects made and not freed, between looks at the youngest
DONE, BAD_CONFIG, OUT_OF_REACH = 0, 2, 3


def serve(path: Path, workers: int | None = None) -> int:
    """Runs until told to stop; the exit status. `workers` overrides the configuration."""
    try:
        settings = load(path, os.environ)
    except ConfigErrors as errors:
        _say(errors)
        return BAD_CONFIG
    count = workers or settings.server.workers
    if place := Place.read():
        return _run(path, settings, place)
    try:
        with only_instance(settings.server.data_dir) as lock:
            return _run(path, settings) if count == 1 else _supervise(path, settings, count, lock)
    except AlreadyServed as error:
        _say(error)
    except OSError as error:
        _say(f"gatepost cannot start: {error}")
    return OUT_OF_REACH


def _say(text: object) -> None:
    sys.stderr.write(f"{text}\n")


def _supervise(path: Path, settings: Settings, count: int, lock: int) -> int:
    maillog.configure(settings.log.format, settings.log.addresses, b"")
    hopeless = (BAD_CONFIG, OUT_OF_REACH)
    return Supervisor(path, count, settings.server.data_dir, lock, hopeless).run()


def _run(path: Path, settings: Settings, place: Place | None = None) -> int:
    prepare()
    try:
        return uvloop.run(_main(path, settings, place))
    except (StoreUnavailable, OSError) as error:
        _say(f"gatepost cannot start: {error}")
        return OUT_OF_REACH
    except (WiringError, TextsError) as error:
        _say(f"gatepost cannot start: {error}")
        return BAD_CONFIG


async def _main(path: Path, settings: Settings, place: Place | None) -> int:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    gateway = Gateway(settings, place=place)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if place is not None:
        _on_end_of_input(loop, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    await gateway.start()
    _settle_memory()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(_reload(gateway, path))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    await stop.wait()
    await gateway.stop()
    return DONE


def _settle_memory() -> None:
    """What is loaded by now stays: the collector of cycles need not look at it again.

    Mail makes objects by the thousand and hardly any cycles; the usual threshold would have
    the collector look every few messages.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)


async def _reload(gateway: Gateway, path: Path) -> None:
    try:
        await gateway.reload(await asyncio.to_thread(load, path, os.environ))
    except (ConfigErrors, WiringError, TextsError, StoreUnavailable) as errors:
        maillog.reload_failed(str(errors))


def _on_end_of_input(loop: asyncio.AbstractEventLoop, do: Callable[[], object]) -> None:
    """Calls `do` when nobody holds the other end of our standard input any more."""

    def readable() -> None:
        if not os.read(sys.stdin.fileno(), 64):
            loop.remove_reader(sys.stdin.fileno())
            do()

    loop.add_reader(sys.stdin.fileno(), readable)
