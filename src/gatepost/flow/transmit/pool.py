"""All connections to one upstream, fed from one queue, in which urgent copies go first.

In: copies (`put`), as many as there is room for. Out: `done`, exactly once for each copy, with
one outcome per recipient, whatever happens; called on the event loop, so it must be quick.
Urgent copies have as much room as the others, and of their own: where upstream is slow, or
its rate is limited, they wait for those on the wire only. But one in `URGENT_IN_A_ROW` + 1 is for
the others, or a flood of urgent mail would keep a mailing waiting for as long as it lasts.

Connections are opened when copies wait and none is idle, up to the route's number, and
closed when idle. The first is opened alone; the others follow once upstream has let us in.
An upstream that lets no more connections in, or sends one away with 421 or 452, is asked
again later, for one more at a time, while those that stand carry the mail.

While the owner lets nothing begin (`may_begin`), copies wait here, and what has begun goes on.

The circuit opens when the only connection cannot be made, or when three in a row ended in
trouble: nothing was carried, or upstream said that it is not well itself. Then every waiting
copy comes back as unsent, `healthy` is false, there is no room, and upstream is probed after
`pause`, then twice that, up to `longest_pause`, over one connection. Where only connecting
had failed, being let in closes the circuit. Otherwise it is on trial: `on_trial` asks for one
copy, and only a transaction carried to a regular end closes the circuit. The pause starts
over when mail has flowed, and connections then double in number with each that carries
mail. `on_health` is told when the circuit opens and closes, and not of the trials between.

*Fails:* `start` raises `OSError` if the route's certificates cannot be read. A callback
that raises is reported to the event loop's exception handler; the copy counts as done.
*Known limits:* a changed configuration means a new pool. Rate and circuit are those of this
process alone; with several, each probes on its own.
"""

import asyncio
import contextlib
import random
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, auto

from gatepost.flow.transmit import trouble
from gatepost.flow.transmit.bucket import Bucket
from gatepost.flow.transmit.client import NoConnectionError, connect
from gatepost.flow.transmit.copy import Copy
from gatepost.flow.transmit.route import Route
from gatepost.flow.transmit.session import WINDOW, Session
from gatepost.mail.outcome import Outcome, Scope
from gatepost.mail.reply import Reply

URGENT_IN_A_ROW = 3  # copies, while others wait
BARREN_LIMIT = 3
LOOK_SECONDS = 0.05  # between questions whether copies may begin again
_CANCEL_SECONDS = 0.1  # until a cancellation counts as lost
CONNECTED = Reply(220, "", "connected")


class Circuit(Enum):
    """Whether mail goes to upstream."""

    CLOSED = auto()  # it flows, or nothing speaks against it
    OPEN = auto()  # upstream is away, and probed
    TRIAL = auto()  # it let us in again, and has yet to take a copy


