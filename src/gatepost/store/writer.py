"""The writer thread (group commit) and the reader threads.

Whatever waits when the writer turns to its queue shares one transaction: operations in the
order they came, jobs of one `BatchOp` merged into one call at the place of the first. After
COMMIT each event loop is called once for the whole batch. If an operation fails, the
transaction is rolled back and each one is run again alone, so that only the guilty fails;
if the store fails, all fail together.

An operation whose caller has gone away is still carried out.

*Fails:* each caller gets its own operation's exception, or `StoreUnavailable`.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, cast

from gatepost.store.clock import REFRESH_SECONDS
from gatepost.store.connection import Link
from gatepost.store.transaction import BatchOp, Tx
from gatepost.store.trouble import StoreUnavailable, Trouble, classify, exception_for

MAX_TOGETHER = 2000  # more than these in one transaction would only make the first wait


class Job:
    """One caller's wish, and where the answer goes."""

    __slots__ = ("error", "future", "item", "loop", "op", "result")

    def __init__(self, op: BatchOp[Any, Any] | Callable[[Tx], Any], item: object = None) -> None:
        self.op = op
        self.item = item
        self.loop: asyncio.AbstractEventLoop | None = None
        self.future: asyncio.Future[Any] | Future[Any]
        self.result: Any = None
        self.error: BaseException | None = None

    def call(self, tx: Tx) -> Any:
        """Runs an operation that is not of a batch."""
        return cast("Callable[[Tx], Any]", self.op)(tx)

    def for_loop(self) -> asyncio.Future[Any]:
        """The answer as a future of the running event loop."""
        self.loop = asyncio.get_running_loop()
        self.future = self.loop.create_future()
        return self.future

    def for_thread(self) -> Future[Any]:
        """The answer as a future to block on."""
        self.future = Future()
        return self.future

    def fail(self, error: BaseException) -> None:
        """Keeps the error for the caller, in a form that a future takes."""
        if isinstance(error, StopIteration):
            error = RuntimeError("an operation raised StopIteration")
        self.error = error

    def answer(self) -> None:
        """Hands over result or error; a caller that has gone away is skipped."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Desk:
    """A queue of jobs and the threads that serve it."""

    def __init__(self, serve: Callable[["Desk", Link], None], links: Sequence[Link]) -> None:
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._door = threading.Lock()
        self._open = True
        self._threads = [
            threading.Thread(
                target=self._run, args=(serve, link), name=f"{serve.__name__}-{n}", daemon=True
            )
            for n, link in enumerate(links)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, job: Job) -> None:
        """Queues `job`. Raises `StoreUnavailable` after `close`."""
        with self._door:
            if not self._open:
                raise StoreUnavailable("the store is closed")
            self._queue.put(job)

    def close(self) -> None:
        """Serves what is queued, then ends the threads. May be called again."""
        with self._door:
            if self._open:
                self._open = False
                for _ in self._threads:
                    self._queue.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def next(self, timeout: float | None = None) -> Job | None:
        """The next job, `None` at the end. Raises `queue.Empty` after `timeout` seconds."""
        return self._queue.get(timeout=timeout)

    def take_waiting(self, first: Job) -> tuple[list[Job], bool]:
        """`first` and what waits behind it, and whether the end was among it."""
        jobs = [first]
        while len(jobs) < MAX_TOGETHER:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
        return jobs, False

    def _run(self, serve: Callable[["Desk", Link], None], link: Link) -> None:
        try:
            serve(self, link)
        finally:
            link.close()


def write(desk: Desk, link: Link) -> None:
    """The writer thread's life."""
    ended = False
    while not ended:
        try:
            first = desk.next(timeout=REFRESH_SECONDS)
        except queue.Empty:
            _keep_clock(link)
            continue
        if first is None:
            return
        jobs, ended = desk.take_waiting(first)
        _run_together(link, jobs)
        _answer(jobs)


def read(desk: Desk, link: Link) -> None:
    """A reader thread's life. If the store fails, all who wait are told at once."""
    ended = False
    while not ended and (job := desk.next()) is not None:
        jobs: Sequence[Job] = [job]
        _run_alone(link, job)
        if isinstance(job.error, StoreUnavailable) and link.in_trouble:
            jobs, ended = desk.take_waiting(job)
            for waiting in jobs[1:]:
                waiting.fail(exception_for(Trouble.AWAY, job.error))
        _answer(jobs)


def _keep_clock(link: Link) -> None:
    try:
        link.keep_clock()
    except StoreUnavailable:
        return  # the next operation meets the same trouble, and has somebody to tell


def _run_together(link: Link, jobs: Sequence[Job]) -> None:
    if len(jobs) == 1:
        _run_alone(link, jobs[0])
        return
    try:
        results = link.run(lambda tx: _results(tx, jobs))
    except BaseException as error:  # noqa: BLE001  whatever it is, the thread must live on
        trouble = classify(error)
        for job in jobs:
            if trouble is Trouble.NONE:
                _run_alone(link, job)
            else:
                job.fail(exception_for(trouble, error))
    else:
        for job, result in zip(jobs, results, strict=True):
            job.result = result


def _run_alone(link: Link, job: Job) -> None:
    try:
        (job.result,) = link.run(lambda tx: _results(tx, [job]))
    except BaseException as error:  # noqa: BLE001  it belongs to the caller, not to the thread
        job.fail(error)


def _results(tx: Tx, jobs: Sequence[Job]) -> list[Any]:
    """One result per job. Jobs of one batch operation run together, where its first stands."""
    kinds: dict[BatchOp[Any, Any] | Job, list[int]] = {}
    for place, job in enumerate(jobs):
        kinds.setdefault(job.op if isinstance(job.op, BatchOp) else job, []).append(place)
    results: list[Any] = [None] * len(jobs)
    for kind, places in kinds.items():
        if isinstance(kind, BatchOp):
            answers = kind.run(tx, [jobs[place].item for place in places])
            for place, answer in zip(places, answers, strict=True):
                results[place] = answer
        else:
            results[places[0]] = kind.call(tx)
    return results


def _answer(jobs: Iterable[Job]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        if job.loop is None:
            job.answer()
        else:
            by_loop.setdefault(job.loop, []).append(job)
    for loop, answered in by_loop.items():
        try:
            loop.call_soon_threadsafe(_answer_in_loop, answered)
        except RuntimeError:
            continue  # the loop is closed: nobody waits any more


def _answer_in_loop(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.answer()
