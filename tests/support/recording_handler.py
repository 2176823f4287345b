"""What stands behind a listener in tests: it keeps what it is given and says what it is told."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gatepost.mail.envelope import Arrival, Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.mail.verdict import Disposition, Reason, Verdict

TAKEN = Reply(250, "2.0.0", "taken")


@dataclass
class RecordingHandler:
    """Takes everything, except what its settings refuse."""

    verdicts: dict[str, Reason] = field(default_factory=dict)  # address key → refused for
    quarantined: set[str] = field(default_factory=set)
    ask_later: bool = False  # answer `check_recipient` with a coroutine
    gate: asyncio.Event | None = None  # `take` waits for it
    reply: Reply = TAKEN
    failure: Callable[[], Exception] | None = None
    taken: list[tuple[Arrival, Envelope, bytes]] = field(default_factory=list)
    ended: list[tuple[Arrival, Envelope]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    waiting: int = 0  # how many are in front of the gate

    def check_recipient(
        self, arrival: Arrival, mail_from: str, recipient: Recipient
    ) -> Verdict | Awaitable[Verdict | None] | None:
        key = recipient.address.key
        self.asked.append(key)
        if key.startswith("broken@"):
            raise KeyError("secret detail")
        verdict = None
        if key in self.verdicts:
            verdict = Verdict(Disposition.REJECT, self.verdicts[key], "test")
        elif key in self.quarantined:
            verdict = Verdict(Disposition.QUARANTINE, Reason.NO_CONSENT, "test")
        return self._later(verdict) if self.ask_later else verdict

    async def take(self, arrival: Arrival, envelope: Envelope, content: bytes) -> Reply:
        if self.gate:
            self.waiting += 1
            await self.gate.wait()
            self.waiting -= 1
        if self.failure:
            raise self.failure()
        self.taken.append((arrival, envelope, content))
        return self.reply

    def abandoned(self, arrival: Arrival, envelope: Envelope) -> None:
        self.ended.append((arrival, envelope))

    async def _later(self, verdict: Verdict | None) -> Verdict | None:
        await asyncio.sleep(0)
        return verdict

    # What tests look at

    @property
    def contents(self) -> list[bytes]:
        return [content for _, _, content in self.taken]

    @property
    def envelope(self) -> Envelope:
        return self.taken[-1][1]

    @property
    def arrival(self) -> Arrival:
        return self.taken[-1][0]

    @property
    def recipients(self) -> list[str]:
        return [recipient.address.given for recipient in self.envelope.recipients]
