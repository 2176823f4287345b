"""A line in which mailings take turns: a small one need not wait for the end of a large one.

In: work, each portion some rows of one submission. Out: the portions, up to `TURN` recipients of
one mailing at a time; the work of one mailing stays in its order. A mailing is what one client
sends of one stream and campaign, in one submission or in thousands.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from gatepost.store.spool.rows import Claimed, Submission

TURN = 16  # recipients

Mailing = tuple[str, str, int | None]


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """Rows of one submission for one upstream, decided together."""

    submission: Submission
    rows: Sequence[Claimed]
    decided_at: datetime


class Rotation:
    """Work of any number of mailings; false when there is none."""

    def __init__(self) -> None:
        self._lines: OrderedDict[Mailing, deque[Work]] = OrderedDict()  # whose turn it is first
        self._handed_out = 0  # recipients, in this turn

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[Work]:
        for line in self._lines.values():
            yield from line

    def add(self, work: Work) -> None:
        """Puts work behind what waits of its mailing; a new mailing comes last."""
        key = _mailing(work)
        line = self._lines.get(key)
        if line is None:
            self._lines[key] = deque((work,))
        else:
            line.append(work)

    def put_back(self, work: Work) -> None:
        """Puts work before what waits of its mailing."""
        self._lines.setdefault(_mailing(work), deque()).appendleft(work)

    def next(self) -> Work:
        """Takes out the next work. Raises `StopIteration` when there is none."""
        key = next(iter(self._lines))
        line = self._lines[key]
        work = line.popleft()
        self._handed_out += len(work.rows)
        if not line:
            del self._lines[key]
            self._handed_out = 0
        elif self._handed_out >= TURN:
            self._lines.move_to_end(key)
            self._handed_out = 0
        return work

    def clear(self) -> None:
        """Takes out everything."""
        self._lines.clear()
        self._handed_out = 0


def _mailing(work: Work) -> Mailing:
    submission = work.submission
    return submission.client, submission.stream, submission.campaign
