"""Mail as store and queue grow: a gateway with a full store beside one with an empty store.

    make bench-growth                  10 million people, 50 million events, 1 million queued;
                                       half an hour, most of it for filling
    python bench/growth.py --people 1000000 --queued 100000
    python bench/growth.py --keep DIR  fills the stores in DIR, or finds them filled there

Two gateways with embedded stores get the same mail in turns: of one, the store holds 20,000 people
and an empty queue; of the other, as many as asked for, with five events each, and a queue of
recipients whose upstream is away. Compared are copies per second, and CPU seconds per 1,000 copies;
what each costs while nothing arrives; and a run of retention, with the longest time that a message
waits for its answer meanwhile.

Whom the mail goes to decides what a large store costs, so that is measured three times: to people
at random with all that decisions read in the file system's cache; to the same 20,000 again and
again; and to people at random with nothing in the cache, when each is read from the disk.

The largest needs some 30 GB of disk for as long as it runs, and none afterwards unless kept.

*Known limits:* our own generator, in Python, takes part of the machine from both alike.
"""

import argparse
import os
import random
import smtplib
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import filling
from contenders import Gatepost
from crowd import give
from report import put_section
from traffic import Sink, write_mail

from gatepost.store import looks
from gatepost.store.engine import DATABASE
from gatepost.store.spool import queue
from support.postfix import free_port
from support.shift import Shift

AUTHOR = "news@acme.example"
SMALL = 20_000
EACH = 5  # events of one person
BATCH = 1000  # recipients of one message
IDLE_SECONDS = 10
COMMAND_SECONDS = 1800
GOAL = 0.5  # of the rate with an empty store
HEADING = "## Mail as store and queue grow"
AWAY = """
[upstreams.away]
port = {port}
"""
# What decisions read: people by hash, their rows, their standings.
READ = (
    "SELECT count(*) FROM subject INDEXED BY sqlite_autoindex_subject_1 WHERE address_hash > x''",
    "SELECT max(created_ms) FROM subject",
    "SELECT sum(length(state)) FROM standing",
)


