"""A scripted upstream on real sockets: an inbox that behaves exactly as badly as it is told.

    async with Upstream(Script(recipients={"a@one.example": "550 5.1.1 nobody"})) as up:
        ... send to ("127.0.0.1", up.port) ...
        up.messages[0].content

`Script.steps` maps an event to what happens then: CONNECT, EHLO, HELO, STARTTLS, AUTH, MAIL,
RCPT, DATA, CONTENT (its first octets), DOT (the end of data or of the last BDAT chunk), RSET,
NOOP, QUIT. A step is

- a string: the reply, lines separated by "\\n" ("250 ok", or "421 bye", which also closes);
- `Drop()`: the connection is cut; `Drop("250 ok")` answers first;
- `Hang()`: nothing is answered any more;
- `Raw(b"...")`: these bytes, whatever they are (garbage, two replies, half a reply, none);
- `Slow(seconds, step)`: the same later, everything behind it waiting too;
- a list of these: one for each occurrence in turn (counted over all connections), then the
  ordinary answer; `None` in it is the ordinary answer.

Every message that was complete is in `messages`, with `reply` as it was answered ("" if it
never was); refused ones too, so filter by `taken`. `violations` lists what a client must not
do: pipelining where it was not offered, bare newlines, commands out of order.

In the test's own loop: `async with Upstream(...)`. Beside a program in the same process:
`with UpstreamThread(...)`. As a process of its own: `python -m support.upstream --port 0
--dir D` prints `port N`, and each message becomes `D/NNNNNN.eml` with `D/NNNNNN.json` beside it.
"""

import argparse
import asyncio
import base64
import binascii
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Drop:
    reply: str = ""


@dataclass(frozen=True)
class Hang:
    pass


@dataclass(frozen=True)
class Raw:
    data: bytes


@dataclass(frozen=True)
class Slow:
    seconds: float
    step: "str | Drop | Hang | Raw | None" = None


Step = str | Drop | Hang | Raw | Slow | None

EXTENSIONS = (
    "PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN",
)  # fmt: skip

_ORDINARY = {
    "CONNECT": "220 upstream.example ESMTP",
    "HELO": "250 upstream.example",
    "STARTTLS": "220 2.0.0 go ahead",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go ahead",
    "RSET": "250 2.0.0 ok",
    "NOOP": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}


@dataclass
class Script:
    """What the upstream offers and how it answers; see the module's docstring.

    `recipients` are steps for RCPT by address (casefolded). `users` (name to password) makes
    AUTH offered and, if `require_auth`, demanded at MAIL. `tls` is "none", "starttls" or
    "implicit", with `context`.
    """

    steps: Mapping[str, Step | Sequence[Step]] = field(default_factory=dict)
    recipients: Mapping[str, Step | Sequence[Step]] = field(default_factory=dict)
    extensions: tuple[str, ...] = EXTENSIONS
    tls: str = "none"
    context: ssl.SSLContext | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    require_auth: bool = False

    @classmethod
    def read(cls, path: Path) -> "Script":
        """A script from JSON: `steps` and `recipients` as strings or lists of strings, where
        "drop", "hang" and null have their meaning, and `extensions`.
        """
        data = json.loads(path.read_text())
        for name in ("steps", "recipients"):
            data[name] = {key: _from_json(value) for key, value in data.get(name, {}).items()}
        if "extensions" in data:
            data["extensions"] = tuple(data["extensions"])
        return cls(**data)


def _from_json(value: object) -> "Step | Sequence[Step]":
    if isinstance(value, list):
        return [_from_json(one) for one in value]
    return {"drop": Drop(), "hang": Hang()}.get(value, value)


@dataclass
class Message:
    """One complete message as it came: paths and parameters as given, content unstuffed."""

    mail_from: str
    mail_parameters: str
    recipients: list[str]
    recipient_parameters: list[str]
    content: bytes
    connection: int
    began: float  # time.time() at MAIL
    content_began: float  # at the first octet of content
    ended: float  # at the end of data
    secure: bool
    user: str
    chunked: bool
    reply: str = ""

    @property
    def taken(self) -> bool:
        """Whether upstream has taken responsibility, told or not."""
        return self.reply.startswith("2") or not self.reply


