"""A pooler as it stands in front of a managed PostgreSQL: TLS ends there, in records of its size.

with TlsFront(5432, certificate, key) as front:
    front.port   # whatever the server says at once goes on in records of 16 KB, the last one less

PostgreSQL itself cuts what it says into 8 KB.
"""

import asyncio
import contextlib

from support.between import Between
from support.certificates import server_context

_TOGETHER_SECONDS = 0.01  # what follows within that was said at once


class TlsFront(Between):
    """Takes TLS off."""

    def __init__(self, target, certificate, key):
        super().__init__(target)
        self._context = server_context(certificate, key)

    async def _serve(self, reader, writer):
        await reader.readexactly(8)  # SSLRequest
        writer.write(b"S")
        await writer.start_tls(self._context)
        there, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pass_on(reader, to_server), self._join(there, writer))

    async def _pass_on(self, reader, writer):
        while octets := await reader.read(65536):
            writer.write(octets)
        writer.close()

    async def _join(self, reader, writer):
        while octets := await reader.read(1 << 20):
            with contextlib.suppress(TimeoutError):
                while more := await asyncio.wait_for(reader.read(1 << 20), _TOGETHER_SECONDS):
                    octets += more
            writer.write(octets)
            await writer.drain()
        writer.close()
