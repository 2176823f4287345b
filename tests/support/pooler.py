"""A pooler in front of a PostgreSQL: clients borrow its connections.

with Pooler(server.port, by="transaction") as pooler:   # or "session"
    pooler.port
    pooler.lose_server()    # the next BEGIN is done, but for the end of its answer

By transaction, a client has a connection from its first word until the server says that no
transaction is open; then the next one gets it, the last that was given back first. By session it
keeps it. The number that it tells a client is not the backend's, and what the server says unasked
waits for the next question.
"""

import asyncio
import contextlib
import struct
import threading

from support.between import Between

_READY_IDLE = b"Z\0\0\0\5I"


class Pooler(Between):
    """Lends connections to `target`."""

    def __init__(self, target, *, by):
        super().__init__(target)
        self._by_session = by == "session"
        self._idle = []
        self._losing = threading.Event()

    def lose_server(self):
        self._losing.set()

    async def _serve(self, reader, writer):
        backend = None
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            while (start := await _start(reader))[4:8] == struct.pack("!HH", 1234, 5679):
                writer.write(b"N")  # no TLS
            backend = await self._borrow(start)
            writer.write(backend.greeting)
            while True:
                kind, message = await _message(reader)
                if kind == b"X":
                    break
                if self._losing.is_set() and message.startswith(b"BEGIN", 5):
                    self._losing.clear()
                    writer.write(b"C\0\0\0\x0aBEGIN\0" + _fatal("08P01", "server conn crashed?"))
                    break
                backend = backend or await self._borrow(start)
                backend.writer.write(message)
                if kind in b"QS":  # what is answered to its end
                    while not (answer := (await _message(backend.reader))[1]).startswith(b"Z"):
                        writer.write(answer)
                    writer.write(answer)
                    if answer == _READY_IDLE and not self._by_session:
                        self._idle.append(backend)
                        backend = None
        if backend:
            backend.writer.close()
        writer.close()

    async def _borrow(self, start):
        """A connection of our own, made with what a client said first."""
        if self._idle:
            return self._idle.pop()
        backend = _Backend()
        backend.reader, backend.writer = await asyncio.open_connection("127.0.0.1", self._target)
        backend.writer.write(start)
        while not backend.greeting.endswith(_READY_IDLE):
            kind, message = await _message(backend.reader)
            if kind == b"K":
                message = message[:5] + struct.pack("!II", 4711, 4711)
            backend.greeting += message
        return backend


def _fatal(code, words):
    fields = b"".join(f"{key}{value}\0".encode() for key, value in
                      {"S": "FATAL", "V": "FATAL", "C": code, "M": words}.items()) + b"\0"  # fmt: skip
    return b"E" + struct.pack("!I", 4 + len(fields)) + fields


class _Backend:
    greeting = b""


async def _start(reader):
    length = await reader.readexactly(4)
    return length + await reader.readexactly(struct.unpack("!I", length)[0] - 4)


async def _message(reader):
    head = await reader.readexactly(5)
    return head[:1], head + await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
