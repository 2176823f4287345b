"""What is in hand: rows that are claimed and wait to be composed, and the plans for them.

In: claimed rows. Out: work for one upstream, cut so that it can be composed in one go; mail
that is not bulk goes first, because somebody waits for it. Plans and messages are kept while
they are likely to be used again, within a bound of bytes.

Each upstream has a share of its own, so that one that is slow or away keeps nobody else
waiting; and mail that is not bulk has a reserve, so that it need not wait until a long
mailing has left enough room.

*Known limits:* belongs to one event loop.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from gatepost.mail.message import Message
from gatepost.mail.stream import Kind
from gatepost.store.spool.rows import Claimed, Submission

P = TypeVar("P")

IN_HAND = 4000  # recipients of one upstream, claimed and not finished
URGENT_RESERVE = 500  # for mail that is not bulk, however many of these there are
BULK_AT_A_TIME = 16
TOGETHER = 100  # recipients in one transaction (RFC 5321 §4.5.3.1.8)
KEPT_BYTES = 50_000_000
KEPT_PLANS = 256
FIELD_BYTES = 400  # what a scanned field costs beside its octets, about


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """Rows of one submission for one upstream, decided together."""

    submission: Submission
    rows: Sequence[Claimed]
    decided_at: datetime


class Hand(Generic[P]):
    """Claimed rows, in the order in which they will be sent."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self.kept_bytes_limit = kept_bytes
        self._waiting: dict[str, tuple[deque[Work], deque[Work]]] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._counts: Counter[str] = Counter()
        self._urgent_counts: Counter[str] = Counter()  # of these, mail that is not bulk
        self._messages: OrderedDict[int, Message] = OrderedDict()
        self._plans: OrderedDict[int, tuple[P, int]] = OrderedDict()
        self._kept_bytes = 0

    def room(self, upstream: str, *, urgent: bool = False) -> int:
        """How many more rows may be claimed for `upstream`."""
        room = max(0, IN_HAND - self._counts[upstream])
        if urgent:  # whatever bulk mail there is, and however it came to be so much
            room = max(room, URGENT_RESERVE - self._urgent_counts[upstream])
        return room

    def is_empty(self, upstream: str) -> bool:
        """Whether nothing claimed for `upstream` is unfinished."""
        return not self._counts[upstream]

    def is_low(self, upstream: str) -> bool:
        """Whether it is time to claim more for `upstream`."""
        return self._counts[upstream] <= IN_HAND // 2

    def take(self, rows: Sequence[Claimed], decided_at: datetime, message: Message | None) -> None:
        """Adds rows that were just claimed; `message` if all are of one submission at hand."""
        groups: dict[tuple[int, str], list[Claimed]] = {}
        for row in rows:
            groups.setdefault((row.submission.id, row.upstream), []).append(row)
        for (submission, upstream), members in groups.items():
            if message is not None:
                self._keep_message(submission, message)
            bulk = members[0].submission.kind is Kind.BULK
            size = BULK_AT_A_TIME if bulk else TOGETHER
            urgent, patient = self._lane(upstream)
            lane = patient if bulk else urgent
            for start in range(0, len(members), size):
                portion = members[start : start + size]
                lane.append(Work(portion[0].submission, portion, decided_at))
            self._news[upstream].set()
            self._counts[upstream] += len(members)
            if not bulk:
                self._urgent_counts[upstream] += len(members)

    async def next(self, upstream: str, *, urgent_only: bool = False) -> Work:
        """The next work for `upstream`; waits until there is some.

        `urgent_only` leaves bulk mail to others.
        """
        urgent, patient = self._lane(upstream)
        while True:
            if urgent:
                return urgent.popleft()
            if patient and not urgent_only:
                return patient.popleft()
            self._news[upstream].clear()
            await self._news[upstream].wait()

    def cut(self, work: Work, count: int) -> Work:
        """The first `count` rows of `work`; the others are the next work again."""
        if len(work.rows) <= count:
            return work
        first, rest = work.rows[:count], work.rows[count:]
        upstream = first[0].upstream
        urgent, patient = self._lane(upstream)
        lane = patient if work.submission.kind is Kind.BULK else urgent
        lane.appendleft(Work(work.submission, rest, work.decided_at))
        self._news[upstream].set()
        return Work(work.submission, first, work.decided_at)

    def release(self, rows: Iterable[Claimed]) -> None:
        """These rows have ended or were given back."""
        for row in rows:
            self._counts[row.upstream] -= 1
            if row.submission.kind is not Kind.BULK:
                self._urgent_counts[row.upstream] -= 1

    def empty(self, upstream: str) -> list[Work]:
        """Everything that still waits for `upstream`, taken out."""
        works: list[Work] = []
        for lane in self._lane(upstream):
            works.extend(lane)
            lane.clear()
        return works

    def message_of(self, submission: int) -> Message | None:
        """The message, if it is at hand; it is handed over, not kept beside its plan."""
        message = self._messages.pop(submission, None)
        if message is not None:
            self._kept_bytes -= _weight(message)
        return message

    def plan_of(self, submission: int) -> P | None:
        """The plan, if it is at hand."""
        kept = self._plans.get(submission)
        if kept is None:
            return None
        self._plans.move_to_end(submission)
        return kept[0]

    def keep_plan(self, submission: int, plan: P, size: int) -> None:
        """Keeps a plan of `size` bytes for further rows."""
        if submission in self._plans:
            return
        self._plans[submission] = plan, size
        self._kept_bytes += size
        self._trim()

    def forget_plans(self) -> None:
        """After a change of configuration: copies from now on follow the new one."""
        self._kept_bytes -= sum(size for _, size in self._plans.values())
        self._plans.clear()

    def _keep_message(self, submission: int, message: Message) -> None:
        if submission not in self._messages and submission not in self._plans:
            self._messages[submission] = message
            self._kept_bytes += _weight(message)
            self._trim()

    def _trim(self) -> None:
        while len(self._plans) > 1 and (
            self._kept_bytes > self.kept_bytes_limit or len(self._plans) > KEPT_PLANS
        ):
            _, (_, size) = self._plans.popitem(last=False)
            self._kept_bytes -= size
        while len(self._messages) > 1 and self._kept_bytes > self.kept_bytes_limit:
            _, message = self._messages.popitem(last=False)
            self._kept_bytes -= _weight(message)

    def _lane(self, upstream: str) -> tuple[deque[Work], deque[Work]]:
        if upstream not in self._waiting:
            self._waiting[upstream] = deque(), deque()
            self._news[upstream] = asyncio.Event()
        return self._waiting[upstream]


def _weight(message: Message) -> int:
    return len(message.raw) + FIELD_BYTES * sum(len(part.fields) for part in message.parts)
