"""One connection of a scripted upstream: see `support.upstream`."""

import asyncio
import base64
import binascii
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING

from support.upstream_script import Drip, Drop, Endless, Hang, Message, Raw, Reset, Slow, Step

if TYPE_CHECKING:
    from support.upstream import Upstream

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


class Conversation(asyncio.Protocol):
    def __init__(self, upstream: "Upstream") -> None:
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
        self.pipelining = "PIPELINING" in self.script.extensions
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
        up._conversations.add(self)
        self.perform("CONNECT")
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stopped = True
        self.up.open_connections -= 1
        self.up.senders.discard(self.number)
        self.up._conversations.discard(self)

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
            case Reset():
                self.flush()
                self.up.resets.add(self.number)
                linger = struct.pack("ii", 1, 0)
                sock = self.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.cut()
                return ""
            case Endless(line):
                self.stopped = True
                self.flush()
                self.pour(line * (64_000 // len(line)))
                return ""
            case Hang():
                self.stopped = True
                self.flush()
                if not self.up.reads_while_hanging:
                    self.transport.pause_reading()
                return ""
            case Raw(data):
                self.out.append(data)
                return data.decode("latin-1").partition("\r\n")[0] or ordinary
            case Drip(reply, seconds):
                self.stopped = True
                self.flush()
                self.drip(f"{reply}\r\n".encode(), seconds)
                return reply
            case Slow(seconds, later):
                self.stopped = True
                self.flush()
                asyncio.get_running_loop().call_later(seconds, self.resume, later, ordinary)
                return later if isinstance(later, str) else ordinary

    def pour(self, block: bytes) -> None:
        """Writes for ever, as fast as it is read."""
        if self.transport.is_closing():
            return
        if not self.transport.get_write_buffer_size():
            self.transport.write(block)
        asyncio.get_running_loop().call_later(0.001, self.pour, block)

    def drip(self, rest: bytes, seconds: float) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(rest[:1])
        if rest[1:]:
            asyncio.get_running_loop().call_later(seconds, self.drip, rest[1:], seconds)
        else:
            self.stopped = False
            self.work()

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
        if rest and (alone or not self.pipelining) and verb != "BDAT":
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
        ordinary = "\n".join(f"250 {line}" for line in ["upstream.example", *keywords])
        step = self.up.next_step(self.script.steps, "EHLO")
        self.pipelining = "PIPELINING" in (step if isinstance(step, str) else ordinary)
        self.perform("EHLO", ordinary, step or ordinary)

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
            self.work()

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
            most = self.script.most_senders
            crowded = most and len(self.up.senders - {self.number}) >= most
            if self.perform("MAIL", special=self.script.busy if crowded else None).startswith("2"):
                self.up.senders.add(self.number)
                self.mail = (path, parameters)

    def do_rcpt(self, argument: str) -> None:
        path, parameters = _path(argument)
        if self.mail is None:
            self.say("503 5.5.1 MAIL first")
            return
        special = self.up.next_step(self.script.recipients, path.casefold())
        most = self.script.most_recipients
        if special is None and most and len(self.rcpts) >= most:
            special = "452 4.5.3 too many recipients"
        if self.perform("RCPT", special=special).startswith("2"):
            self.rcpts.append((path, parameters))

    def do_data(self, argument: str) -> None:
        ordinary = ""
        if not self.rcpts:
            ordinary = "554 5.5.1 no valid recipients" if self.mail else "503 5.5.1 MAIL first"
        # where a script says 354 to nobody, content is expected all the same
        self.in_data = self.perform("DATA", ordinary).startswith("354")

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
        case Drop(reply) | Drip(reply):
            return reply
        case Hang() | Reset() | Endless():
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
