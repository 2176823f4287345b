"""Another system over https: a real server that answers as it is told, and keeps what it heard.

async with listening(tmp_path) as there:
    there.url, there.authority, there.heard; there.answers = [503, 200]
"""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from support.certificates import make_certificate, server_context
from support.patience import PATIENCE_SECONDS


@dataclass
class Heard:
    """One request."""

    path: str
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Listening:
    """The system. `answers` are used up one by one, the last one for ever.

    An answer is a status, or a coroutine function that gets the writer.
    """

    port: int = 0
    authority: object = None
    answers: list = field(default_factory=lambda: [200])
    heard: list = field(default_factory=list)
    answer_for: object = None  # a function of the request, in place of `answers`
    connections: int = 0
    open: set = field(default_factory=set)

    @property
    def url(self):
        return f"https://localhost:{self.port}/hook"

    async def ended(self):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.open:  # noqa: ASYNC110  each notices by itself
                await asyncio.sleep(0.005)

    async def end(self):
        """Closes all lines, those that are being opened, too."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.open:
                for writer in self.open:
                    writer.close()
                await asyncio.sleep(0.005)

    async def serve(self, reader, writer):
        self.connections += 1
        self.open.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):  # also what TLS says of an end
                while await self.serve_one(reader, writer):
                    pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def serve_one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        raw = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in head[1:] if line}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        heard = Heard(head[0].split()[1], raw, body)
        self.heard.append(heard)
        if self.answer_for is not None:
            answer = self.answer_for(heard)
        else:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not isinstance(answer, int):
            await answer(writer)
            return False
        writer.write(f"HTTP/1.1 {answer} X\r\nContent-Length: 2\r\n\r\nok".encode())
        await writer.drain()
        return True


@asynccontextmanager
async def listening(folder, *names, port=0, days=30):
    """Open on loopback until the end of the block, with a certificate for `names`."""
    certificate, key = make_certificate(folder, *(names or ("localhost",)), days=days)
    there = Listening(authority=certificate)
    server = await asyncio.start_server(
        there.serve, "127.0.0.1", port, ssl=server_context(certificate, key)
    )
    there.port = server.sockets[0].getsockname()[1]
    try:
        yield there
    finally:
        server.close()
        await there.end()