class Grown(Gatepost):
    """A gateway whose store was filled; its second upstream is away."""

    def __init__(self, folder, sink_port, people, workers):
        super().__init__(
            folder,
            sink_port,
            recipient="",
            people=people,
            workers=workers,
            more=AWAY.format(port=free_port()),
        )
        self.people = people

    def fill_ledger(self):
        if self.filled.exists():
            return
        with self.store():  # makes schema and keys
            pass
        seconds = filling.fill(self, self.people, each=EACH)
        self.filled.touch()
        print(f"  filled with {self.people:,} people in {seconds:.0f} s", flush=True)

    @property
    def filled(self):
        return self.folder / "filled"

    @property
    def database(self):
        return self.folder / "data" / DATABASE

    def queue(self, chance, content, count):
        """Newsletters for an upstream that is away, until so many recipients wait for it.

        To be called before it is started; later newsletters go to the upstream that is there.
        """
        missing = count - self._waiting()
        if missing <= 0:
            return
        config = self.folder / "config.toml"
        before = config.read_text()
        stream = "[streams.newsletter]\n"
        config.write_text(before.replace(stream, f'{stream}upstream = "away"\n'))
        begun = time.monotonic()
        with self:
            mail = envelopes(self, chance, range(self.people), -(-missing // BATCH), BATCH)
            uvloop.run(give(self.port, [(one, content) for one in mail]))
        config.write_text(before)
        print(f"  queued {missing:,} in {time.monotonic() - begun:.0f} s", flush=True)
        if self._waiting() < count:
            raise AssertionError("mail for the upstream that is away does not wait")

    def _waiting(self):
        """How many recipients are in the queue."""
        if not self.filled.exists():
            self.fill_ledger()
        with self.store() as store:
            return sum(store.read_now(queue.count_states).values())

    def warm(self):
        """Has what decisions read in the file system's cache.

        For each turn anew: a virtual machine may have its cache taken away while memory is free.
        """
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            for statement in READ:
                database.execute(statement).fetchall()

    def cool(self):
        """Has nothing of the store in the file system's cache."""
        with self.database.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def person(self, number):
        return filling.address(number)


def envelopes(gateway, chance, people, messages, recipients):
    """MAIL, RCPT and DATA of so many messages to some of these people, by their numbers."""

    def one():
        some = chance.sample(people, recipients)
        to = "".join(f"RCPT TO:<{gateway.person(number)}>\r\n" for number in some)
        return f"MAIL FROM:<{AUTHOR}>\r\n{to}DATA\r\n".encode()

    return [one() for _ in range(messages)]


# --- the measurement ---------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """What one turn came to."""

    rate: float  # copies per second
    cpu: float  # seconds for 1,000 copies
    read: float  # MiB from the disk for 1,000 copies


@dataclass(frozen=True)
class Chores:
    """What a gateway does of its own accord, and a run of retention beside the mail."""

    idle: float  # share of a core
    first: float  # seconds of a run of retention that looks at everybody ...
    again: float  # ... and of the next one
    wait: float  # the longest until a message was answered: seconds, without retention ...
    wait_meanwhile: float  # ... and during both runs


WORKS = {
    "one recipient per message": (3000, 1),
    "1,000 recipients per message": (10, BATCH),
}
EMPTY, AT_RANDOM, THE_SAME, COLD = "empty", "at random", "the same 20,000", "cold"


def measure(people, queued, rounds, workers, keep):
    """Turns by work and kind, the chores of both, and the size of the large store."""
    with ExitStack() as stack:
        made = keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="gatepost-growth-"))
        folder = Path(made)
        folder.mkdir(exist_ok=True)
        text = write_mail(folder / "mail", AUTHOR).read_bytes()
        content = text.replace(b"\n", b"\r\n") + b".\r\n"
        sink = stack.enter_context(Sink())
        chance = random.Random(time.time_ns())  # kept stores have met those of the last run
        small, large = (Grown(folder / str(n), sink.port, n, workers) for n in (SMALL, people))
        large.queue(chance, content, queued)
        for gateway in (small, large):
            stack.enter_context(gateway)
        kinds = {
            EMPTY: (small, range(SMALL)),
            AT_RANDOM: (large, range(people)),
            THE_SAME: (large, range(people // 2, people // 2 + SMALL)),
        }
        turns = {}
        for number in range(rounds + 1):
            for title, (messages, recipients) in WORKS.items():
                for kind in list(kinds)[:: 1 if number % 2 else -1]:
                    gateway, some = kinds[kind]
                    gateway.warm()
                    mail = envelopes(gateway, chance, some, messages, recipients)
                    turn = _turn(gateway, sink, mail, messages * recipients, content)
                    if number:  # the first only makes warm
                        _keep(turns, title, kind, turn)
        for title, (messages, recipients) in WORKS.items():
            mail = envelopes(large, chance, range(people), messages, recipients)
            large.cool()
            _keep(turns, title, COLD, _turn(large, sink, mail, messages * recipients, content))
        large.warm()
        chores = [_chores(gateway) for gateway in (small, large)]
        size = large.database.stat().st_size
    return turns, chores, size


def _keep(turns, title, kind, turn):
    turns.setdefault((title, kind), []).append(turn)
    print(
        f"  {title:32}{kind:>18}{turn.rate:8.0f}/s{turn.cpu:8.2f} s and{turn.read:6.1f} MiB"
        " from the disk per 1,000",
        flush=True,
    )


def _turn(gateway, sink, mail, copies, content):
    target, begun = sink.taken + copies, time.monotonic()
    cpu, read = gateway.tree.cpu_seconds(), gateway.tree.read_bytes()
    uvloop.run(give(gateway.port, [(one, content) for one in mail]))
    sink.wait_for(target)
    seconds = time.monotonic() - begun
    time.sleep(0.3)
    thousands = copies / 1000
    return Turn(
        copies / seconds,
        (gateway.tree.cpu_seconds() - cpu) / thousands,
        (gateway.tree.read_bytes() - read) / 2**20 / thousands,
    )


def _chores(gateway):
    time.sleep(3)
    cpu = gateway.tree.cpu_seconds()
    time.sleep(IDLE_SECONDS)
    idle = (gateway.tree.cpu_seconds() - cpu) / IDLE_SECONDS
    with LongestWait(gateway) as usual:
        time.sleep(IDLE_SECONDS)
    with gateway.store() as store:
        store.write_now(looks.begin_anew)
    with LongestWait(gateway) as meanwhile:
        seconds = [_retention(gateway) for _ in range(2)]
    chores = Chores(idle, *seconds, usual.seconds, meanwhile.seconds)
    print(f"  {gateway.people:,}: {chores}", flush=True)
    return chores


def _retention(gateway):
    begun = time.monotonic()
    gateway.run_command("retention", "run", seconds=COMMAND_SECONDS)
    return time.monotonic() - begun


class LongestWait(Shift):
    """Sends one message after the other while it is entered; `seconds` of the slowest answer."""

    def __init__(self, gateway):
        super().__init__([self._send])
        self._reader = gateway.person(7)
        self._client = smtplib.SMTP("127.0.0.1", gateway.port)
        self.seconds = 0.0

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self._client.quit()

    def _send(self):
        self.over.wait(0.02)
        begun = time.monotonic()
        self._client.sendmail(
            AUTHOR, [self._reader], f"From: {AUTHOR}\r\nSubject: Now and then\r\n\r\nHello.\r\n"
        )
        self.seconds = max(self.seconds, time.monotonic() - begun)


def section(measured, people, queued, workers, load):
    """For the page of results."""
    turns, (small, large), octets = measured
    rows = []
    for title in WORKS:
        empty = _medians(turns[title, EMPTY])
        cells = [f"{empty.rate:,.0f} ({empty.cpu:.2f})"]
        for kind in (AT_RANDOM, THE_SAME, COLD):
            turn = _medians(turns[title, kind])
            ratio, cost = turn.rate / empty.rate, empty.cpu / turn.cpu
            cells.append(f"{turn.rate:,.0f} ({turn.cpu:.2f}) **{ratio:.2f}** ({cost:.2f})")
        rows.append(f"| {title} | {' | '.join(cells)} |")
    cold, warm = (
        _medians(turns["1,000 recipients per message", kind]) for kind in (COLD, AT_RANDOM)
    )
    lines = "\n".join(rows)
    return f"""{HEADING}

Written by `bench/growth.py` on {datetime.now(UTC):%Y-%m-%d}, load before the run {load:.1f}; \
{workers} processes each.
The large store has {people:,} people, {people * EACH:,} events, {queued:,} recipients
queued for an upstream that is away, and {octets / 1e9:.1f} GB. Copies per second, in brackets \
CPU seconds
per 1,000 copies; then, as parts of those of the empty store, the rate and (what a CPU second
does). The goal is {GOAL}.

| | {SMALL:,} people, empty queue | large, people at random | large, the same {SMALL:,} people \
| large, at random, cold |
| --- | ---: | ---: | ---: | ---: |
{lines}

Cold means that nothing of the store is in the file system's cache when the turn begins: for each
of the people taken at random it is the first touch of their pages, and the disk decides
({cold.read:.0f} MiB are read for 1,000 copies). Before each turn of the other columns, all that
decisions read was put into the cache; from the disk came {warm.read:.1f} MiB for 1,000 copies.

| | {SMALL:,} people | large |
| --- | ---: | ---: |
| share of a core while nothing arrives | {small.idle:.3f} | {large.idle:.3f} |
| `gatepost retention run` that looks at everybody, s | {small.first:.1f} | {large.first:.1f} |
| the next run, s | {small.again:.1f} | {large.again:.1f} |
| longest wait of a message for its answer, ms | {small.wait * 1000:.0f} | {large.wait * 1000:.0f} |
| the same while retention runs, ms | {small.wait_meanwhile * 1000:.0f} \
| {large.wait_meanwhile * 1000:.0f} |
"""


def _medians(turns):
    names = [field.name for field in fields(Turn)]
    return Turn(*(statistics.median(getattr(turn, name) for turn in turns) for name in names))


def main(people, queued, rounds, workers, keep=None):
    """Measures, prints, and writes its part of the results."""
    load = os.getloadavg()[0]
    measured = measure(people, queued, rounds, workers, keep)
    text = section(measured, people, queued, workers, load)
    print("\n".join(line for line in text.splitlines() if line.startswith("|")))
    put_section(HEADING, text)


def _options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=10_000_000)
    parser.add_argument("--queued", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="of each gateway"
    )
    parser.add_argument("--keep", metavar="DIR", help="where the stores are kept")
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    tempfile.tempdir = "/var/tmp"  # on disk, where /tmp may be memory
    main(options.people, options.queued, options.rounds, options.workers, options.keep)
