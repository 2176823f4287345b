"""A scripted upstream on real sockets: an inbox that behaves exactly as badly as it is told.

    async with Upstream(Script(recipients={"a@one.example": "550 5.1.1 nobody"})) as up:
        ... send to ("127.0.0.1", up.port) ...
        up.messages[0].content

`Script.steps` maps an event to what happens then: CONNECT, EHLO, HELO, STARTTLS, AUTH, MAIL,
RCPT, DATA, CONTENT (its first octets), DOT (the end of data or of the last BDAT chunk), RSET,
NOOP, QUIT. A step is

- a string: the reply, lines separated by "\\n" ("250 ok", or "421 bye", which also closes);
- `Drop()`: the connection is closed; `Drop("250 ok")` answers first;
- `Reset()`: the connection is cut with a RST, and what was said and not read is lost;
- `Hang()`: nothing is answered any more;
- `Raw(b"...")`: these bytes, whatever they are (garbage, two replies, half a reply, none);
- `Slow(seconds, step)`: the same later, everything behind it waiting too;
- `Drip(reply, seconds)`: the reply octet by octet, with so many seconds between them;
- `Endless()`: lines of one reply without end;
- a list of these: one for each occurrence in turn (counted over all connections), then the
  ordinary answer; `None` in it is the ordinary answer.

Every message that was complete is in `messages`, with `reply` as it was answered ("" if it
never was); refused ones too, so filter by `taken`. `violations` lists what a client must not
do: pipelining where it was not offered, bare newlines, commands out of order. What is said when
is noted when upstream reads it: `held_up` tells how long a busy machine kept it from that.

In the test's own loop: `async with Upstream(...)`. Beside a program in the same process:
`with UpstreamThread(...)`. As a process of its own: `python -m support.upstream --port 0
--dir D` prints `port N`, and each message becomes `D/NNNNNN.eml` with `D/NNNNNN.json` beside it.
"""

import argparse
import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Self

from support.patience import PATIENCE_SECONDS
from support.upstream_conversation import Conversation
from support.upstream_script import (
    EXTENSIONS,
    Drip,
    Drop,
    Endless,
    Hang,
    Message,
    Raw,
    Reset,
    Script,
    Slow,
    Step,
)

__all__ = [
    "EXTENSIONS",
    "Drip",
    "Drop",
    "Endless",
    "Hang",
    "Message",
    "Raw",
    "Reset",
    "Script",
    "Slow",
    "Step",
    "Upstream",
    "UpstreamCrowd",
    "UpstreamThread",
]


_BEAT_SECONDS, _MISSED_SECONDS = 0.02, 0.05


