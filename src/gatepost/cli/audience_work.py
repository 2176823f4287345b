"""The work of an audience check: lines of a list → verdicts, in several processes for long lists.

Each process opens the store by itself and judges portions of the list against a snapshot of
its own, with the same look-up and the same rules as the way of a mail (`flow.audience`). The
order of the list is kept, and no more than a few portions are under way at a time, so that a
list of any length takes the same memory. Short lists are judged right here.

In: lines with their numbers. Out: `Judgement` per portion.
*Fails:* `StoreUnavailable`; `Refusal` where a process ends before its work.
*Known limits:* what changes while a long list is checked is seen by the portions after it.
"""

import csv
import io
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from gatepost.cli.desk import Desk, Refusal, Status
from gatepost.cli.printing import jsonable, moment
from gatepost.flow import audience
from gatepost.mail.address import Address, AddressError, parse
from gatepost.mail.stream import Stream
from gatepost.store.engine import Store

LONG = 20_000  # lines from which on other processes are worth starting
MOST = 4  # processes: beyond these the list itself is not read faster
_AHEAD = 3  # portions per process that are under way

Line = tuple[int, str]


class Judged(NamedTuple):
    """One address, and what would become of it."""

    address: str
    verdict: str
    reason: str
    since: datetime | None


@dataclass(slots=True)
class Judgement:
    """A portion of the list: its verdicts as rows or as JSON, and lines that are no address."""

    rows: list[Judged] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    eligible: str = ""
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[Line] = field(default_factory=list)
    lines: int = 0


class Judge:
    """Judges portions for one stream; `json` says in which form."""

    def __init__(self, desk: Desk, store: Store, stream: Stream, *, json: bool) -> None:
        self._policy, self._store, self._stream, self._json = desk.policy, store, stream, json

    def __call__(self, lines: Sequence[Line]) -> Judgement:
        """The verdicts on these lines."""
        answer = Judgement(lines=len(lines))
        eligible = io.StringIO(newline="")
        write = csv.writer(eligible).writerow
        encode = json.JSONEncoder(ensure_ascii=False, default=jsonable).encode
        addresses = list(_readable(lines, answer.wrong))
        verdicts = audience.check(self._store, self._policy, self._stream, addresses)
        for address, verdict in verdicts:
            judged = Judged(address.given, verdict.disposition, verdict.reason, verdict.since)
            answer.reasons[judged.verdict, judged.reason] += 1
            if verdict.delivers:
                write((judged.address, moment(judged.since) if judged.since else ""))
            if self._json:
                answer.texts.append(encode(judged._asdict()))
            else:
                answer.rows.append(judged)
        answer.eligible = eligible.getvalue()
        return answer


def judge(
    desk: Desk, store: Store, stream: Stream, lines: Iterator[Line], *, json: bool
) -> Iterator[Judgement]:
    """The whole list, portion by portion, in its order."""
    here = Judge(desk, store, stream, json=json)
    first = list(islice(lines, LONG))
    processes = min(MOST, len(os.sched_getaffinity(0)))
    if len(first) < LONG or processes == 1:
        for portion in _portions(chain(first, lines)):
            yield here(portion)
        return
    with ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_start, initargs=(desk.path, stream.name, json)
    ) as pool:
        try:
            yield from _in_order(pool, _portions(chain(first, lines)), processes * _AHEAD)
        except BrokenProcessPool as error:
            raise Refusal(
                "a process that judged the list has ended", Status.OUT_OF_REACH
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, portions: Iterator[Sequence[Line]], ahead: int
) -> Iterator[Judgement]:
    waiting: deque[Future[Judgement]] = deque()
    for portion in portions:
        waiting.append(pool.submit(_work, portion))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _portions(lines: Iterator[Line]) -> Iterator[Sequence[Line]]:
    while portion := list(islice(lines, audience.SLICE)):
        yield portion


def _readable(lines: Sequence[Line], wrong: list[Line]) -> Iterator[Address]:
    for line, text in lines:
        try:
            yield parse(text)
        except AddressError as error:
            wrong.append((line, str(error)))


# --- in a process of its own -------------------------------------------------------------

_judge: Callable[[Sequence[Line]], Judgement] | None = None


def _start(config: Path, stream: str, json: bool) -> None:
    """Opens the store for the life of the process."""
    global _judge  # noqa: PLW0603  a worker process has one task
    desk = Desk(config)
    url = desk.settings.store.url.get_secret_value()
    store = Store.open(url, Path(desk.settings.server.data_dir), create=False)
    _judge = Judge(desk, store, desk.stream(stream), json=json)


def _work(portion: Sequence[Line]) -> Judgement:
    if _judge is None:
        raise RuntimeError("the process was not started for this")
    return _judge(portion)