class Pool:
    """The way to one upstream; use it from one event loop."""

    def __init__(
        self,
        route: Route,
        *,
        may_start: Callable[[Copy], bool],
        done: Callable[[Copy, Sequence[Outcome]], None],
        on_health: Callable[[bool, Reply], None] | None = None,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        self.route = route
        self._may_start = may_start
        self._done = done
        self._on_health = on_health
        self._may_begin = may_begin
        self._capacity = 64 + WINDOW * route.connections
        self._bucket = Bucket(*route.rate) if route.rate else None
        self._context: ssl.SSLContext | None = None
        self._queue: deque[Copy] = deque()
        self._urgent: deque[Copy] = deque()  # goes before that
        self._held = 0
        self._held_urgent = 0  # of these
        self._in_a_row = 0  # urgent ones that began while others waited
        self._sessions: set[Session] = set()
        self._connecting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._takes_eight_bit: bool | None = None
        self._circuit = Circuit.CLOSED
        self._reason = CONNECTED  # why it is not closed
        self._limit = 1  # connections wanted at present
        self._crowded = False  # upstream has refused one while others stood
        self._recovering = False  # the circuit was open, and not all connections are back
        self._barren = 0  # connections in a row that ended in trouble
        self._pause = route.pause
        self._retry: asyncio.TimerHandle | None = None
        self._pumping: asyncio.Handle | None = None
        self._token: asyncio.TimerHandle | None = None
        self._stopping = False
        self._changed = asyncio.Event()

    # What the conductor uses

    async def start(self) -> None:
        """Reads the certificates. Connections are opened when there is something to send."""
        self._loop = asyncio.get_running_loop()
        self._context = await asyncio.to_thread(self.route.tls_context)

    @property
    def healthy(self) -> bool:
        """Whether upstream is believed to take mail."""
        return self._circuit is Circuit.CLOSED

    @property
    def on_trial(self) -> bool:
        """Whether one copy is wanted, to see if upstream takes mail again."""
        on_trial = self._circuit is Circuit.TRIAL and not self._held and not self._stopping
        return on_trial and any(one.is_idle for one in self._sessions)

    @property
    def takes_eight_bit(self) -> bool | None:
        """Whether upstream offers 8BITMIME on every connection; `None` before the first.

        Without any it is what the last ones offered. Any thread may ask.
        """
        return self._takes_eight_bit

    @property
    def in_hand(self) -> int:
        """Copies that were put and are not done."""
        return self._held

    def room(self, *, urgent: bool = False) -> int:
        """How many copies to put now; 0 while upstream is away or the pool stops."""
        if self.on_trial:
            return 1
        if not self.healthy or self._stopping:
            return 0
        held = self._held_urgent if urgent else self._held - self._held_urgent
        return max(0, self._capacity - held)

    def put(self, copy: Copy) -> None:
        """Queues a copy. Never refuses; without room the copy may come back at once."""
        self._held += 1
        if copy.urgent:
            self._held_urgent += 1
            self._urgent.append(copy)
        else:
            self._queue.append(copy)
        self._pump_soon()

    async def wait_for_room(self, *, urgent: bool = False) -> None:
        """Returns when there is room for a worthwhile number of copies, or the pool stops.

        On trial one copy is worthwhile.
        """
        while not (self._is_roomy(urgent=urgent) or self.on_trial or self._stopping):
            self._changed.clear()
            await self._changed.wait()

    async def drain(self, seconds: float) -> None:
        """Stops: gives back what waits, and lets what is on the wire finish.

        After `seconds` the rest is ended. Every copy is done when this returns.
        """
        self._stopping = True
        for handle in (self._retry, self._token, self._pumping):
            if handle is not None:
                handle.cancel()
        self._pumping = None
        self._give_back(trouble.STOPPING, Scope.CONNECTION)
        await self._stop_connecting()
        for session in [one for one in self._sessions if one.is_idle]:
            session.quit()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._sessions:
                    self._changed.clear()
                    await self._changed.wait()
        for session in list(self._sessions):
            session.abort(trouble.STOPPING)
        self._changed.set()

    async def stop(self) -> None:
        """Stops at once, as `drain(0)`."""
        await self.drain(0)

    # What sessions ask (session.Desk)

    def take(self) -> Copy | None:
        """The next copy that may start now, within the rate."""
        while queue := self._next_queue():
            if not self._may_begin():
                self._pump_after(LOOK_SECONDS)
                return None
            if self._bucket is not None and (wait := self._bucket.wait(self._loop.time())) > 0:
                self._pump_after(wait)
                return None
            copy = queue.popleft()
            self._in_a_row = self._in_a_row + 1 if copy.urgent and self._queue else 0
            if self.may_go_on(copy):
                if self._bucket is not None:
                    self._bucket.take(self._loop.time())
                return copy
            self._finish_all(copy, trouble.withheld(trouble.NOT_STARTED, Scope.MESSAGE))
        return None

    def may_have_content(self, copy: Copy) -> bool:
        """Asks once more: upstream took its time."""
        return self._may_begin() and self.may_go_on(copy)

    def may_go_on(self, copy: Copy) -> bool:
        """Asks the owner; trouble of the owner's means no."""
        try:
            return self._may_start(copy)
        except Exception as error:  # noqa: BLE001 - the wire must go on, and says so below
            self._report("may_start", error)
            return False

    def finished(self, copy: Copy, outcomes: Sequence[Outcome]) -> None:
        """Hands the outcomes on."""
        self._held -= 1
        self._held_urgent -= copy.urgent
        try:
            self._done(copy, outcomes)
        except Exception as error:  # noqa: BLE001 - as above
            self._report("done", error)
        if not self._changed.is_set() and self._is_roomy(urgent=copy.urgent):
            self._changed.set()

    def proved(self) -> None:
        """Mail flows."""
        self._barren = 0
        self._pause = self.route.pause
        self._widen()
        if self._circuit is Circuit.TRIAL:
            self._close()
        self._pump_soon()

    def rests(self, session: Session) -> None:
        """A session has nothing to do."""
        if self._stopping:
            session.quit()

    def ended(self, session: Session, reply: Reply | None) -> None:
        """A connection is gone."""
        self._sessions.discard(session)
        self._learn()
        self._crowded = self._crowded and bool(self._sessions)
        self._changed.set()
        if self._stopping:
            return
        if self._retry is not None and not self._sessions and self.healthy:
            self._retry.cancel()  # it was for one more, and now there is none
            self._retry = None
            self._pause = self.route.pause
        if self._circuit is Circuit.TRIAL:
            self._judge(session, reply)
        elif reply is None or (session.used and session.strain is None):
            self._pump_soon()
        elif any(other.used for other in self._sessions):
            self._crowd()
        else:
            self._despair(session, reply)

    # Feeding

    @property
    def _waiting(self) -> int:
        return len(self._urgent) + len(self._queue)

    def _next_queue(self) -> deque[Copy]:
        others_turn = self._in_a_row >= URGENT_IN_A_ROW and self._queue
        return self._queue if others_turn else self._urgent or self._queue

    def _is_roomy(self, *, urgent: bool) -> bool:
        return self.room(urgent=urgent) >= self._capacity // 4

    def _pump_soon(self) -> None:
        if self._pumping is None:
            self._pumping = self._loop.call_soon(self._pump)

    def _pump_after(self, seconds: float) -> None:
        if self._token is None and not self._stopping:
            self._token = self._loop.call_later(seconds, self._on_token)

    def _on_token(self) -> None:
        self._token = None
        self._pump()

    def _pump(self) -> None:
        """Spreads what waits over idle connections, and opens more if that does not do."""
        self._pumping = None
        if self._stopping:
            self._give_back(trouble.STOPPING, Scope.CONNECTION)
        elif self._circuit is Circuit.OPEN:
            self._give_back(self._reason, Scope.UPSTREAM)
        else:
            self._feed([session for session in self._sessions if session.is_idle])
            if self._waiting and self._token is None and self._retry is None:
                self._open_more()

    def _feed(self, idle: list[Session]) -> None:
        for place, session in enumerate(idle):
            if not self._waiting or self._token is not None:
                return
            session.feed(-(-self._waiting // (len(idle) - place)))

    def _open_more(self) -> None:
        missing = self._limit - len(self._sessions) - self._connecting
        for _ in range(min(self._waiting, missing)):
            self._open()

    def _give_back(self, reply: Reply, scope: Scope) -> None:
        waiting = *self._urgent, *self._queue
        self._urgent.clear()
        self._queue.clear()
        for copy in waiting:
            self._finish_all(copy, trouble.withheld(reply, scope))

    def _finish_all(self, copy: Copy, outcome: Outcome) -> None:
        self.finished(copy, [outcome] * len(copy.recipients))

    # Connecting, and the circuit

    def _open(self) -> None:
        self._connecting += 1
        task = self._loop.create_task(self._connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop_connecting(self) -> None:
        """Ends what opens connections.

        Before Python 3.12 `asyncio.wait_for`, which aiosmtplib uses, loses a cancellation that
        comes when it has just got what it waited for, and waits for the greeting next.
        """
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=_CANCEL_SECONDS)

    async def _connect(self) -> None:
        try:
            client, offer = await connect(self.route, self._context)
        except NoConnectionError as failure:
            self._connecting -= 1
            self._refused(failure.reply)
            return
        self._connecting -= 1
        route = self.route
        self._sessions.add(Session(client, offer, route.timeouts, route.idle, self))
        self._learn()
        if self._barren == 0:
            self._widen()
        if self._circuit is Circuit.OPEN:
            if self._barren:
                self._circuit = Circuit.TRIAL
                self._changed.set()
            else:
                self._close()
        self._pump()

    def _learn(self) -> None:
        if self._sessions:
            self._takes_eight_bit = all(one.offer.eight_bit for one in self._sessions)

    def _widen(self) -> None:
        """Wants more connections: all that are configured.

        Only one more than stand where upstream has sent one away; after trouble twice as many as
        have carried mail.
        """
        most = self.route.connections
        if self._crowded:
            self._limit = min(most, len(self._sessions) + 1)
        elif self._recovering:
            self._limit = min(most, max(1, 2 * sum(one.used for one in self._sessions)))
            self._recovering = self._limit < most
        else:
            self._limit = most

    def _crowd(self) -> None:
        """Upstream wants fewer connections: those that stand carry on."""
        self._crowded = True
        self._widen()
        self._retry_later()

    def _refused(self, reply: Reply) -> None:
        if self._stopping:
            return
        if self._sessions:
            self._crowd()
        else:
            self._trip(reply)

    def _trip(self, reply: Reply) -> None:
        was_closed = self.healthy
        self._circuit = Circuit.OPEN
        self._reason = reply
        self._limit = 1
        self._recovering = True
        if was_closed:
            self._tell(reply)
        self._give_back(reply, Scope.UPSTREAM)
        self._retry_later()

    def _despair(self, session: Session, reply: Reply) -> None:
        """A connection ended in trouble, and no other has carried anything so far."""
        self._barren += 1
        if self._sessions:
            self._crowd()  # the others may yet
            return
        self._limit = 1
        if self._barren >= BARREN_LIMIT:
            self._trip(reply)
        elif session.strain is not None:
            self._retry_later()
        else:
            self._pump_soon()

    def _judge(self, session: Session, reply: Reply | None) -> None:
        """The end of a connection on trial: well if there was nothing to send for a while."""
        if reply is None and session.is_leaving:
            self._barren = 0
            self._close()
        else:
            self._barren += 1
            self._trip(reply or self._reason)

    def _close(self) -> None:
        self._circuit = Circuit.CLOSED
        self._changed.set()
        self._tell(CONNECTED)

    def _retry_later(self) -> None:
        if self._retry is None:
            spread = random.uniform(0.9, 1.1)  # noqa: S311 - not a secret
            self._retry = self._loop.call_later(self._pause * spread, self._on_retry)
            self._pause = min(self._pause * 2, self.route.longest_pause)

    def _on_retry(self) -> None:
        self._retry = None
        if self._circuit is not Circuit.OPEN:
            self._pump()
        elif not self._connecting:
            self._open()

    def _tell(self, reply: Reply) -> None:
        if self._on_health is None:
            return
        try:
            self._on_health(self.healthy, reply)
        except Exception as error:  # noqa: BLE001 - as above
            self._report("on_health", error)

    def _report(self, callback: str, error: Exception) -> None:
        self._loop.call_exception_handler(
            {
                "message": f"upstream {self.route.name}: {callback} failed",
                "exception": error,
            }
        )