class Upstream:
    """The server; an async context manager. `messages`, `commands` and `violations` grow."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        port: int = 0,
        folder: Path | None = None,
        reads_while_hanging: bool = True,
    ) -> None:
        self.script = script or Script()
        self.port = port
        self.reads_while_hanging = reads_while_hanging
        self.messages: list[Message] = []
        self.commands: list[tuple[int, str]] = []  # (connection, command line)
        self.violations: list[str] = []
        self.resets: set[int] = set()  # connections that were cut
        self.senders: set[int] = set()  # open connections over which MAIL was taken
        self.connections = 0
        self.open_connections = 0
        self.most_connections = 0
        self.on_message: Callable[[Message], None] | None = None
        self._folder = folder
        self._counts: dict[int, int] = {}
        self._conversations: set[Conversation] = set()
        self._grown = asyncio.Event()
        self._pauses: list[tuple[float, float]] = []  # from when until when nothing was read

    @property
    def taken(self) -> list[Message]:
        return [message for message in self.messages if message.taken]

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        context = self.script.context if self.script.tls == "implicit" else None
        self._server = await loop.create_server(
            lambda: Conversation(self), "127.0.0.1", self.port, ssl=context, backlog=500
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._heart = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._heart.cancel()
        self._server.close()
        for protocol in list(self._conversations):
            protocol.cut()
        await asyncio.sleep(0)

    async def _beat(self) -> None:
        while True:
            before = time.time()
            await asyncio.sleep(_BEAT_SECONDS)
            if (now := time.time()) - before > _MISSED_SECONDS:
                self._pauses.append((before, now))

    def held_up(self, begin: float, end: float) -> float:
        """For how many of the seconds between two moments upstream could not read."""
        return sum(max(0.0, min(last, end) - max(first, begin)) for first, last in self._pauses)

    def awake_since(self, begin: float) -> float:
        """How many seconds that is ago, without those for which all stood still; from a thread."""
        now = time.time()
        time.sleep(2 * _MISSED_SECONDS)  # a pause is known when it is over
        return now - begin - self.held_up(begin, now)

    @contextlib.contextmanager
    def thinking(self, seconds: float) -> Iterator[None]:
        """Every message takes that long, so that a mailing is not over before a test acts."""
        step = self.script.steps.get("DOT")
        self.script.steps["DOT"] = Slow(seconds, "250 2.0.0 ok")
        try:
            yield
        finally:
            self.script.steps["DOT"] = step

    async def wait_for(self, count: int, seconds: float = PATIENCE_SECONDS) -> list[Message]:
        """Waits until `count` messages were taken; fails the test if that takes too long."""
        async with asyncio.timeout(seconds):
            while len(self.taken) < count:
                self._grown.clear()
                await self._grown.wait()
        return self.taken

    def backlog(self) -> bytes:
        """What has arrived on all connections and was not looked at yet."""
        return b"".join(conversation.buffer for conversation in self._conversations)

    def next_step(self, steps: Mapping[str, Step | Sequence[Step]], key: str) -> Step:
        step = steps.get(key)
        if isinstance(step, list | tuple):
            turn = self._counts.get(id(step), 0)
            self._counts[id(step)] = turn + 1
            return step[turn] if turn < len(step) else None
        return step

    def store(self, message: Message) -> None:
        self.messages.append(message)
        self._grown.set()
        if self.on_message is not None:
            self.on_message(message)
        if self._folder is not None and message.taken:
            name = f"{len(self.messages):06}"
            (self._folder / f"{name}.eml").write_bytes(message.content)
            envelope = asdict(message)
            del envelope["content"]
            part = self._folder / f"{name}.part"
            part.write_text(json.dumps(envelope))
            part.rename(self._folder / f"{name}.json")


class _Beside(threading.Thread):
    """A thread with a loop, in which `life` sets `started`."""

    def __init__(self, life: Callable[[], Coroutine[None, None, None]]) -> None:
        super().__init__(daemon=True)
        self.started = threading.Event()
        self._life = life
        self._trouble: BaseException | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._life())
        except BaseException as error:
            if self.started.is_set():
                raise
            self._trouble = error
            self.started.set()

    def start_up(self) -> None:
        """Returns when it has started. Raises what kept it from that, such as a taken port."""
        self.start()
        self.started.wait()
        if self._trouble:
            raise self._trouble


class UpstreamThread:
    """An `Upstream` in a thread with a loop of its own, for tests that are not async."""

    def __init__(
        self, script: Script | None = None, *, port: int = 0, folder: Path | None = None
    ) -> None:
        self._arguments = (script, port, folder)
        self._thread = _Beside(self._run)

    def __enter__(self) -> Upstream:
        self._thread.start_up()
        return self.upstream

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        script, port, folder = self._arguments
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with Upstream(script, port=port, folder=folder) as self.upstream:
            self._thread.started.set()
            await self._stop.wait()


class UpstreamCrowd:
    """Several upstreams in one thread, by name; a context manager that gives the mapping."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self._upstreams = {name: Upstream(script) for name, script in scripts.items()}
        self._thread = _Beside(self._run)

    def __enter__(self) -> Mapping[str, Upstream]:
        self._thread.start_up()
        return self._upstreams

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            for upstream in self._upstreams.values():
                await stack.enter_async_context(upstream)
            self._thread.started.set()
            await self._stop.wait()


async def _serve(options: argparse.Namespace) -> None:
    script = Script.read(options.script) if options.script else None
    if options.dir:
        options.dir.mkdir(parents=True, exist_ok=True)
    async with Upstream(script, port=options.port, folder=options.dir) as upstream:
        print(f"port {upstream.port}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="a scripted upstream that stores what it gets")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dir", type=Path, help="where messages are stored")
    parser.add_argument("--script", type=Path, help="a Script as JSON")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
