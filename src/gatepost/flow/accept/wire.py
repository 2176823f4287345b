"""The wire under a session: lines and content out of segments, replies in one write.

Theory of operation. aiosmtpd reads lines in a task of its own and awaits every reply. Here
`data_received` takes what has come, hands over one complete line (or the message content)
after the other, and writes all replies of a segment at once. Nothing is awaited unless
something outside must be waited for: then `wait_for` runs one task, and until it ends no
further line is taken; what arrives stays in the buffer, and beyond a bound the transport
stops reading (back pressure). A task that converses (AUTH) asks for the next line itself.

Only CRLF ends a line (R5321-1). A line that is too long, or has a bare CR or LF, gets one
reply, as soon as that is certain, and is skipped up to its CRLF: so the replies do not
depend on how TCP cut the stream.

From the library come the mechanisms of AUTH and the place in asyncio; its reader task,
its time-outs and its constructor, which inspects class and handler at every connection, are
not used. What its methods read is set here.

*Known limits:* a client that never sends CRLF hears one error and then the time-out.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

from aiosmtpd.smtp import SMTP

from gatepost import houselog
from gatepost.flow.accept import replies
from gatepost.flow.accept.content import Content
from gatepost.flow.accept.door import Door

MAX_LINE = 4096  # octets; RFC 3461 §5.4 wants 1036, RFC 4954 500 more
MAX_AUTH_LINE = 12288  # RFC 4954 §4
_MAX_HELD = 1 << 16  # octets kept while something is waited for
_LINGER_SECONDS = 10.0  # for a client that does not read our last reply, or does not close

_T = TypeVar("_T")


class Malformed(Exception):  # noqa: N818  what the client sent, not an error of ours
    """A line in the middle of AUTH is none; `reply` says why."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


