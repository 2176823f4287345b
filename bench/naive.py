"""aiosmtpd and aiosmtplib, joined as the examples of both would join them: the naive relay.

    python bench/naive.py PORT SINK_PORT

Each session hands over on a client of its own, which is kept while the session lasts: one
transaction for each recipient, and only then the answer to DATA. Nothing is checked, changed
or written to disk.
"""

import asyncio
import sys

import aiosmtplib
import uvloop
from aiosmtpd.smtp import SMTP


class Forward:
    """The handler of one connection."""

    def __init__(self, sink_port):
        self._sink_port = sink_port
        self._client = None

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802  aiosmtpd's name
        if self._client is None:
            client = aiosmtplib.SMTP(
                hostname="127.0.0.1",
                port=self._sink_port,
                start_tls=False,
                local_hostname="naive.example.org",
            )
            await client.connect()
            self._client = client
        for recipient in envelope.rcpt_tos:
            await self._client.sendmail(envelope.mail_from, recipient, envelope.content)
        return "250 2.0.0 taken"

    def close(self):
        if self._client:
            self._client.close()


class Session(SMTP):
    """Closes the client when the session is over."""

    def connection_lost(self, error):
        super().connection_lost(error)
        self.event_handler.close()


async def serve(port, sink_port):
    loop = asyncio.get_running_loop()

    def session():
        return Session(Forward(sink_port), hostname="naive.example.org", enable_SMTPUTF8=True)

    server = await loop.create_server(session, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
