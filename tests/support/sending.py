"""A pool towards a scripted upstream, with what came of each copy written down."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from gatepost.flow.transmit.copy import Copy
from gatepost.flow.transmit.pool import Pool
from gatepost.flow.transmit.route import Route, Timeouts
from gatepost.mail.address import parse
from gatepost.mail.envelope import Recipient
from gatepost.mail.outcome import Outcome, Result
from gatepost.mail.reply import Reply
from support.patience import PATIENCE_SECONDS
from support.upstream import Upstream

CONTENT = b"From: s@acme.example\r\nSubject: hello\r\n\r\nHello.\r\n"


def make_copy(
    *addresses: str, content: bytes = CONTENT, mail_from="s@acme.example", **more
) -> Copy:
    recipients = tuple(Recipient(parse(one)) for one in addresses or ("a@one.example",))
    return Copy(mail_from, recipients, content, **more)


async def until(condition: Callable[[], object]) -> None:
    """Waits for what another side does; fails the test if that takes too long."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - nobody could set an event for us
            await asyncio.sleep(0.005)


class Sending:
    """A pool to `port` (an `Upstream` or a number). `done` maps each copy to its outcomes."""

    def __init__(self, upstream: Upstream | int, **route) -> None:
        port = upstream if isinstance(upstream, int) else upstream.port
        settings = {
            "name": "default", "host": "127.0.0.1", "port": port, "ehlo": "relay.example.org",
            "timeouts": Timeouts.all(PATIENCE_SECONDS), "pause": 0.02, "longest_pause": 0.1, "connections": 1,
        }  # fmt: skip
        self.done: dict[Copy, Sequence[Outcome]] = {}
        self.health: list[tuple[bool, Reply]] = []
        self.asked: list[Copy] = []
        self.may_start = lambda copy: True
        self.may_begin = lambda: True
        self._finished = asyncio.Event()
        self.pool = Pool(
            Route(**(settings | route)),
            may_start=self._ask,
            may_begin=lambda: self.may_begin(),
            done=self._note,
            on_health=lambda healthy, reply: self.health.append((healthy, reply)),
        )

    async def __aenter__(self) -> Self:
        await self.pool.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.stop()
        assert self.pool.in_hand == 0

    def _ask(self, copy: Copy) -> bool:
        self.asked.append(copy)
        return self.may_start(copy)

    def _note(self, copy: Copy, outcomes: Sequence[Outcome]) -> None:
        assert copy not in self.done, "done twice"
        assert len(outcomes) == len(copy.recipients)
        self.done[copy] = outcomes
        self._finished.set()

    async def send(self, *copies: Copy) -> list[Sequence[Outcome]]:
        """Puts the copies and waits until all are done; their outcomes in the same order."""
        for copy in copies:
            self.pool.put(copy)
        return await self.wait(*copies)

    async def wait(self, *copies: Copy) -> list[Sequence[Outcome]]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while any(copy not in self.done for copy in copies):
                self._finished.clear()
                await self._finished.wait()
        return [self.done[copy] for copy in copies]

    def results(self) -> list[Result]:
        """The results of all recipients, in the order in which copies were done."""
        return [outcome.result for outcomes in self.done.values() for outcome in outcomes]
