"""A raw SMTP client for tests: says exactly the octets it is told, reads replies one by one."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from support.patience import PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply, `lines` without code and line end."""

    code: int
    lines: tuple[str, ...]

    @property
    def enhanced(self) -> str:
        word = self.lines[-1].partition(" ")[0]
        return word if word.count(".") == 2 and word.replace(".", "").isdigit() else ""

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def status(self) -> str:
        """`550 5.7.1`: what a test compares."""
        return f"{self.code} {self.enhanced}".strip()


class Talk:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, octets: bytes) -> None:
        self._writer.write(octets)
        await self._writer.drain()

    async def answer(self) -> Answer:
        lines: list[str] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                raw = await self._reader.readuntil(b"\r\n")
                lines.append(raw[4:-2].decode())
                if raw[3:4] == b" ":
                    return Answer(int(raw[:3]), tuple(lines))

    async def answers(self, count: int) -> list[Answer]:
        return [await self.answer() for _ in range(count)]

    async def say(self, *lines: str | bytes) -> Answer:
        """Send the lines in one write and read a reply for each; the last one."""
        await self.send(b"".join(_octets(line) + b"\r\n" for line in lines))
        return (await self.answers(len(lines)))[-1]

    async def mail(
        self, content: bytes, *recipients: str, mail_from: str = "a@acme.example"
    ) -> Answer:
        """One transaction with `content` as it goes over the wire, without the final dot."""
        await self.say(f"MAIL FROM:<{mail_from}>", *(f"RCPT TO:<{r}>" for r in recipients))
        assert (await self.say("DATA")).code == 354
        await self.send(content + b".\r\n")
        return await self.answer()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        assert (await self.say("STARTTLS")).code == 220
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._writer.start_tls(context, server_hostname="localhost")

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""

    def end(self) -> None:
        """Half-close: nothing more is said."""
        self._writer.write_eof()

    def abort(self) -> None:
        """Vanish: the server sees a reset, not an end."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await self._writer.wait_closed()


@asynccontextmanager
async def connected(
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    greet: bool = True,
    host: str = "127.0.0.1",
    source: str = "",
) -> AsyncIterator[Talk]:
    """A connection, closed at the end; the greeting and EHLO are done unless `greet` is off."""
    reader, writer = await asyncio.open_connection(
        host,
        port,
        ssl=tls,
        server_hostname="localhost" if tls else None,
        local_addr=(source, 0) if source else None,
        limit=1 << 20,
    )
    talk = Talk(reader, writer)
    try:
        if greet:
            assert (await talk.answer()).code == 220
            assert (await talk.say("EHLO client.example")).code == 250
        yield talk
    finally:
        await talk.close()


async def until(holds: Callable[[], object]) -> None:
    """Wait for what the other side does in its own time."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110  the other side gives no sign to wait for
            await asyncio.sleep(0.01)


def _octets(line: str | bytes) -> bytes:
    return line.encode() if isinstance(line, str) else line
