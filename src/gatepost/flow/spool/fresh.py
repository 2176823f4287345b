"""The list of fresh withdrawals: asked right before a copy's first byte.

Consent is decided when a submission arrives and again when a copy is claimed. Between that
claim and the wire lie composing, signing and a place in a connection's queue; a withdrawal
answered in that time must still win (promise 3). Whoever records a withdrawal in this
process adds it here before answering; those of other processes are read from the store
several times a second.

In: subject, sender, stream ("" for every bulk stream of the sender), and when the copy was
decided. Out: yes or no. A copy decided after the withdrawal was known was decided in its
knowledge: whoever came back in the meantime gets mail again. So what counts is when this
process learned of a withdrawal, not when it was made: a long transaction of another process
began long before anybody could see what it wrote. Both times are of `store.clock.steady`, or a
clock that is put back would have copies decided later than who left after them.

The list is as good as the last look at the store. Who cannot look, because the store is away,
cut off or too slow, does not know who left meanwhile: within a second `is_current` is false, and
nothing begins until the next look.

Entries are not kept forever: `begins` says since when the list is whole. A copy decided before
that is decided again, however long a slow upstream let it wait.
"""

import math
from datetime import UTC, datetime, timedelta
from itertools import takewhile

# A claim and a withdrawal may be under way at once: within this span the withdrawal wins.
BENEFIT_OF_THE_DOUBT = timedelta(seconds=1)
LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)
# Promise 3 gives a second; the rest of it is for the way to the wire.
CURRENT_FOR_SECONDS = 0.9
# So long without a look, and the store was away from us, or we from it.
BLIND_AFTER_SECONDS = 30.0


class FreshWithdrawals:
    """Who withdrew so recently that claimed copies may still be on their way."""

    def __init__(self) -> None:
        self._since: dict[tuple[int, str, str], datetime] = {}
        self._heard: dict[tuple[int, str, str], int] = {}
        self._stopped_campaigns: frozenset[int] = frozenset()
        self._frozen_senders: frozenset[str] = frozenset()
        self._looked_at = math.inf  # where nobody looks, there is nobody else to hear of
        self._sees_since = -math.inf
        self.begins = LONG_AGO

    def __len__(self) -> int:
        return len(self._since)

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing that could stop any copy."""
        return not (self._since or self._stopped_campaigns or self._frozen_senders)

    def add(self, subject: int, sender: str, stream: str, at: datetime) -> None:
        """Note a withdrawal known at `at`; `sender` "" stands for all senders (erasure)."""
        key = subject, sender, stream
        self._since.pop(key, None)  # to the end: whoever was added first goes first
        self._since[key] = at

    def hear(self, subject: int, sender: str, stream: str, *, event: int, at: datetime) -> None:
        """Note what the store tells at `at`; the same event again, told later, changes nothing."""
        key = subject, sender, stream
        if event > self._heard.get(key, 0):  # those of one person are in order, whatever the time
            self._heard[key] = event
            self.add(*key, at)

    def looked(self, asked_at: float) -> None:
        """What others recorded is known as of `asked_at`, on a clock that nobody can set."""
        if asked_at - self._looked_at > BLIND_AFTER_SECONDS:
            self._sees_since = asked_at
        self._looked_at = asked_at

    def sees_for(self, now: float) -> float:
        """For how many seconds, at `now`, the store has been there for us without a long gap."""
        return 0.0 if now - self._looked_at > BLIND_AFTER_SECONDS else now - self._sees_since

    def is_current(self, now: float) -> bool:
        """Whether enough is known at `now`, on that clock, to begin anything."""
        return now - self._looked_at < CURRENT_FOR_SECONDS

    def covers(self, subject: int, sender: str, stream: str, decided_at: datetime) -> bool:
        """Whether a copy of `stream` to `subject`, decided at `decided_at`, must not start."""
        if not self._since:
            return False
        for key in ((subject, sender, stream), (subject, sender, ""), (subject, "", "")):
            since = self._since.get(key)
            if since is not None and since + BENEFIT_OF_THE_DOUBT >= decided_at:
                return True
        return False

    def set_stops(self, campaigns: frozenset[int], senders: frozenset[str]) -> None:
        """Which campaigns are stopped and which senders frozen, as the store has it."""
        self._stopped_campaigns = campaigns
        self._frozen_senders = senders

    def stops(
        self, subject: int, sender: str, stream: str, campaign: int | None, decided_at: datetime
    ) -> bool:
        """Whether a claimed copy must not start: withdrawn, campaign stopped or sender frozen.

        Only bulk mail has a campaign, and only bulk mail ends when its sender is frozen.
        """
        if campaign is not None and (
            campaign in self._stopped_campaigns or sender in self._frozen_senders
        ):
            return True
        return self.covers(subject, sender, stream, decided_at)

    def prune(self, now: datetime, keep: timedelta) -> None:
        """Drop entries older than `keep`; copies decided before that are no longer judged here."""
        before = now - keep
        self.begins = max(self.begins, before)
        # They stand in the order of adding, so that those that stay need no look.
        old = takewhile(lambda entry: entry[1] < before, self._since.items())
        for key in [key for key, _ in old]:
            del self._since[key]
            self._heard.pop(key, None)