class Wire(SMTP, ABC):
    """One connection, without a word of SMTP's grammar. Subclasses say what lines mean."""

    transport: asyncio.Transport

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        self.door = door
        self.loop = loop
        self.more_follows = False  # octets behind the line that `on_line` is given
        self.lost = False
        self._buffer = b""
        self._out: list[bytes] = []
        self._content: Content | None = None
        self._task: asyncio.Task[None] | None = None
        self._task_must_finish = False
        self._answer: asyncio.Future[bytes] | None = None
        self._skipping = self._closing = self._eof = False
        self._reading_paused = self._writing_paused = False
        self._active_at = self._content_at = self._fruitful_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # What a subclass says

    @abstractmethod
    def greet(self) -> None:
        """The connection is there."""

    @abstractmethod
    def on_line(self, line: bytes) -> None:
        """One command line, without its CRLF, free of bare CR, bare LF and NUL."""

    @abstractmethod
    def on_content(self, content: Content) -> None:
        """The content that `expect_content` asked for is complete."""

    @abstractmethod
    def on_lost(self) -> None:
        """The connection is gone."""

    @abstractmethod
    def offend(self) -> None:
        """A line was no command line."""

    @property
    @abstractmethod
    def at_rest(self) -> bool:
        """Whether nothing would be lost by closing now."""

    # What a subclass does

    def send(self, reply: bytes) -> None:
        """Add `reply` to what goes out when the segment is done with."""
        self._out.append(reply)

    def expect_content(self, content: Content) -> None:
        """What follows is the content of a message."""
        self._content = content
        self._content_at = self.loop.time()
        if self.door.limits.data_seconds < self.door.limits.idle_seconds:
            self._set_timer(self.door.limits.data_seconds)  # else the running timer is in time

    def wait_for(self, work: Coroutine[Any, Any, None], *, must_finish: bool = False) -> None:
        """Run `work` before the next line; `must_finish` keeps it when the client goes away."""
        self._task_must_finish = must_finish
        self._task = self.door.run(self._run(work), self.loop)

    async def next_line(self) -> bytes:
        """The client's next line, for a task that converses. Raises `Malformed`."""
        self._flush()
        self._answer = self.loop.create_future()
        self._active_at = self.loop.time()
        self.loop.call_soon(self._pump)
        return await self._answer

    def forget_clear_text(self) -> None:
        """Drop what came in before a handshake; it must not count after it (RS-5)."""
        self._buffer = b""
        self._reading_paused = False

    def say_goodbye(self, reply: bytes, *, linger: bool = False) -> None:
        """Send `reply` and close; whatever else the client sends is not looked at.

        With `linger` the client closes first: to close on octets not yet read would be a
        reset, which can overtake the reply. For clients that are likely to be sending.
        """
        if not self._closing:
            self.send(reply)
            self.close(linger=linger)

    def close(self, *, linger: bool = False) -> None:
        """Close once everything said is out; give up on a client that does not read it."""
        if self._closing:
            return
        self._flush()
        self._closing = True
        self._buffer = b""
        if linger and not self.lost and self.transport.can_write_eof():
            self.transport.write_eof()
            if self._reading_paused:
                self.transport.resume_reading()
        else:
            self.transport.close()
        if not self.lost:
            self._set_timer(_LINGER_SECONDS)

    def cut(self) -> None:
        """End the connection now: 421, or nothing where the answer is not known (R5321-13)."""
        if self._closing or (self._task and self._task_must_finish):
            self._closing = True
            self.transport.abort()
        else:
            self.say_goodbye(replies.SHUTTING_DOWN)

    def wind_up(self) -> None:
        """Close with 421 as soon as nothing is on the wire."""
        if not self._blocked and self.at_rest:
            self.say_goodbye(replies.SHUTTING_DOWN)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, unless there are too many."""
        # uvloop's transports are asyncio.Transport in all but name.
        self.transport = cast("asyncio.Transport", transport)
        self._active_at = self._fruitful_at = self.loop.time()
        self._set_timer(self.door.limits.idle_seconds)
        self.greet()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """One segment."""
        if self._closing:
            return
        self._buffer = self._buffer + data if self._buffer else data
        if not self._blocked:
            self._pump()
        if len(self._buffer) > _MAX_HELD and not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """The client has nothing more to say; what it said is still answered."""
        self._eof = True
        if self._blocked and not self._closing and self.transport.get_extra_info("sslcontext"):
            return False  # TLS cannot be half closed
        if not self._blocked:
            self.close()
        return not self._closing

    def connection_lost(self, error: Exception | None) -> None:
        """Let go of everything but a task that must finish."""
        del error
        if self.lost:
            return
        self.lost = self._closing = True
        self._buffer = b""
        self._out.clear()
        if self._timer:
            self._timer.cancel()
        if self._task and not self._task_must_finish:
            self._task.cancel()
        self.on_lost()

    def pause_writing(self) -> None:
        """The client does not read its replies: take no further command."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """It reads again."""
        self._writing_paused = False
        self._pump()

    # The works

    @property
    def _blocked(self) -> bool:
        return (
            self._closing
            or self._writing_paused
            or (self._task is not None and self._answer is None)
        )

    def _pump(self) -> None:
        """Take lines and content until the buffer is empty, incomplete, or we must wait."""
        data, position = self._buffer, 0
        while position < len(data) and not self._blocked:
            if self._skipping:
                stop = self._skip(data, position)
            elif self._content is not None:
                stop = self._take_content(self._content, data, position)
            else:
                stop = self._take_line(data, position)
            if stop == position:
                break
            position = stop
        self._settle(data[position:] if position else data)

    def _settle(self, rest: bytes) -> None:
        """Write what is to be said, and see whether the connection goes on."""
        if self._closing:
            return
        self._buffer = rest
        self._flush()
        if self._reading_paused and len(rest) <= _MAX_HELD:
            # Also while something is waited for: who reads nothing does not see the client go.
            self._reading_paused = False
            self.transport.resume_reading()
        if self._blocked:
            return
        if self.door.stopping and self.at_rest:
            self.say_goodbye(replies.SHUTTING_DOWN)
        elif self._eof:
            self.close()

    def _take_line(self, data: bytes, position: int) -> int:
        newline = data.find(b"\n", position)
        if newline < 0:
            if len(data) - position > self._limit(data, position) + 1:
                self._skipping = True
                self._complain(replies.LINE_TOO_LONG)
                return len(data) - 1 if data.endswith(b"\r") else len(data)
            return position
        ended = newline > position and data[newline - 1] == 0x0D
        line = data[position : newline - 1 if ended else newline]
        self._skipping = not ended
        self._active_at = self.loop.time()
        if len(line) > MAX_LINE and len(line) > self._limit(data, position):
            self._complain(replies.LINE_TOO_LONG)
        elif not ended or b"\r" in line:
            self._complain(replies.BARE_NEWLINE)
        elif b"\0" in line:
            self._complain(replies.ODD_OCTETS)
        elif self._answer is not None:
            answer, self._answer = self._answer, None
            answer.set_result(line)
        else:
            self.more_follows = newline + 1 < len(data)
            self._guard(self.on_line, line)
        return newline + 1

    def _limit(self, data: bytes, position: int) -> int:
        auth = self._answer is not None or data[position : position + 4].upper() == b"AUTH"
        return MAX_AUTH_LINE if auth else MAX_LINE

    def _complain(self, reply: bytes) -> None:
        """Refuse a line; in the middle of AUTH the task hears of it and ends."""
        if self._answer is None:
            self.send(reply)
            self.offend()
            return
        answer, self._answer = self._answer, None
        too_long = reply is replies.LINE_TOO_LONG
        answer.set_exception(Malformed(replies.AUTH_LINE_TOO_LONG if too_long else reply))

    def _skip(self, data: bytes, position: int) -> int:
        end = data.find(b"\r\n", position)
        if end >= 0:
            self._skipping = False
            return end + 2
        return len(data) - 1 if data.endswith(b"\r") else len(data)

    def _take_content(self, content: Content, data: bytes, position: int) -> int:
        self._active_at = self.loop.time()
        stop = content.feed(data, position)
        if content.complete:
            self._content = None
            self._fruitful_at = self._active_at
            self._guard(self.on_content, content)
        elif self.door.cellar.takes(content, len(self.door.sessions)):
            self.wait_for(self.door.cellar.put_away(content))
        return stop

    def _guard(self, act: Callable[[_T], None], subject: _T) -> None:
        """Nothing that goes wrong in `act` reaches the client but 451 (REQUIREMENTS 2.11-4)."""
        try:
            act(subject)
        except Exception as error:  # noqa: BLE001  whatever it is, it is our error
            houselog.session_error(self.door.name, error)
            self.send(replies.INTERNAL_ERROR)

    async def _run(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001  whatever it is, it is our error
            houselog.session_error(self.door.name, error)
            self.send(replies.INTERNAL_ERROR)
        finally:
            self._task = self._answer = None
            self._active_at = self.loop.time()
        self._pump()

    def _flush(self) -> None:
        if self._out and not self._closing:
            self.transport.write(b"".join(self._out))
        self._out.clear()

    def _set_timer(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        """Look whether the client has been silent for too long; one timer per connection."""
        if self._closing:
            self.transport.abort()
            return
        now, limits = self.loop.time(), self.door.limits
        if self._task and self._answer is None:
            self._active_at = self._fruitful_at = now  # we are the ones who take time
        due = min(self._active_at + limits.idle_seconds, self._fruitful_at + limits.barren_seconds)
        if self._content is not None:
            # An octet now and then keeps nobody here: content has a least rate.
            earned = limits.idle_seconds + self._content.size / limits.least_rate
            due = min(due, self._content_at + min(earned, limits.data_seconds))
        if due - now > 0.001:
            self._set_timer(due - now)
        else:
            self.say_goodbye(replies.IDLE, linger=True)
