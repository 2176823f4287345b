"""The time that Gatepost adds to one transactional message.

    make bench                         with all the rest
    python bench/latency.py --quick    a few seconds

A client sends one message of 4 KB after the other at fixed times, each on a connection of its own:
through Gatepost, and straight to the sink. A message took from when it was due to be sent until
the sink answered its final dot with 250; what Gatepost adds is the difference at the same
percentile. The rate is a quarter of what Gatepost takes of such messages at full load, which is
measured first. The sink is one of our own, because each message must be told from the others.

*Known limits:* client, Gatepost and sink share the machine's cores.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from contenders import Gatepost
from machine import sync_times
from report import put_section
from traffic import RECIPIENT, write_mail

from support.ports import free_port

SENDER = "receipts@acme.example"
SESSIONS = 20  # at full load
HEADING = "## Time added to one message"
GOAL_MS = 10  # at the 99th percentile, beside one sync of the disk


# --- the sink: one process ---------------------------------------------------------------


class Taking(asyncio.Protocol):
    """Takes a copy, and notes when it answered the final dot, by the recipient's local part."""

    def __init__(self, taken):
        self._taken, self._buffer, self._recipient = taken, b"", b""
        self._in_data = False

    def connection_made(self, transport):
        self._transport = transport
        transport.write(b"220 sink.example ESMTP\r\n")

    def data_received(self, data):
        self._buffer += data
        while True:
            if self._in_data:
                end = self._buffer.find(b"\r\n.\r\n")
                if end < 0:
                    return
                self._buffer, self._in_data = self._buffer[end + 5 :], False
                self._transport.write(b"250 2.0.0 taken\r\n")
                self._taken(self._recipient, time.monotonic())
                continue
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                return
            self._buffer = rest
            self._transport.write(self._answer(line))

    def _answer(self, line):
        verb = line[:4].upper()
        if verb == b"EHLO":
            return (
                b"250-sink.example\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n"
            )
        if verb == b"RCPT":
            self._recipient = line[line.index(b"<") + 1 : line.index(b"@")]
        elif verb == b"DATA":
            self._in_data = True
            return b"354 go on\r\n"
        elif verb == b"QUIT":
            return b"221 2.0.0 bye\r\n"
        return b"250 2.0.0 ok\r\n"


async def serve_sink(port):
    """Prints `NAME TIME` of each copy taken."""
    out = os.fdopen(1, "wb", buffering=1 << 12)
    loop = asyncio.get_running_loop()

    def taken(name, at):
        out.write(b"%b %.6f\n" % (name, at))
        loop.call_later(0.05, out.flush)

    server = await loop.create_server(lambda: Taking(taken), "127.0.0.1", port)
    await server.serve_forever()


