"""What is in hand: rows that are claimed and wait to be composed, and the plans for them.

In: claimed rows. Out: work for one upstream, cut so that it can be composed in one go. Plans and
messages are kept while they are likely to be used again, within a bound of bytes.

Nobody waits for somebody else's trouble: each upstream has a share of its own, and in it mail
that is not bulk has one, so that neither a long mailing nor a flood of receipts takes all there
is. What is large waits in other lanes than what is small, because it may have to wait for memory;
and within a lane mailings take turns.

*Known limits:* belongs to one event loop.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from gatepost.flow.spool.rotation import Rotation, Work
from gatepost.mail.message import Message
from gatepost.mail.stream import Kind
from gatepost.store.spool.rows import Claimed, Submission

P = TypeVar("P")

# Recipients of one upstream that are claimed and not finished, as many urgent as bulk: 2 to 3.5 KB
# each. Up to there they are claimed when little is left.
IN_HAND = 4000
# Up to there they are claimed while they are put, which costs a quarter less than a claim later.
AT_THE_DOOR = 3 * IN_HAND
AT_MOST = 4 * IN_HAND  # up to there a few are claimed from time to time
TOP_UP = 32  # so many of them at a time
LARGE = 64 * 1024  # octets of a message
BULK_AT_A_TIME = 16
TOGETHER = 100  # recipients in one transaction (RFC 5321 §4.5.3.1.8)
KEPT_BYTES = 50_000_000
KEPT_PLANS = 256
FIELD_BYTES = 400  # what a scanned field costs beside its octets, about


class Lane(NamedTuple):
    """Work that waits together: what is not bulk is urgent, what is large needs much memory."""

    urgent: bool
    large: bool


LANES = tuple(Lane(urgent, large) for urgent in (True, False) for large in (False, True))


def lane_of(submission: Submission) -> Lane:
    """Where the work of a submission waits."""
    return LANES[2 * (submission.kind is Kind.BULK) + (submission.size > LARGE)]


class _Share:
    """What is in hand for one upstream."""

    __slots__ = ("counts", "news", "waiting")

    def __init__(self) -> None:
        self.counts = [0, 0]  # of bulk, and of urgent
        self.waiting = {lane: Rotation() for lane in LANES}
        self.news = {lane: asyncio.Event() for lane in LANES}


class Hand(Generic[P]):
    """Claimed rows, in the order in which they will be sent."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self.kept_bytes_limit = kept_bytes
        self._shares: dict[str, _Share] = {}
        self._messages: OrderedDict[int, Message] = OrderedDict()
        self._plans: OrderedDict[int, tuple[P, int]] = OrderedDict()
        self._kept_bytes = 0

    def room(self, upstream: str, *, urgent: bool) -> int:
        """How many more rows may be claimed for `upstream`."""
        return max(0, IN_HAND - self._share(upstream).counts[urgent])

    def room_at_door(self, upstream: str, *, urgent: bool, arriving: int = 0) -> int:
        """How many while they are put: more than by `room`, less than `room_on_top` goes up to.

        `arriving` are recipients that are being put, of which nobody knows whether they are ours.
        """
        room = AT_THE_DOOR - self._share(upstream).counts[urgent]
        return max(0, min(room, AT_THE_DOOR + room - arriving))

    def room_on_top(self, upstream: str, *, urgent: bool) -> int:
        """How many to claim although there are enough, so that others get their turn as well."""
        return TOP_UP if self._share(upstream).counts[urgent] + TOP_UP <= AT_MOST else 0

    def is_empty(self, upstream: str) -> bool:
        """Whether nothing claimed for `upstream` is unfinished."""
        return not any(self._share(upstream).counts)

    def is_low(self, upstream: str, *, urgent: bool) -> bool:
        """Whether it is time to claim more for `upstream`."""
        return self._share(upstream).counts[urgent] <= IN_HAND // 2

    def take(self, rows: Sequence[Claimed], decided_at: datetime, message: Message | None) -> None:
        """Adds rows that were just claimed; `message` if all are of one submission at hand."""
        groups: dict[tuple[int, str], list[Claimed]] = {}
        for row in rows:
            groups.setdefault((row.submission.id, row.upstream), []).append(row)
        for (number, upstream), members in groups.items():
            if message is not None:
                self._keep_message(number, message)
            submission, share = members[0].submission, self._share(upstream)
            lane = lane_of(submission)
            size = TOGETHER if lane.urgent else BULK_AT_A_TIME
            for start in range(0, len(members), size):
                portion = members[start : start + size]
                share.waiting[lane].add(Work(submission, portion, decided_at))
            share.news[lane].set()
            share.counts[lane.urgent] += len(members)

    async def next(self, upstream: str, lane: Lane) -> Work:
        """The next work of a lane for `upstream`; waits until there is some."""
        share = self._share(upstream)
        waiting, news = share.waiting[lane], share.news[lane]
        while not waiting:
            news.clear()
            await news.wait()
        return waiting.next()

    def cut(self, work: Work, count: int) -> Work:
        """The first `count` rows of `work`; the others are the next work of its mailing again."""
        if len(work.rows) <= count:
            return work
        first, rest = work.rows[:count], work.rows[count:]
        share, lane = self._share(first[0].upstream), lane_of(work.submission)
        share.waiting[lane].put_back(Work(work.submission, rest, work.decided_at))
        share.news[lane].set()
        return Work(work.submission, first, work.decided_at)

    def release(self, rows: Sequence[Claimed]) -> None:
        """These rows of one submission and upstream have ended or were given back."""
        first = rows[0]
        urgent = first.submission.kind is not Kind.BULK
        self._share(first.upstream).counts[urgent] -= len(rows)

    def empty(self, upstream: str) -> list[Work]:
        """Everything that still waits for `upstream`, taken out."""
        works: list[Work] = []
        for line in self._share(upstream).waiting.values():
            works.extend(line)
            line.clear()
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

    def _share(self, upstream: str) -> _Share:
        share = self._shares.get(upstream)
        if share is None:
            share = self._shares[upstream] = _Share()
        return share


def _weight(message: Message) -> int:
    return len(message.raw) + FIELD_BYTES * sum(len(part.fields) for part in message.parts)
