"""One-click withdrawals per second beside a bare uvicorn, and how long one waits at half load.

    make bench                       three rounds
    python bench/clicks.py --quick   one short round

The same client on 32 kept connections posts to both in turns: to `gatepost serve`, a different
person's link each time, answered only when the withdrawal is on disk; and to a uvicorn whose
application says "hello" and does nothing else. Then as many requests as half of what Gatepost took
are sent at fixed times, and each is timed from when it was due.

*Fails:* exit status 1, if an answer is not 200.
*Known limits:* client and server share the machine's cores.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httptools
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from contenders import Gatepost
from report import put_section

from gatepost.app.wiring import ring_of
from gatepost.consent.tokens import Claim, Purpose, stream_tag
from gatepost.mail.address import parse
from gatepost.store import people
from support.postfix import free_port

CONNECTIONS = 32
WARMING = 100
HEADING = "## Withdrawals by one click"
GOAL_RATIO, GOAL_P99_MS = 0.4, 50
BODY = b"List-Unsubscribe=One-Click"


async def hello(scope, receive, send):
    """The peer's whole application."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


class Connection(asyncio.Protocol):
    """One kept connection: posts what `more()` gives, one request after the other."""

    def __init__(self, client):
        self._client = client
        self._parser = httptools.HttpResponseParser(self)
        self._due = None

    def connection_made(self, transport):
        self.transport = transport
        self._client.free.append(self)
        self._client.feed()

    def post(self, due, path):
        self._due = due
        self.transport.write(
            b"POST %b HTTP/1.1\r\nHost: mail.example.org\r\nUser-Agent: client/1.0\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (path, len(BODY), BODY)
        )

    def data_received(self, data):
        self._parser.feed_data(data)

    def on_message_complete(self):
        self._client.answered(self, self._parser.get_status_code(), time.perf_counter() - self._due)

    def connection_lost(self, _error):
        self._client.lost(self._due is not None)


class Client:
    """Posts every path once; with `rate` at fixed times, else as fast as answers come."""

    def __init__(self, paths, rate):
        self._paths, self._rate = deque(paths), rate
        self._left = len(paths)
        self._due = deque()
        self._alarm = None
        self.free, self.waits, self.wrong = deque(), [], 0
        self.done = asyncio.get_running_loop().create_future()

    async def run(self, port):
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Connection(self), "127.0.0.1", port)
        begun = time.perf_counter()
        self._due.extend(
            begun + number / self._rate if self._rate else begun for number in range(self._left)
        )
        self.feed()
        await self.done
        return {
            "seconds": time.perf_counter() - begun,
            "waits": self.waits if self._rate else [],
            "wrong": self.wrong,
        }

    def feed(self):
        while self.free and self._due:
            now, due = time.perf_counter(), self._due[0]
            if self._rate and due > now:
                if self._alarm is None:  # one is enough, however many answers come meanwhile
                    loop = asyncio.get_running_loop()
                    self._alarm = loop.call_later(due - now, self._wake)
                return
            self._due.popleft()
            self.free.popleft().post(due if self._rate else now, self._paths.popleft())

    def _wake(self):
        self._alarm = None
        self.feed()

    def answered(self, connection, status, wait):
        self.waits.append(round(wait, 5))
        self.wrong += status != 200
        self._left -= 1
        self.free.append(connection)
        if not self._left:
            self.done.set_result(None)
        self.feed()

    def lost(self, waiting):
        if waiting and not self.done.done():
            self.done.set_exception(RuntimeError("the server closed a connection"))


def click(port, paths, rate=0):
    """Runs the client in a process of its own; its account."""
    command = [sys.executable, __file__, "--client", str(port), str(rate)]
    outcome = subprocess.run(
        command, input="\n".join(paths), capture_output=True, text=True, timeout=300, check=False
    )
    if outcome.returncode:
        sys.exit(f"this run does not count: {outcome.stderr}")
    account = json.loads(outcome.stdout)
    if account["wrong"]:
        sys.exit(f"this run does not count: {account['wrong']} answers were not 200")
    return account


