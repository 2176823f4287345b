"""The whole way out, from the spool to scripted upstreams, without a door and without editing."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Self

from gatepost.consent.bases import Bases
from gatepost.flow.decide.policy import Policy
from gatepost.flow.outbound import Outbound, Tag
from gatepost.flow.spool.queue import Queue
from gatepost.flow.transmit.copy import Copy
from gatepost.flow.transmit.pool import Pool
from gatepost.flow.transmit.route import Route, Timeouts
from gatepost.mail.message import Message, scan
from gatepost.mail.stream import Kind
from gatepost.store import content
from gatepost.store.clock import steady
from gatepost.store.engine import Store
from gatepost.store.spool.rows import Claimed, Submission
from support.patience import PATIENCE_SECONDS
from support.submissions import submission
from support.upstream import Upstream

OWN = ""  # the stream of what need not be decided again
SMALL = b"From: Acme <news@acme.example>\r\nSubject: Hello\r\n\r\nHello.\r\n"


def sized(octets: int) -> bytes:
    """A message of about so many octets."""
    return SMALL + (b"y" * 70 + b"\r\n") * (octets // 72)


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A submission whose copies are what came."""

    submission: Submission
    message: Message
    cheap: bool = True

    @property
    def weight(self) -> int:
        return len(self.message.raw)

    @property
    def together(self) -> int:
        return max(1, 4_000_000 // len(self.message.raw))

    def weigh(self, rows: int) -> int:
        return len(self.message.raw) * (rows if self.submission.kind is Kind.BULK else 1)

    def copies(self, rows: Sequence[Claimed], decided_at: datetime) -> list[Copy]:
        bulk = self.submission.kind is Kind.BULK
        groups = [(row,) for row in rows] if bulk else [tuple(rows)]
        return [
            Copy(
                mail_from=self.submission.mail_from,
                recipients=tuple(row.recipient for row in group),
                content=self.message.raw,
                urgent=not bulk,
                tag=Tag(group, decided_at),
            )
            for group in groups
        ]


class Outgoing:
    """One gateway's way out; `upstreams` by name, "" for the default."""

    def __init__(
        self,
        store: Store,
        upstreams: Mapping[str, Upstream],
        *,
        holder: str = "gateway-1",
        memory: int = 100_000_000,
        **route: object,
    ) -> None:
        self.store = store
        self.queue = Queue(store, holder=holder, retry_after=lambda n: timedelta(minutes=15 * n))
        policy = Policy(streams={}, senders={}, bases=Bases.built_in())
        self.outbound = Outbound(
            queue=self.queue,
            policy=lambda: policy,
            compose=lambda given, message: Plain(submission=given, message=message),
            load=lambda number: store.read(partial(content.load, submission=number)),
            retry_for=lambda _upstream: timedelta(days=5),
            clock=store.now,
            quarantine_until=lambda now: now + timedelta(days=30),
            memory=memory,
        )
        settings = {
            "host": "127.0.0.1", "ehlo": "relay.example.org", "timeouts": Timeouts.all(PATIENCE_SECONDS),
            "pause": 0.05, "longest_pause": 0.2, "connections": 1,
        } | route  # fmt: skip
        self.pools = {
            name: self._pool(Route(name=name, port=upstream.port, **settings))
            for name, upstream in upstreams.items()
        }

    def _pool(self, route: Route) -> Pool:
        return Pool(
            route,
            may_start=self.outbound.may_start,
            done=self.outbound.done,
            on_health=lambda healthy, reply: self.outbound.on_health(
                route.name, healthy, str(reply)
            ),
        )

    async def __aenter__(self) -> Self:
        for pool in self.pools.values():
            await pool.start()
        await self.outbound.start(self.pools)
        return self

    async def __aexit__(self, *_: object) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.outbound.stop(0)

    async def put(
        self, *addresses: str, content: bytes = SMALL, kind: Kind = Kind.BULK, upstream: str = "",
        claim: bool = True, **more: object,
    ) -> None:  # fmt: skip
        """Accepts a submission as `Inbound` does: rows for which there is room are claimed."""
        room = self.outbound.room(upstream, urgent=kind is not Kind.BULK) if claim else 0
        job = submission(
            *addresses, content=content, kind=kind, upstream=upstream, stream=OWN,
            campaign=more.pop("campaign", "spring" if kind is Kind.BULK else None),
            lease=self.queue.first_lease, **more,
        )  # fmt: skip
        decide = job.decide

        def some(snapshot: object) -> list[object]:
            return [
                draft._replace(claim=place < room) if hasattr(draft, "_replace")
                else replace(draft, claim=place < room)
                for place, draft in enumerate(decide(snapshot))
            ]  # fmt: skip

        decided_at = steady()
        result = await self.queue.put(replace(job, decide=some))
        if result.claimed:
            self.outbound.offer(result.claimed, scan(content), decided_at)
        if len(result.claimed) < len(addresses):
            self.outbound.wake()


def people(name: str, count: int) -> list[str]:
    """So many addresses."""
    return [f"{name}{number}@example.org" for number in range(count)]


def order(upstream: Upstream) -> list[str]:
    """Who got a copy, in the order of arrival."""
    return [one for message in list(upstream.taken) for one in message.recipients]


async def until(holds: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Waits for what another side does; fails the test if that takes too long."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - nobody could set an event for us
            await asyncio.sleep(0.005)
