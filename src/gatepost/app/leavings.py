"""Log lines about who left: one for all who left together.

In: each withdrawal as it is answered, on the event loop. Out: at the loop's next turn one line
per sender, stream and way, with up to 100 subjects in it; whoever left alone has a line of
their own. A mailing brings withdrawals by the thousand, they are committed in groups, and a line
costs more than the rest of an answer.

*Known limits:* what ends the process within that turn takes the line with it; the ledger has
the withdrawal.
"""

import asyncio

from gatepost import maillog
from gatepost.store.ids import to_text

_PER_LINE = 100


class Leavings:
    """The withdrawals since the loop's last turn."""

    def __init__(self) -> None:
        self._left: dict[tuple[str, str, str], list[int]] = {}

    def add(self, subject: int, sender: str, stream: str, how: str) -> None:
        """Notes one; `stream` is "" for everything of the sender."""
        if not self._left:
            asyncio.get_running_loop().call_soon(self._write)
        self._left.setdefault((sender, stream, how), []).append(subject)

    def _write(self) -> None:
        left, self._left = self._left, {}
        for (sender, stream, how), subjects in left.items():
            for start in range(0, len(subjects), _PER_LINE):
                some = [to_text(subject) for subject in subjects[start : start + _PER_LINE]]
                maillog.withdrawn(some, sender, stream, how)