@contextmanager
def bare_uvicorn():
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "clicks:hello", "--port", str(port), "--loop", "uvloop",
         "--http", "httptools", "--no-access-log", "--log-level", "warning", "--lifespan", "off"],
        cwd=Path(__file__).parent,
    )  # fmt: skip
    try:
        for _ in range(200):
            try:
                click(port, ["/"])
                break
            except SystemExit:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def links(gatepost, count):
    """One unsubscribe path for each of so many people."""
    with gatepost.store() as store:
        ring = ring_of(store.keys)
        persons = store.read_now(
            lambda tx: people.look_up(
                tx,
                [parse(gatepost.person(number)) for number in range(count)],
                "newsletter",
                "acme",
            )
        )
    tag = stream_tag("newsletter")
    return [
        "/u/" + ring.seal(Purpose.UNSUBSCRIBE, Claim(person.subject, tag, number + 1))
        for number, person in enumerate(persons.values())
    ]


@dataclass(frozen=True)
class Figures:
    """What `section` tells. Rates are per second, waits in milliseconds."""

    rounds: int
    rate: float
    peer_rate: float
    wait_median: float
    wait_p99: float
    cpu: float  # microseconds on the processor for one withdrawal
    load: float

    @property
    def ratio(self):
        return self.rate / self.peer_rate


def measure(rounds, count):
    """Rates of both in turns, then the waits at half of Gatepost's."""
    load = os.getloadavg()[0]
    people_count = (rounds + 1) * count + WARMING
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatepost-bench-")))
        gatepost = stack.enter_context(
            Gatepost(
                folder / "gatepost",
                free_port(),  # where no mail is ever sent
                recipient="reader@lists.example",
                people=people_count,
            )
        )
        bare = stack.enter_context(bare_uvicorn())
        paths = deque(links(gatepost, people_count))

        def some(number):
            return [paths.popleft() for _ in range(number)]

        click(gatepost.http_port, some(WARMING))
        ours, theirs = [], []
        begun_cpu = gatepost.tree.cpu_seconds()
        for _ in range(rounds):
            theirs.append(count / click(bare, ["/hello"] * count)["seconds"])
            ours.append(count / click(gatepost.http_port, some(count))["seconds"])
            print(f"  Gatepost {ours[-1]:8.0f}/s   bare uvicorn {theirs[-1]:8.0f}/s", flush=True)
        cpu = (gatepost.tree.cpu_seconds() - begun_cpu) / (rounds * count)
        rate = statistics.median(ours)
        waits = sorted(click(gatepost.http_port, some(count), rate / 2)["waits"])
    return Figures(
        rounds=rounds,
        rate=rate,
        peer_rate=statistics.median(theirs),
        wait_median=1000 * waits[len(waits) // 2],
        wait_p99=1000 * waits[len(waits) * 99 // 100],
        cpu=1e6 * cpu,
        load=load,
    )


def section(one):
    """For the page of results."""
    return f"""{HEADING}

Written by `bench/clicks.py` on {datetime.now(UTC):%Y-%m-%d}; medians of {one.rounds} alternating \
round{"s" if one.rounds > 1 else ""}, load before the run {one.load:.1f}.

| {CONNECTIONS} kept connections | Gatepost | bare uvicorn | ratio | goal |
| --- | ---: | ---: | ---: | ---: |
| withdrawals per second, committed to disk | {one.rate:,.0f} | {one.peer_rate:,.0f} \
| **{one.ratio:.2f}** | {GOAL_RATIO} |
| wait at half load, median, ms | {one.wait_median:.1f} | | | |
| wait at half load, p99, ms | **{one.wait_p99:.1f}** | | | {GOAL_P99_MS} |
| processor time of one, µs | {one.cpu:.0f} | | | |

Both answer the same client on the same machine. Gatepost withdraws a different person's consent
with each request, and answers when that is on disk; the peer says "hello" and does nothing else.
"""


def main(*, quick=False):
    """Measures, prints, and writes its part of the results."""
    text = section(measure(1, 5000) if quick else measure(3, 15000))
    print("\n".join(line for line in text.splitlines() if line.startswith("|")))
    put_section(HEADING, text)


def run_client(port, rate):
    """The client's process: paths on standard input, its account on standard output."""
    paths = [path.encode() for path in sys.stdin.read().split()]

    async def run():
        return await Client(paths, rate).run(port)

    print(json.dumps(uvloop.run(run())))


def _options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--client", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    if options.client:
        run_client(int(options.client[0]), float(options.client[1]))
    else:
        tempfile.tempdir = "/var/tmp"  # on disk, where /tmp may be memory
        main(quick=options.quick)
