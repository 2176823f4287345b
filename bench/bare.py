"""What the sink takes at most: a client that only pipelines ready-made copies at it.

    python bench/bare.py PORT COPIES FILE

Ten connections; as RFC 2920 allows, the content of one copy leaves in one write with MAIL, RCPT
and DATA of the next. Nothing is composed, read from a store, or written down. Prints seconds.
"""

import asyncio
import sys
import time
from pathlib import Path

import uvloop

CONNECTIONS = 10
ENVELOPE = b"MAIL FROM:<news@acme.example>\r\nRCPT TO:<%dreader@lists.example>\r\nDATA\r\n"


class Load:
    """The copies that all connections share."""

    def __init__(self, copies, content):
        self.left = self.unanswered = copies
        self.content = content
        self.done = asyncio.get_running_loop().create_future()

    def next_envelope(self):
        if not self.left:
            return b""
        self.left -= 1
        return ENVELOPE % self.left


class Connection(asyncio.Protocol):
    """One connection. The sink's replies are counted, and looked at only for refusals."""

    def __init__(self, load):
        self._load = load
        self._awaited = [1, 1]  # replies to the greeting and HELO
        self._buffer = b""
        self._sending = False

    def connection_made(self, transport):
        self._transport = transport

    def connection_lost(self, _error):
        if not self._load.done.done():
            self._load.done.set_exception(RuntimeError("the sink closed a connection"))

    def data_received(self, data):
        lines = (self._buffer + data).split(b"\r\n")
        self._buffer = lines.pop()
        for line in lines:
            if line[:1] not in b"23":
                self._load.done.set_exception(RuntimeError(f"the sink said {line!r}"))
            elif line.startswith(b"354"):
                envelope = self._load.next_envelope()
                self._transport.write(self._load.content + envelope)
                self._sending = True
            elif self._awaited:
                self._awaited.pop()
                said = b"HELO bare.example.org\r\n" if self._awaited else self._load.next_envelope()
                self._transport.write(said)
            elif self._sending:  # the first reply behind 354 is the copy's
                self._sending = False
                self._load.unanswered -= 1
                if not self._load.unanswered:
                    self._load.done.set_result(None)


async def main(port, copies, content):
    loop = asyncio.get_running_loop()
    load = Load(copies, content)
    begun = time.perf_counter()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", port)
    await load.done
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    text = Path(sys.argv[3]).read_bytes().replace(b"\n", b"\r\n").replace(b"\r\n.", b"\r\n..")
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), text + b".\r\n"))
