"""Mail as store and queue grow: a gateway with a full store beside one with an empty store.

    make bench-growth                  10 million people, 50 million events, 1 million queued;
                                       an hour, most of it for filling
    python bench/growth.py --people 1000000 --queued 100000
    python bench/growth.py --keep DIR  fills the stores in DIR, or finds them filled there

Two gateways with embedded stores get the same mail in turns, to people taken at random: of one, the
store holds 20,000 people and an empty queue; of the other, as many as asked for, with five events
each, and a queue of recipients whose upstream is away. Compared are copies per second, and CPU
seconds per 1,000 copies; what each costs while nothing arrives; and the chores of retention.

The largest needs some 30 GB of disk for as long as it runs, and none afterwards unless kept.

*Known limits:* our own generator, in Python, takes part of the machine from both alike.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import filling
from contenders import Gatepost
from crowd import give
from report import put_section
from traffic import Sink, write_mail

from gatepost.store.engine import DATABASE
from gatepost.store.spool import queue
from support.postfix import free_port

SMALL = 20_000
EACH = 5  # events of one person
BATCH = 1000  # recipients of one message
IDLE_SECONDS = 10
GOAL = 0.5  # of the rate with an empty store
HEADING = "## Mail as store and queue grow"
AWAY_SENDER = "waiting@acme.example"
AWAY = f"""
[upstreams.away]
port = {{port}}

[streams.waiting]
kind = "bulk"
title = "Mail that waits"
sender = "acme"
upstream = "away"

[[classify]]
from = "{AWAY_SENDER}"
stream = "waiting"
"""


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
            streams=("waiting",),
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

    def queue(self, chance, content, count):
        """Mail for an upstream that is away, until so much of it waits."""
        missing = count - self.waiting()
        if missing > 0:
            begun = time.monotonic()
            mail = envelopes(self, chance, -(-missing // BATCH), BATCH, AWAY_SENDER)
            uvloop.run(give(self.port, [(one, content) for one in mail]))
            print(f"  queued {missing:,} in {time.monotonic() - begun:.0f} s", flush=True)
            if self.waiting() < count:
                raise AssertionError("mail for the upstream that is away does not wait")

    def waiting(self):
        """How many recipients are in the queue."""
        with self.store() as store:
            return sum(store.read_now(queue.count_states).values())

    def person(self, number):
        return filling.address(number)


def envelopes(gateway, chance, messages, recipients, sender="news@acme.example"):
    """MAIL, RCPT and DATA of so many messages to people taken at random."""

    def one():
        some = chance.sample(range(gateway.people), recipients)
        to = "".join(f"RCPT TO:<{gateway.person(number)}>\r\n" for number in some)
        return f"MAIL FROM:<{sender}>\r\n{to}DATA\r\n".encode()

    return [one() for _ in range(messages)]


# --- the measurement ---------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """What one turn came to."""

    rate: float  # copies per second
    cpu: float  # seconds for 1,000 copies


WORKS = {
    "one recipient per message": (3000, 1),
    "1,000 recipients per message": (10, BATCH),
}


def measure(people, queued, rounds, workers, keep):
    """Turns of each work by gateway, and what else was asked."""
    with ExitStack() as stack:
        made = keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="gatepost-growth-"))
        folder = Path(made)
        folder.mkdir(exist_ok=True)
        content, waiting = (_content(folder, name) for name in ("news@acme.example", AWAY_SENDER))
        sink = stack.enter_context(Sink())
        chance = random.Random(7)
        both = []
        for size in (SMALL, people):
            gateway = Grown(folder / str(size), sink.port, size, workers)
            both.append(stack.enter_context(gateway))
        both[1].queue(chance, waiting, queued)
        turns = {}
        for number in range(rounds + 1):
            for title, (messages, recipients) in WORKS.items():
                for gateway in both if number % 2 else both[::-1]:
                    mail = envelopes(gateway, chance, messages, recipients)
                    turn = _turn(gateway, sink, mail, messages * recipients, content)
                    if number:  # the first only makes warm
                        turns.setdefault((title, gateway.people), []).append(turn)
                        print(f"  {title:32}{gateway.people:>12,}{turn.rate:8.0f}/s", flush=True)
        chores = {gateway.people: _chores(gateway) for gateway in both}
        size = (both[1].folder / "data" / DATABASE).stat().st_size
    return turns, chores, size


def _content(folder, author):
    text = write_mail(folder / "mail", author).read_bytes()
    return text.replace(b"\n", b"\r\n") + b".\r\n"


def _turn(gateway, sink, mail, copies, content):
    target, cpu, begun = sink.taken + copies, gateway.tree.cpu_seconds(), time.monotonic()
    uvloop.run(give(gateway.port, [(one, content) for one in mail]))
    sink.wait_for(target)
    seconds = time.monotonic() - begun
    time.sleep(0.3)
    return Turn(copies / seconds, (gateway.tree.cpu_seconds() - cpu) / copies * 1000)


def _chores(gateway):
    """Share of a core while nothing arrives, and the seconds of one run of retention."""
    time.sleep(3)
    cpu = gateway.tree.cpu_seconds()
    time.sleep(IDLE_SECONDS)
    idle = (gateway.tree.cpu_seconds() - cpu) / IDLE_SECONDS
    begun = time.monotonic()
    gateway.run_command("retention", "run")
    return idle, time.monotonic() - begun


def section(measured, people, queued, workers, load):
    """For the page of results."""
    turns, chores, octets = measured
    rows = []
    for title in WORKS:
        small, large = (_medians(turns[title, size]) for size in (SMALL, people))
        rows.append(
            f"| {title}, copies/s (CPU s per 1,000) | {small.rate:,.0f} ({small.cpu:.2f}) "
            f"| {large.rate:,.0f} ({large.cpu:.2f}) | **{large.rate / small.rate:.2f}** |"
        )
    (small_idle, small_run), (idle, run) = chores[SMALL], chores[people]
    rows.append(f"| share of a core while nothing arrives | {small_idle:.3f} | {idle:.3f} | |")
    rows.append(f"| `gatepost retention run`, s | {small_run:.1f} | {run:.1f} | |")
    lines = "\n".join(rows)
    return f"""{HEADING}

Written by `bench/growth.py` on {datetime.now(UTC):%Y-%m-%d}, load before the run {load:.1f}; \
{workers} processes each, people
taken at random. The large store has {octets / 1e9:.1f} GB. The goal is {GOAL}.

| | {SMALL:,} people, nothing queued | {people:,} people, {people * EACH:,} events, {queued:,} \
queued | ratio |
| --- | ---: | ---: | ---: |
{lines}
"""


def _medians(turns):
    return Turn(statistics.median(t.rate for t in turns), statistics.median(t.cpu for t in turns))


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
