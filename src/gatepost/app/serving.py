"""Gatepost as a program: one process or several workers, signals, an orderly end.

In: the path of the configuration. Out: an exit status: 0 after SIGTERM or SIGINT, 2 for a
configuration that cannot be used, 3 for a store or an address that cannot be had.

With several workers a `supervisor` keeps them running. They share the ports and the store; the
first one does what only one needs to do. A second instance on the same data_dir is refused.
A stop is over within ten seconds, a second signal ends it at once.

*Known limits:* a supervisor reads the configuration only at its start, to know how many workers
to run and how to log.
"""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import uvloop

from gatepost import houselog, logfile
from gatepost.app.gateway import Gateway
from gatepost.app.privileges import (
    Account,
    PrivilegesError,
    account_of,
    become,
    hand_over,
    harden,
    prepare_folder,
)
from gatepost.app.resources import prepare
from gatepost.app.supervisor import Place, Supervisor, inherited_store, own_metrics
from gatepost.app.trouble import TextsError
from gatepost.app.wiring import WiringError
from gatepost.config import ConfigErrors, Settings, load
from gatepost.store.engine import StoreUnavailable
from gatepost.store.instance import AlreadyServed, only_instance

GC_THRESHOLD = 20_000  # objects made and not freed, between looks at the youngest
DONE, BAD_CONFIG, OUT_OF_REACH = 0, 2, 3
STOP_SECONDS = 9.0  # everything is over within ten, whoever holds on


def serve(path: Path, workers: int | None = None) -> int:
    """Runs until told to stop; the exit status. `workers` overrides the configuration."""
    try:
        settings = load(path, os.environ)
    except ConfigErrors as errors:
        _say(errors)
        return BAD_CONFIG
    harden()
    count = workers or settings.server.workers
    try:
        account = account_of(settings.server.user, settings.server.group)
        if place := Place.read():
            return _run(path, _on_the_same_store(settings), place, account)
        if account is not None:
            prepare_folder(settings.server.data_dir, account)
        with only_instance(settings.server.data_dir) as lock:
            hand_over(lock, account)
            if count == 1:
                return _run(path, settings, account=account)
            return _supervise(path, settings, count, lock, account)
    except PrivilegesError as error:
        _say(f"gatepost cannot start: {error}")
        return BAD_CONFIG
    except AlreadyServed as error:
        _say(error)
    except OSError as error:
        _say(f"gatepost cannot start: {error}")
    return OUT_OF_REACH


def _say(text: object) -> None:
    sys.stderr.write(f"{text}\n")


def _supervise(
    path: Path, settings: Settings, count: int, lock: int, account: Account | None
) -> int:
    logfile.configure(settings.log.format, settings.log.addresses, b"")
    hopeless = (BAD_CONFIG, OUT_OF_REACH)
    return Supervisor(
        path, count, settings.server.data_dir, lock, hopeless,
        account=account, store=settings.store.url.get_secret_value(),
    ).run()  # fmt: skip


def _on_the_same_store(settings: Settings) -> Settings:
    """`settings` with the store that the other workers have.

    On another one, which the file names since, mail would be decided without the ledger.
    """
    inherited = inherited_store()
    if inherited is None:
        return settings
    data_dir, url = inherited
    server = settings.server.model_copy(update={"data_dir": data_dir})
    store = settings.store.model_copy(update={"url": type(settings.store.url)(url)})
    return settings.model_copy(update={"server": server, "store": store})


def _run(
    path: Path,
    settings: Settings,
    place: Place | None = None,
    account: Account | None = None,
) -> int:
    prepare()
    try:
        return uvloop.run(_main(path, settings, place, account))
    except (StoreUnavailable, OSError) as error:
        _say(f"gatepost cannot start: {error}")
        return OUT_OF_REACH
    except (WiringError, TextsError) as error:
        _say(f"gatepost cannot start: {error}")
        return BAD_CONFIG


async def _main(
    path: Path, settings: Settings, place: Place | None, account: Account | None
) -> int:
    loop = asyncio.get_running_loop()
    stop = _stop_on_signals(loop, place)
    gateway = Gateway(settings, place=place)
    if account is not None:
        gateway.take_doors()
        for metrics in own_metrics():
            hand_over(metrics, account)
        become(account)
    asked_early = asyncio.Event()  # the settings were read before: what was asked is done later
    loop.add_signal_handler(signal.SIGHUP, asked_early.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # held back so far
    if not await _start(gateway, stop):
        return DONE
    if os.geteuid() == 0:
        houselog.running_as_root()
    _settle_memory()
    reloads: set[asyncio.Task[None]] = set()
    in_turn = asyncio.Lock()  # or the file as it was before could come last

    def reload() -> None:
        if len(reloads) > 1:
            return  # one waits already, and reads the file when its turn has come
        task = loop.create_task(_reload(gateway, path, in_turn))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    if asked_early.is_set():
        reload()
    logfile.hold_lines(loop.call_soon)
    await stop.wait()
    logfile.hold_lines(None)
    await gateway.stop()
    return DONE


def _stop_on_signals(loop: asyncio.AbstractEventLoop, place: Place | None) -> asyncio.Event:
    """What is set when it is time to stop.

    The second SIGTERM or SIGINT ends the process at once. A worker leaves that to its supervisor:
    a key on the terminal reaches both, and is one wish.
    """
    stop = asyncio.Event()

    def ask() -> None:
        if not stop.is_set():
            stop.set()
            _end_in_any_case()
        elif place is None:
            os._exit(DONE)

    loop.add_signal_handler(signal.SIGTERM, ask)
    loop.add_signal_handler(signal.SIGINT, ask if place is None else _nothing)
    if place is not None:
        _on_end_of_input(loop, ask)
    return stop


def _nothing() -> None:
    """The supervisor says when a worker is to end."""


def _end_in_any_case() -> None:
    """Ends the process in time although something holds it: a store, a thread, a name server.

    That is no worse than a crash, which loses nothing: what was acknowledged is committed.
    """

    def end() -> None:
        houselog.stop_cut_short(STOP_SECONDS)
        os._exit(DONE)

    timer = threading.Timer(STOP_SECONDS, end)
    timer.daemon = True
    timer.start()


async def _start(gateway: Gateway, stop: asyncio.Event) -> bool:
    """Starts the gateway; false if it was told to stop before it was up. Raises what it raises."""
    starting, told = asyncio.ensure_future(gateway.start()), asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    await asyncio.wait({starting})
    return False


def _settle_memory() -> None:
    """What is loaded by now stays: the collector of cycles need not look at it again.

    Mail makes objects by the thousand and hardly any cycles; the usual threshold would have
    the collector look every few messages.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)


async def _reload(gateway: Gateway, path: Path, in_turn: asyncio.Lock) -> None:
    async with in_turn:
        try:
            await gateway.reload(await asyncio.to_thread(load, path, os.environ))
        except (ConfigErrors, WiringError, TextsError, StoreUnavailable) as errors:
            houselog.reload_failed(str(errors))
        except Exception as error:  # noqa: BLE001  somebody waits for a word
            houselog.reload_failed(str(error) or repr(error))
            houselog.housekeeping_failed("reload", error)


def _on_end_of_input(loop: asyncio.AbstractEventLoop, do: Callable[[], object]) -> None:
    """Calls `do` when nobody holds the other end of our standard input any more."""

    def readable() -> None:
        if not os.read(sys.stdin.fileno(), 64):
            loop.remove_reader(sys.stdin.fileno())
            do()

    loop.add_reader(sys.stdin.fileno(), readable)
