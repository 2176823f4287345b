"""Our own generator, for what smtp-source cannot do: recipients at random, and texts that differ.

    python bench/crowd.py PORT FILE COUNT    so many messages, each with a greeting of its own

Kept connections, 20 at most; the envelope of a message leaves in one write.

*Fails:* `RuntimeError` where the server refuses or hangs up.
"""

import asyncio
import sys
from pathlib import Path

import uvloop

SESSIONS = 20
PLACE = b"n=C2=BA 1."  # in the mails of `traffic.write_mail`


class Session(asyncio.Protocol):
    """One kept connection; `more` yields messages as (envelope, content)."""

    def __init__(self, more, over):
        self._more, self._over, self._content = more, over, b""
        self._buffer, self._step = b"", "greeting"

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        *lines, self._buffer = (self._buffer + data).split(b"\r\n")
        for line in lines:
            if line[:1] not in b"23":
                self._fail(line)
            elif line[3:4] != b"-":
                self._heard(line)

    def _heard(self, line):
        if self._step == "greeting":
            self._step = "hello"
            self._transport.write(b"EHLO crowd.example\r\n")
        elif line.startswith(b"354"):
            self._step = "dot"
            self._transport.write(self._content)
        elif self._step in {"hello", "dot"}:
            self._step = "envelope"
            envelope, self._content = next(self._more, (b"", b""))
            if not envelope:
                self._over.set_result(None)
                self._transport.close()
            else:
                self._transport.write(envelope)

    def _fail(self, line):
        if not self._over.done():
            self._over.set_exception(RuntimeError(f"the server said {line!r}"))

    def connection_lost(self, _error):
        if not self._over.done():
            self._over.set_exception(RuntimeError("the server closed a connection"))


async def give(port, messages):
    """Sends `messages`, each an envelope and a content, on as many connections as are of use."""
    loop, more = asyncio.get_running_loop(), iter(messages)
    ends = []
    for _ in range(min(SESSIONS, len(messages))):
        ends.append(over := loop.create_future())
        await loop.create_connection(lambda over=over: Session(more, over), "127.0.0.1", port)
    await asyncio.gather(*ends)


def personal(path, count):
    """So many messages of the file at `path`, each to one recipient and with a text of its own."""
    content = path.read_bytes().replace(b"\n", b"\r\n") + b".\r\n"
    for number in range(count):
        envelope = (
            b"MAIL FROM:<news@acme.example>\r\nRCPT TO:<%dreader@lists.example>\r\nDATA\r\n"
            % number
        )
        yield envelope, content.replace(PLACE, b"Hello, reader %d." % number)


if __name__ == "__main__":
    uvloop.run(give(int(sys.argv[1]), list(personal(Path(sys.argv[2]), int(sys.argv[3])))))