@contextmanager
def own_sink():
    """The sink in a process of its own: its port, and a function that tells what it took."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, __file__, "--sink", str(port)], stdout=subprocess.PIPE
    )
    taken = {}

    def read():
        for line in process.stdout:
            name, at = line.split()
            taken[name.decode()] = float(at)

    threading.Thread(target=read, daemon=True).start()  # a full pipe would hold up the sink
    try:
        yield port, lambda: dict(taken)
    finally:
        process.terminate()
        process.wait()


# --- the client: one message on one connection -------------------------------------------


class Giving(asyncio.Protocol):
    """Gives one message, a command at a time; `done` says so."""

    def __init__(self, name, content, done):
        self._done, self._buffer = done, b""
        self._said = iter((
            b"EHLO client.example\r\n",
            b"MAIL FROM:<%b>\r\n" % SENDER.encode(),
            b"RCPT TO:<%b@lists.example>\r\n" % name.encode(),
            b"DATA\r\n",
            content,
            b"QUIT\r\n",
        ))  # fmt: skip

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._buffer += data
        while b"\r\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            if line[3:4] == b"-":
                continue
            if line[:1] not in b"23":
                raise RuntimeError(f"the server said {line!r}")
            said = next(self._said, None)
            if said is None:
                self._transport.close()
            else:
                self._transport.write(said)

    def connection_lost(self, _error):
        if not self._done.done():
            self._done.set_result(None)


async def give(port, names, content, rate=0):
    """Sends a message for each name: at fixed times, or as fast as they go. When each was due."""
    loop = asyncio.get_running_loop()
    due, turns = {}, asyncio.Semaphore(SESSIONS)

    async def one(name):
        over = loop.create_future()
        await loop.create_connection(lambda: Giving(name, content, over), "127.0.0.1", port)
        await over

    async def in_turn(name):
        async with turns:
            await one(name)

    begun = time.monotonic() + 0.1
    tasks = []
    for number, name in enumerate(names):
        if rate:
            due[name] = begun + number / rate
            await asyncio.sleep(max(0.0, due[name] - time.monotonic()))
            tasks.append(loop.create_task(one(name)))
        else:
            tasks.append(loop.create_task(in_turn(name)))
    await asyncio.gather(*tasks)
    return due


# --- the measurement ---------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """Times in milliseconds, as (median, 99th percentile)."""

    rate: float
    direct: tuple[float, float]
    through: tuple[float, float]
    sync: tuple[float, float]
    messages: int
    workers: int

    @property
    def added(self):
        return tuple(b - a for a, b in zip(self.direct, self.through, strict=True))


def measure(seconds, workers):
    """Full load for a while, then a quarter of it through Gatepost and without."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatepost-bench-")))
        sync = sync_times(folder)
        mail = write_mail(folder / "mail", SENDER).read_bytes().replace(b"\n", b"\r\n") + b".\r\n"
        sink_port, look = stack.enter_context(own_sink())
        gatepost = stack.enter_context(
            Gatepost(folder / "gatepost", sink_port, recipient=RECIPIENT, people=1, workers=workers)
        )

        def wait_for(names):
            deadline = time.monotonic() + 60
            while not look().keys() >= set(names):
                if time.monotonic() > deadline:
                    sys.exit("this run does not count: copies are missing")
                time.sleep(0.02)

        uvloop.run(give(gatepost.port, warm := _names("warm", 300), mail))
        wait_for(warm)
        full, begun = _names("full", int(400 * seconds)), time.monotonic()
        uvloop.run(give(gatepost.port, full, mail))
        wait_for(full)
        rate = len(full) / (max(look()[name] for name in full) - begun) / 4
        times = {}
        for title, port in (("direct", sink_port), ("through", gatepost.port)):
            names = _names(title, int(rate * seconds))
            due = uvloop.run(give(port, names, mail, rate))
            wait_for(names)
            times[title] = [1000 * (look()[name] - due[name]) for name in names]
    return Figures(
        rate=rate,
        direct=_percentiles(times["direct"]),
        through=_percentiles(times["through"]),
        sync=_percentiles([1000 * one for one in sync]),
        messages=len(times["through"]),
        workers=workers,
    )


def _names(title, count):
    return [f"{title}{number}" for number in range(count)]


def _percentiles(values):
    values = sorted(values)
    return statistics.median(values), values[len(values) * 99 // 100]


def section(one):
    """For the page of results."""
    return f"""{HEADING}

Written by `bench/latency.py` on {datetime.now(UTC):%Y-%m-%d}: {one.messages:,} transactional \
messages of 4 KB, each on a
connection of its own, {one.rate:.0f} a second (a quarter of full load, {one.workers} \
processes). From when
a message was due until the sink answered its final dot:

| ms | median | p99 |
| --- | ---: | ---: |
| straight to the sink | {one.direct[0]:.2f} | {one.direct[1]:.2f} |
| through Gatepost | {one.through[0]:.2f} | {one.through[1]:.2f} |
| added | {one.added[0]:.2f} | **{one.added[1]:.2f}** |
| one small write with fdatasync | {one.sync[0]:.2f} | {one.sync[1]:.2f} |
| goal: {GOAL_MS} ms and the median of such a write | | {GOAL_MS + one.sync[0]:.2f} |
"""


def main(*, quick=False, workers=2):
    """Measures, prints, and writes its part of the results."""
    text = section(measure(4 if quick else 15, workers))
    print("\n".join(line for line in text.splitlines() if line.startswith("|")))
    put_section(HEADING, text)


def _options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few seconds")
    parser.add_argument("--workers", type=int, default=2, help="processes of Gatepost")
    parser.add_argument("--sink", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    if options.sink:
        uvloop.run(serve_sink(options.sink))
    else:
        tempfile.tempdir = "/var/tmp"  # on disk, where /tmp may be memory
        main(quick=options.quick, workers=options.workers)