class Upstream:
    """The server; an async context manager. `messages`, `commands` and `violations` grow."""

    def __init__(self, script: Script | None = None, *, port: int = 0, folder: Path | None = None):
        self.script = script or Script()
        self.port = port
        self.messages: list[Message] = []
        self.commands: list[tuple[int, str]] = []  # (connection, command line)
        self.violations: list[str] = []
        self.connections = 0
        self.open_connections = 0
        self.most_connections = 0
        self.on_message: Callable[[Message], None] | None = None
        self._folder = folder
        self._counts: dict[int, int] = {}
        self._protocols: set[_Conversation] = set()
        self._grown = asyncio.Event()

    @property
    def taken(self) -> list[Message]:
        return [message for message in self.messages if message.taken]

    async def __aenter__(self) -> "Upstream":
        loop = asyncio.get_running_loop()
        context = self.script.context if self.script.tls == "implicit" else None
        self._server = await loop.create_server(
            lambda: _Conversation(self), "127.0.0.1", self.port, ssl=context, backlog=500
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for protocol in list(self._protocols):
            protocol.cut()
        await asyncio.sleep(0)

    async def wait_for(self, count: int, seconds: float = 20.0) -> list[Message]:
        """Waits until `count` messages were taken; fails the test if that takes too long."""
        async with asyncio.timeout(seconds):
            while len(self.taken) < count:
                self._grown.clear()
                await self._grown.wait()
        return self.taken

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


class _Conversation(asyncio.Protocol):
    def __init__(self, upstream: Upstream) -> None:
        self.up = upstream
        self.script = upstream.script
        self.buffer = b""
        self.out: list[bytes] = []
        self.stopped = False  # hanging, gone, or waiting
        self.secure = upstream.script.tls == "implicit"
        self.number = 0
        self.user = ""
        self.login: list[str] | None = None
        self.chunk_left = -1
        self.chunk_last = False
        self.reset()

    def reset(self) -> None:
        self.mail: tuple[str, str] | None = None
        self.rcpts: list[tuple[str, str]] = []
        self.in_data = False
        self.chunks: list[bytes] = []
        self.began = self.content_began = 0.0
        self.scanned = 0

    # transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if self.number:  # STARTTLS hands us a second transport
            return
        up = self.up
        up.connections += 1
        up.open_connections += 1
        up.most_connections = max(up.most_connections, up.open_connections)
        self.number = up.connections
        up._protocols.add(self)
        self.perform("CONNECT")
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stopped = True
        self.up.open_connections -= 1
        self.up._protocols.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.work()

    def cut(self) -> None:
        self.stopped = True
        self.transport.abort()

    def work(self) -> None:
        while self.buffer and not self.stopped:
            if self.chunk_left >= 0:
                going = self.take_chunk()
            elif self.in_data:
                going = self.take_data()
            else:
                going = self.take_line()
            if not going:
                break
        self.flush()

    def flush(self) -> None:
        if self.out:
            self.transport.write(b"".join(self.out))
            self.out.clear()

    # answering

    def perform(self, event: str, ordinary: str = "", special: Step = None) -> str:
        """Answers `event` as scripted; returns the reply's first line, "" if there is none."""
        step = special or self.up.next_step(self.script.steps, event)
        return self.act(step, ordinary or _ORDINARY.get(event, "250 2.0.0 ok"))

    def act(self, step: Step, ordinary: str) -> str:
        match step:
            case None:
                self.say(ordinary)
                return ordinary
            case str():
                self.say(step)
                if step.startswith(("421", "221")):
                    self.close()
                return step
            case Drop(reply):
                if reply:
                    self.say(reply)
                self.close()
                return reply
            case Hang():
                self.stopped = True
                self.flush()
                return ""
            case Raw(data):
                self.out.append(data)
                return data.decode("latin-1").partition("\r\n")[0]
            case Slow(seconds, later):
                self.stopped = True
                self.flush()
                asyncio.get_running_loop().call_later(seconds, self.resume, later, ordinary)
                return later if isinstance(later, str) else ordinary

    def resume(self, step: Step, ordinary: str) -> None:
        if not self.transport.is_closing():
            self.stopped = False
            self.act(step, ordinary)
            self.work()

    def say(self, reply: str) -> None:
        lines = reply.split("\n")
        code = lines[0][:3]
        for line in lines[:-1]:
            text = line[4:] if line[:3] == code else line
            self.out.append(f"{code}-{text}\r\n".encode())
        last = lines[-1]
        self.out.append((last if last[:3] == code else f"{code} {last}").encode() + b"\r\n")

    def close(self) -> None:
        self.stopped = True
        self.flush()
        self.transport.close()

    # commands

    def take_line(self) -> bool:
        line, newline, rest = self.buffer.partition(b"\n")
        if not newline:
            return False
        self.buffer = rest
        if not line.endswith(b"\r"):
            self.up.violations.append(f"bare LF in {line!r}")
        text = line.rstrip(b"\r").decode("utf-8", "replace")
        if self.login is not None:
            self.take_login(text)
            return True
        self.up.commands.append((self.number, text))
        verb, _, argument = text.partition(" ")
        handler = getattr(self, f"do_{verb.lower()}", None)
        if handler is None:
            self.say("500 5.5.1 what?")
            return True
        alone = verb in {"EHLO", "HELO", "DATA", "STARTTLS", "AUTH", "NOOP", "QUIT"}
        pipelining = "PIPELINING" in self.script.extensions
        if rest and (alone or not pipelining) and verb != "BDAT":
            self.up.violations.append(f"more was sent behind {text!r}")
        handler(argument)
        return True

    def do_ehlo(self, argument: str) -> None:
        self.reset()
        keywords = list(self.script.extensions)
        if self.script.tls == "starttls" and not self.secure:
            keywords.append("STARTTLS")
        if self.script.users:
            keywords.append("AUTH PLAIN LOGIN")
        self.perform("EHLO", "\n".join(f"250 {line}" for line in ["upstream.example", *keywords]))

    def do_helo(self, argument: str) -> None:
        self.reset()
        self.perform("HELO")

    def do_noop(self, argument: str) -> None:
        self.perform("NOOP")

    def do_quit(self, argument: str) -> None:
        self.perform(
            "QUIT", special=self.up.next_step(self.script.steps, "QUIT") or "221 2.0.0 bye"
        )

    def do_rset(self, argument: str) -> None:
        self.reset()
        self.perform("RSET")

    def do_starttls(self, argument: str) -> None:
        if self.perform("STARTTLS").startswith("220"):
            self.stopped = True
            self.flush()
            self.buffer = b""
            self.task = asyncio.get_running_loop().create_task(self.start_tls())

    async def start_tls(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(
                self.transport, self, self.script.context, server_side=True
            )
        except (OSError, ssl.SSLError):
            self.transport.abort()
            return
        if transport is not None:
            self.transport = transport
            self.secure = True
            self.stopped = False
            self.reset()

    def do_auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if mechanism == "PLAIN" and initial:
            self.finish_login(_decode(initial).split("\0")[1:])
        elif mechanism == "LOGIN":
            self.login = [_decode(initial)] if initial else []
            self.say("334 VXNlcm5hbWU6" if not initial else "334 UGFzc3dvcmQ6")
        else:
            self.say("504 5.5.4 no such mechanism")

    def take_login(self, text: str) -> None:
        self.login.append(_decode(text))
        if len(self.login) == 2:
            given, self.login = self.login, None
            self.finish_login(given)
        else:
            self.say("334 UGFzc3dvcmQ6")

    def finish_login(self, given: list[str]) -> None:
        good = len(given) == 2 and self.script.users.get(given[0]) == given[1]
        ordinary = "235 2.7.0 welcome" if good else "535 5.7.8 wrong"
        if self.perform("AUTH", ordinary).startswith("235"):
            self.user = given[0]

    def do_mail(self, argument: str) -> None:
        path, parameters = _path(argument)
        if self.script.require_auth and not self.user:
            self.say("530 5.7.0 log in first")
        elif self.mail is not None:
            self.say("503 5.5.1 nested MAIL")
        else:
            self.began = time.time()
            if self.perform("MAIL").startswith("2"):
                self.mail = (path, parameters)

    def do_rcpt(self, argument: str) -> None:
        path, parameters = _path(argument)
        if self.mail is None:
            self.say("503 5.5.1 MAIL first")
            return
        special = self.up.next_step(self.script.recipients, path.casefold())
        if self.perform("RCPT", special=special).startswith("2"):
            self.rcpts.append((path, parameters))

    def do_data(self, argument: str) -> None:
        if not self.rcpts:
            self.perform("DATA", "554 5.5.1 no valid recipients" if self.mail else "503 5.5.1 MAIL")
        elif self.chunks:
            self.say("503 5.5.1 BDAT was used")
            return
        else:
            self.perform("DATA")
        # where a script says 354 to nobody, content is expected all the same
        self.in_data = bool(self.out) and self.out[-1].startswith(b"354")

    def do_bdat(self, argument: str) -> None:
        size, _, last = argument.partition(" ")
        self.chunk_left = int(size)
        self.chunk_last = last.upper() == "LAST"
        if not self.chunk_left:
            self.end_chunk(b"")

    # content

    def begin_content(self) -> bool:
        if not self.content_began:
            self.content_began = time.time()
            step = self.up.next_step(self.script.steps, "CONTENT")
            if step is not None:
                self.act(step, "")
                return not self.stopped
        return True

    def take_chunk(self) -> bool:
        if not self.begin_content() or len(self.buffer) < self.chunk_left:
            return False
        data, self.buffer = self.buffer[: self.chunk_left], self.buffer[self.chunk_left :]
        self.end_chunk(data)
        return True

    def end_chunk(self, data: bytes) -> None:
        self.chunk_left = -1
        if not self.rcpts:
            self.say("503 5.5.1 no valid recipients")
            return
        self.chunks.append(data)
        if self.chunk_last:
            self.end_message(b"".join(self.chunks), chunked=True)
        else:
            self.say("250 2.0.0 more")

    def take_data(self) -> bool:
        if not self.begin_content():
            return False
        if self.buffer.startswith(b".\r\n") and not self.scanned:
            end, after = 0, 3
        else:
            end = self.buffer.find(b"\r\n.\r\n", max(0, self.scanned - 4))
            if end < 0:
                self.scanned = len(self.buffer)
                return False
            end, after = end + 2, end + 5
        stuffed, self.buffer = self.buffer[:end], self.buffer[after:]
        content = (b"\r\n" + stuffed).replace(b"\r\n.", b"\r\n")[2:]
        if content.count(b"\n") != content.count(b"\r\n"):
            self.up.violations.append("bare LF in content")
        if self.rcpts:
            self.end_message(content, chunked=False)
        else:
            self.reset()
            self.say("554 5.5.1 no valid recipients" if not stuffed else "250 2.0.0 for nobody")
            if stuffed:
                self.up.violations.append("content for nobody")
        return True

    def end_message(self, content: bytes, *, chunked: bool) -> None:
        message = Message(
            mail_from=self.mail[0],
            mail_parameters=self.mail[1],
            recipients=[path for path, _ in self.rcpts],
            recipient_parameters=[parameters for _, parameters in self.rcpts],
            content=content,
            connection=self.number,
            began=self.began,
            content_began=self.content_began,
            ended=time.time(),
            secure=self.secure,
            user=self.user,
            chunked=chunked,
        )
        self.reset()
        step = self.up.next_step(self.script.steps, "DOT")
        message.reply = _reply_of(step, f"250 2.0.0 ok {len(self.up.messages) + 1}")
        self.up.store(message)  # before the answer, as a real server does
        self.act(step, message.reply)


def _reply_of(step: Step, ordinary: str) -> str:
    """How a message will have been answered, "" if never."""
    match step:
        case None:
            return ordinary
        case str():
            return step
        case Drop(reply):
            return reply
        case Hang():
            return ""
        case Raw(data):
            return data.decode("latin-1").partition("\r\n")[0]
        case Slow(_, later):
            return _reply_of(later, ordinary)


def _path(argument: str) -> tuple[str, str]:
    path, _, parameters = argument.partition(":")[2].partition(">")
    return path.removeprefix("<"), parameters.strip()


def _decode(text: str) -> str:
    try:
        return base64.b64decode(text).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return ""


class UpstreamThread:
    """An `Upstream` in a thread with a loop of its own, for tests that are not async."""

    def __init__(
        self, script: Script | None = None, *, port: int = 0, folder: Path | None = None
    ) -> None:
        self._arguments = (script, port, folder)
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Upstream:
        self._thread.start()
        self._started.wait()
        return self.upstream

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        script, port, folder = self._arguments
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with Upstream(script, port=port, folder=folder) as self.upstream:
            self._started.set()
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
    try:
        asyncio.run(_serve(parser.parse_args()))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
