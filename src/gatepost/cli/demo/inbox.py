"""The upstream of the tour: an SMTP server on loopback that takes every mail and sends none.

In: copies, from the relay. Out: `Received`, in the order of arrival, and one file for each in
a folder. It runs in a thread with an event loop of its own, so that the tour reads like a
story and not like a program.

*Fails:* `OSError` from entering, where no port of loopback can be had.
*Known limits:* as much SMTP as a well-behaved client needs (RFC 5321, RFC 2920): no TLS, no
AUTH, no CHUNKING.
"""

import asyncio
import contextlib
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

_PATH = re.compile(rb"<([^>]*)>")
_MAX_OCTETS = 64 * 1024 * 1024
_END = b"\r\n.\r\n"
_EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", f"SIZE {_MAX_OCTETS}")


@dataclass(frozen=True, slots=True)
class Received:
    """One mail as it came: envelope and content."""

    recipients: tuple[str, ...]
    content: bytes
    file: Path


@dataclass(slots=True)
class _Transaction:
    recipients: list[str] = field(default_factory=list)


class Inbox:
    """The server; a context manager. `received` grows; it is only ever appended to."""

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self.received: list[Received] = []
        self._folder = folder
        self._started = threading.Event()
        self._trouble: OSError | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        """Listens from now on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        self._started.wait()
        if self._trouble is not None:
            raise self._trouble
        return self

    def __exit__(self, *_: object) -> None:
        """Closes every connection."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        try:
            server = await asyncio.start_server(
                self._converse, "127.0.0.1", 0, limit=_MAX_OCTETS, backlog=100
            )
            self.port = server.sockets[0].getsockname()[1]
        except OSError as error:
            self._trouble = error
            return
        finally:
            self._started.set()
        await self._ending.wait()
        server.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError)
        with contextlib.suppress(*gone), contextlib.closing(writer):
            writer.write(b"220 inbox.example ESMTP\r\n")
            transaction = _Transaction()
            while line := await reader.readline():
                verb = line[:4].strip().upper()
                if verb == b"DATA" and transaction.recipients:
                    writer.write(b"354 go on\r\n")
                    self._take(transaction, _without_dots(await reader.readuntil(_END)))
                    writer.write(b"250 2.0.0 taken\r\n")
                    transaction = _Transaction()
                    continue
                if verb in {b"MAIL", b"RSET", b"EHLO", b"HELO"}:
                    transaction = _Transaction()
                writer.write(_answer(verb, line, transaction))
                if verb == b"QUIT":
                    break
                await writer.drain()

    def _take(self, transaction: _Transaction, content: bytes) -> None:
        file = self._folder / f"{len(self.received) + 1:04}.eml"
        file.write_bytes(content)
        self.received.append(Received(tuple(transaction.recipients), content, file))


def _answer(verb: bytes, line: bytes, transaction: _Transaction) -> bytes:
    """The reply to every command but a DATA that content follows."""
    match verb:
        case b"EHLO":
            lines = ("inbox.example", *_EXTENSIONS)
            marks = ["-"] * (len(lines) - 1) + [" "]
            return "".join(
                f"250{m}{text}\r\n" for m, text in zip(marks, lines, strict=True)
            ).encode()
        case b"RCPT":
            path = _PATH.search(line)
            if not path or not path.group(1):
                return b"501 5.1.3 no address\r\n"
            transaction.recipients.append(path.group(1).decode(errors="replace"))
            return b"250 2.1.5 ok\r\n"
        case b"HELO" | b"MAIL" | b"RSET" | b"NOOP":
            return b"250 2.0.0 ok\r\n"
        case b"QUIT":
            return b"221 2.0.0 bye\r\n"
        case b"DATA":
            return b"503 5.5.1 no recipients\r\n"
        case _:
            return b"502 5.5.2 unknown\r\n"


def _without_dots(content: bytes) -> bytes:
    """The content as it was before transport (RFC 5321 §4.5.2)."""
    body = content[: -len(b".\r\n")]
    return body.removeprefix(b".").replace(b"\r\n..", b"\r\n.")
