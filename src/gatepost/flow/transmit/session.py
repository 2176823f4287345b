"""Our side of one established connection: a pipelining SMTP client as an asyncio protocol.

In: copies, pulled from the desk (the pool) whenever there is something to write them with.
Out: bytes on the wire, and for each copy its outcomes, to the desk.

How it runs. aiosmtplib made the connection; its transport now reports to us. `_flight` holds
the transactions that were begun and are not over, in the order of their commands; a reply
always belongs to the first of them. Everything that becomes possible by one read goes out in
one write: the content of one copy with MAIL, RCPT and DATA of the next (RFC 2920), or with
CHUNKING several whole copies. Large content is poured in slices, as the transport has room.
A timer watches the oldest unanswered command.

Whether a copy may start is asked by the desk right before its MAIL is written, once more before
its content, and whenever large content goes on after a pause: whoever slept meanwhile may have
lost the copy to another gateway. An accepted DATA cannot be taken back, so then the connection is
dropped.

A connection on which upstream says that it is in trouble itself (`Transaction.strain`) begins
nothing more and takes its leave; the pool learns why.

*Fails:* towards the desk only: when the connection ends, each transaction in flight is
finished with what it had become by then.
*Known limits:* with BDAT every reply is 250, so a surplus reply of a broken upstream is
noticed only when the pipeline runs empty.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import aiosmtplib

from gatepost.flow.transmit import commands, trouble
from gatepost.flow.transmit.commands import Offer
from gatepost.flow.transmit.copy import Copy
from gatepost.flow.transmit.replies import GarbledError, ReplyReader, turn
from gatepost.flow.transmit.route import Timeouts
from gatepost.flow.transmit.transaction import Mode, Transaction, Want
from gatepost.flow.transmit.trouble import Stage
from gatepost.mail.outcome import Outcome, Scope
from gatepost.mail.reply import Reply

WINDOW = 4  # transactions in flight; what a lost connection can leave in doubt
CHUNK_LIMIT = 131_072  # larger content goes with DATA, in slices
AHEAD_LIMIT = 262_144  # octets in flight, above which no further copy is begun
JOINED_LIMIT = 32_768  # octets in flight; beyond, copying them costs more than a longer list
QUIT_PATIENCE = 2.0


class Desk(Protocol):
    """What a session asks of the pool."""

    def take(self) -> Copy | None:
        """The next copy that may start now."""

    def may_have_content(self, copy: Copy) -> bool:
        """Whether the content of a copy whose MAIL was sent may begin."""

    def may_go_on(self, copy: Copy) -> bool:
        """Whether a copy whose content has begun may still be sent."""

    def finished(self, copy: Copy, outcomes: Sequence[Outcome]) -> None:
        """The end of a copy."""

    def proved(self) -> None:
        """The connection has carried its first transaction to a regular end."""

    def rests(self, session: "Session") -> None:
        """Nothing is in flight."""

    def ended(self, session: "Session", reply: Reply | None) -> None:
        """The connection is gone; `None` if nobody is to blame."""


class Session(asyncio.Protocol):
    """One connection, with what upstream offers on it.

    `used`: it has carried a transaction to a regular end. `strain`: why it takes its leave.
    """

    def __init__(
        self, client: aiosmtplib.SMTP, offer: Offer, timeouts: Timeouts, idle: float, desk: Desk
    ) -> None:
        self.used = False
        self.strain: Reply | None = None
        self.offer = offer
        self._client = client
        self._desk = desk
        self._limits = _limits(timeouts)
        self._shortest = min(self._limits.values())
        self._idle_limit = idle
        self._flight: deque[Transaction] = deque()
        self._ahead = 0
        self._reader = ReplyReader()
        self._pouring: Iterator[bytes] | None = None
        self._paused = False
        self._needs_reset = False
        self._quitting = False
        self._ended = False
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._transport = cast("asyncio.Transport", client.transport)
        self._transport.set_protocol(self)
        self._watch()

    @property
    def is_idle(self) -> bool:
        """Whether a copy could start at once."""
        return not (self._flight or self._ended or self._quitting)

    @property
    def is_leaving(self) -> bool:
        """Whether it says goodbye, of our own will."""
        return self._quitting

    def feed(self, share: int) -> None:
        """Begins with up to `share` copies from the desk."""
        if not self._ended:
            self._advance(min(share, WINDOW))

    def quit(self) -> None:
        """Says goodbye and closes; only for an idle session."""
        self._quitting = True
        self._since = self._loop.time()
        self._transport.write(b"QUIT\r\n")
        self._watch()

    def abort(self, reply: Reply) -> None:
        """Ends the connection by our own will; only copies that are out lose an attempt."""
        self._end(reply, own_will=True)

    # What the transport tells us

    def data_received(self, data: bytes) -> None:
        """Matches replies to commands, then writes all that has become possible."""
        if self._ended:
            return
        text = turn(data) if self._is_in_step() else None
        if text is not None:
            self._take_turn(text)
            return
        try:
            replies = self._reader.feed(data)
            for code, text in replies:
                self._take(code, text)
                if self._ended:
                    return
        except GarbledError:
            self._end(trouble.GARBLED, in_step=False)
            return
        if replies:
            self._since = self._loop.time()
            self._advance(WINDOW)

    def _is_in_step(self) -> bool:
        """Whether one copy waits for its end, and the next for its three replies."""
        flight = self._flight
        return (
            len(flight) == 2
            and flight[0].awaits_end
            and flight[1].is_simple
            and self._reader.is_empty
        )

    def _take_turn(self, text: bytes) -> None:
        """What `_take` would do with the four replies of a turn, at half the price."""
        first, second = self._flight
        first.take_delivery(text)
        self._finish(first)
        second.take_opening()
        self._since = self._loop.time()
        self._advance(WINDOW)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Upstream, or the network, ended the connection."""
        self._end(trouble.LOST)

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """The transport has room again."""
        self._paused = False
        if self._pouring is None or self._ended:
            return
        if not self._desk.may_go_on(self._flight[-1].copy):  # another gateway has it by now
            self._withhold(self._flight[-1])
            self._end(trouble.NOT_STARTED, own_will=True)
            return
        self._since = self._loop.time()
        self._pour()
        self._advance(WINDOW)

    # Replies

    def _take(self, code: int, text: bytes) -> None:
        if not self._flight:
            self._end(None if self._quitting or code == 421 else trouble.GARBLED)
            return
        transaction = self._flight[0]
        if code == 421:
            self._dismissed(transaction, text)
            return
        early = self._pouring is not None
        if early and code < 400:
            raise GarbledError("an answer to content that is not complete")
        transaction.take(code, text, used=self.used)
        if transaction.wants is Want.NOTHING:
            self._finish(transaction)
        if early:
            self._end(trouble.LOST)

    def _finish(self, transaction: Transaction) -> None:
        self._flight.popleft()
        self._ahead -= len(transaction.wire.content)
        self._needs_reset = transaction.leaves_open
        if transaction.strain is not None:
            self.strain = transaction.strain
            self._quitting = True
        elif not self.used:
            self.used = True
            self._desk.proved()
        self._desk.finished(transaction.copy, transaction.outcomes(_UNDECIDED))

    def _dismissed(self, transaction: Transaction, text: bytes) -> None:
        """421: upstream closes; whatever follows in flight it has not looked at (RQ-6)."""
        reply = trouble.read(421, text.decode("utf-8", "replace"))
        rest = trouble.outcome(transaction.stage, reply, used=self.used)
        self._flight.popleft()
        later, self._flight = self._flight, deque()
        self._desk.finished(transaction.copy, transaction.outcomes(rest))
        for one in later:
            self._desk.finished(one.copy, one.outcomes(trouble.interrupted(reply, begun=False)))
        self._end(reply, blame=True)

    # Writing

    def _advance(self, share: int) -> None:
        """Writes whatever can be written now, in one piece."""
        out: list[bytes] = []
        if self._flight:
            self._go_on(self._flight[-1], out)
        while share and self._may_begin():
            copy = self._desk.take()
            if copy is None:
                break
            share -= 1
            self._begin(copy, out)
        if self._ended:
            return
        if out:
            self._write(out)
        if self._pouring is not None and not self._paused:
            self._pour()
        if not self._flight:
            if self.strain is not None:
                self.quit()
            elif not self._quitting:
                self._desk.rests(self)
        self._watch()

    def _write(self, out: list[bytes]) -> None:
        if self._ahead > JOINED_LIMIT:
            self._transport.writelines(out)
        else:
            self._transport.write(b"".join(out))

    def _may_begin(self) -> bool:
        if self._ended or self._quitting:
            return False
        if not self._flight:
            return True
        return (
            self.offer.pipelining
            and self._flight[-1].content_sent
            and len(self._flight) < WINDOW
            and self._ahead < AHEAD_LIMIT
            and not self._paused
        )

    def _begin(self, copy: Copy, out: list[bytes]) -> None:
        wire = commands.compose(copy, self.offer)
        if isinstance(wire, Reply):
            again = wire is trouble.NO_EIGHT_BIT and copy.convertible
            end = trouble.withheld(wire, Scope.MESSAGE) if again else trouble.failed(wire)
            self._desk.finished(copy, [end] * len(copy.recipients))
            return
        mode = self._mode(len(wire.content))
        # An unanswered BDAT may yet fail and leave its transaction open (RFC 3030 §2).
        reset = self._needs_reset or bool(self._flight and self._flight[-1].mode is Mode.CHUNKED)
        self._needs_reset = False
        if not self._flight:
            self._since = self._loop.time()
        transaction = Transaction(copy, wire, mode, reset=reset)
        self._flight.append(transaction)
        self._ahead += len(wire.content)
        if mode is Mode.SERIAL:
            out.append(transaction.command())
        else:
            transaction.write_all(out)

    def _mode(self, size: int) -> Mode:
        if not self.offer.pipelining:
            return Mode.SERIAL
        if self.offer.chunking and size <= CHUNK_LIMIT:
            return Mode.CHUNKED
        return Mode.PIPELINED

    def _go_on(self, transaction: Transaction, out: list[bytes]) -> None:
        match transaction.wants:
            case Want.CONTENT:
                if not self._desk.may_have_content(transaction.copy):
                    self._withhold(transaction)
                    self._end(trouble.NOT_STARTED, own_will=True)
                elif len(transaction.wire.content) <= commands.SLICE:
                    out += commands.ended(transaction.wire)
                    self._content_is_out(transaction)
                else:
                    self._pouring = commands.stuff_in_slices(transaction.wire.content)
                    transaction.wants = Want.REPLY
            case Want.LONE_DOT:
                out.append(b".\r\n")
                self._content_is_out(transaction)
            case Want.COMMAND:
                late = transaction.stage is Stage.DATA
                if late and not self._desk.may_have_content(transaction.copy):
                    self._needs_reset = True
                    self._withhold(transaction)
                else:
                    out.append(transaction.command())

    def _withhold(self, transaction: Transaction) -> None:
        self._flight.remove(transaction)
        self._ahead -= len(transaction.wire.content)
        rest = trouble.withheld(trouble.NOT_STARTED, Scope.MESSAGE)
        self._desk.finished(transaction.copy, transaction.outcomes(rest))

    def _pour(self) -> None:
        while self._pouring is not None and not self._paused and not self._ended:
            piece = next(self._pouring, None)
            if piece is None:
                self._pouring = None
                self._content_is_out(self._flight[-1])
            else:
                self._transport.write(piece)

    def _content_is_out(self, transaction: Transaction) -> None:
        transaction.content_sent = True
        transaction.wants = Want.REPLY

    # Time and the end

    def _watch(self) -> None:
        """Sets the timer to when the present wait will have lasted too long.

        A timer that goes off earlier is left alone: that is cheaper than a new one.
        """
        if self._ended or (self._flight and self._timer_at <= self._since + self._shortest):
            return
        due = self._since + self._limit()[1]
        if self._timer_at <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._on_timer)

    def _limit(self) -> tuple[Stage | None, float]:
        if self._pouring is not None:
            return Stage.BLOCK, self._limits[Stage.BLOCK]
        if self._flight:
            stage = self._flight[0].stage
            return stage, self._limits[stage]
        return None, QUIT_PATIENCE if self._quitting else self._idle_limit

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        stage, limit = self._limit()
        if self._loop.time() < self._since + limit:
            self._watch()
        elif stage is not None:
            self._end(trouble.timed_out(stage, limit), in_step=False)
        elif self._quitting:
            self._end(None)
        else:
            self.quit()

    def _end(
        self,
        reply: Reply | None,
        *,
        own_will: bool = False,
        blame: bool | None = None,
        in_step: bool = True,
    ) -> None:
        """Drops the connection and gives everything back.

        Upstream is to blame (`blame`) if something was in flight, unless it was our own will.
        Replies that may have been out of step with our commands fail nobody.
        """
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._pouring = None
        self._transport.abort()
        self._client.close()
        flight, self._flight = self._flight, deque()
        if blame is None:
            blame = bool(flight) and not own_will
        for place, one in enumerate(flight):
            first = place == 0 and not own_will and (one.begun or not self.used)
            begun = one.content_sent or first
            rest = trouble.interrupted(
                reply or trouble.LOST, begun=begun, in_doubt=one.content_sent
            )
            outcomes = one.outcomes(rest) if in_step else [rest] * len(one.wire.rcpts)
            self._desk.finished(one.copy, outcomes)
        self._desk.ended(self, self.strain or (reply if blame else None))


# Never seen: when a transaction is over, replies have decided for every recipient.
_UNDECIDED = trouble.interrupted(trouble.GARBLED, begun=True)


def _limits(timeouts: Timeouts) -> dict[Stage, float]:
    return {
        Stage.RSET: timeouts.mail,
        Stage.MAIL: timeouts.mail,
        Stage.RCPT: timeouts.rcpt,
        Stage.DATA: timeouts.data,
        Stage.BLOCK: timeouts.block,
        Stage.DOT: timeouts.dot,
    }
