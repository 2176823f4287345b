"""The ledger as it grows: decisions and imported rows per second at three sizes.

    python bench/ledger.py            10 thousand, 1 million, 10 million people; `make bench`
    python bench/ledger.py --quick    10 and 100 thousand
    python bench/ledger.py --sizes 10000,1000000

One embedded store of each size is filled (`filling`), and all of them are measured in turns, so
that whatever else the machine does meets each alike. Decisions: snapshots of 1, 100 and 1,000
people taken at random, each with the verdict of the relay; a list of people at random through
the audience check, in one process. Import: `gatepost consent import` of a file of strangers,
start to end, in a process of its own. Rates are per second of the processor, all threads and
the system's part of it, and per second of the clock; the best of several turns counts, because
what else the machine does only ever makes a turn slower. The largest size needs some 7 GB of disk
for as long as it runs, and none afterwards, also when it is broken off.

*Known limits:* the file system's cache is warm, as on a machine that serves: each store is read
through before each turn. Where there is less memory than store, the largest is slower.
"""

import argparse
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import filling
from report import put_section

from gatepost.cli.desk import Desk
from gatepost.flow import audience
from gatepost.mail.address import parse
from gatepost.store.engine import DATABASE
from support.command import Site

SIZES = (10_000, 1_000_000, 10_000_000)
QUICK = (10_000, 100_000)
SNAPSHOTS = (1, 100, 1000)
LISTED = 20_000  # people of one audience check
WORKS = (*(f"snapshots of {count:,}" for count in SNAPSHOTS), "audience check")
TURNS, SECONDS = 6, 0.4
IMPORTS, IMPORTED = 2, 30_000  # files for each size, and their rows
BYTES_EACH = 700  # of disk, for one person
GOAL = 0.5
HEADING = "## The ledger as it grows"


class Rate(NamedTuple):
    """How much in a second of the processor, and of the clock."""

    cpu: float
    wall: float


@dataclass
class Ground:
    """A store of one size, and what was measured on it."""

    site: Site
    size: int
    filled_seconds: float
    bytes_each: float = 0.0
    rates: dict = field(default_factory=lambda: {name: [] for name in (*WORKS, "import")})
    import_mib: float = 0.0

    @property
    def database(self):
        """The store's file."""
        return self.site.folder / "data" / DATABASE

    def best(self, name):
        """The best rate of all turns: by the processor, and by the clock."""
        return Rate(*map(max, zip(*self.rates[name], strict=True)))


def main(sizes=SIZES):
    """Measures, prints, and writes its part of the results."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-ledger-") as made:
        folder = Path(made)
        free = shutil.disk_usage(folder).free
        if free < sum(sizes) * BYTES_EACH * 1.5:
            sys.exit(f"{sum(sizes):,} people need more disk than the {free / 1e9:.0f} GB there are")
        filling.check(folder, make_site)
        grounds = [prepare(folder / str(size), size) for size in sizes]
        decide(grounds)
        imports(grounds)
    for ground in grounds:
        print(line(ground), flush=True)
    put_section(HEADING, section(grounds, load))
    return grounds


def make_site(folder):
    """An empty store that knows a source, in a folder that is there or made."""
    folder.mkdir(exist_ok=True)
    site = Site(folder)
    with site.store():
        pass
    site.add_source("website", "--streams", "newsletter")
    return site


def prepare(folder, size):
    """A store of this size."""
    site = make_site(folder)
    seconds = filling.fill(site, size)
    ground = Ground(site, size, seconds)
    print(f"  filled with {size:,} people in {seconds:.0f} s", flush=True)
    ground.bytes_each = ground.database.stat().st_size / size
    return ground


def decide(grounds):
    """All rates of decisions, the sizes in turns."""
    with ExitStack() as stack:
        works = [(ground, _works(ground, stack)) for ground in grounds]
        for turn in range(TURNS + 1):
            for ground in grounds:
                _warm(ground)
            for name in WORKS:
                for ground, work in works if turn % 2 else works[::-1]:
                    rate = _rate(*work[name])
                    if turn:  # the first only makes warm
                        ground.rates[name].append(rate)


def _warm(ground):
    """Reads the store's file, so that the file system holds it."""
    with ground.database.open("rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def _works(ground, stack):
    """By name: what decides on people taken at random, and on how many."""
    desk = Desk(ground.site.config)
    stream = desk.policy.streams["newsletter"]
    store = stack.enter_context(ground.site.store())
    chance = random.Random(ground.size)

    def check(count):
        numbers = (chance.randrange(ground.size) for _ in range(count))
        some = [parse(filling.address(number)) for number in numbers]
        return sum(one.delivers for _, one in audience.check(store, desk.policy, stream, some))

    assert check(100) == 100, "everybody has agreed"
    counts = dict(zip(WORKS, (*SNAPSHOTS, LISTED), strict=True))
    return {name: (partial(check, count), count) for name, count in counts.items()}


def _rate(work, count):
    """How many per second, for a while."""
    done, cpu, wall = 0, time.process_time(), time.perf_counter()
    while time.process_time() - cpu < SECONDS:
        work()
        done += count
    return Rate(done / (time.process_time() - cpu), done / (time.perf_counter() - wall))


def imports(grounds):
    """All rates of imports, the sizes in turns."""
    for turn in range(IMPORTS):
        for ground in grounds:
            file = _strangers(ground, turn)
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                rate, mib = process.submit(_import, ground.site.folder, file).result()
            ground.rates["import"].append(rate)
            ground.import_mib = max(ground.import_mib, mib)


def _strangers(ground, turn):
    """A file of people whom the store does not know."""
    rows = (
        f"stranger{turn}.{number}@kund{number % 50}.example,form-checkbox,"
        f"2025-03-{number % 28 + 1:02}T10:{number % 60:02}:00Z\n"
        for number in range(IMPORTED)
    )
    return ground.site.file("strangers.csv", "address,basis,event_at\n" + "".join(rows))


def _import(folder, file):
    """The command, in a process of its own: its rates, and the most memory the process had."""
    site = Site(folder)
    count = file.read_bytes().count(b"\n") - 1
    cpu, wall = time.process_time(), time.perf_counter()
    site.ok("consent", "import", file, "--source", "website", "--stream", "newsletter")
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Rate(count / cpu, count / wall), peak


def line(ground):
    """For the terminal."""
    rates = [ground.best(name) for name in (*WORKS, "import")]
    shown = "".join(f"{rate.cpu:>10,.0f}" for rate in rates)
    return f"{ground.size:>12,} people{shown}   {ground.bytes_each:.0f} bytes each"


def section(grounds, load):
    """For the page of results."""
    names = (*WORKS, "import, rows/s")
    rows = "\n".join(
        f"| {one.size:,} | "
        + " | ".join("{:,.0f} ({:,.0f})".format(*one.best(name)) for name in (*WORKS, "import"))
        + f" | {one.import_mib:.0f} | {one.bytes_each:.0f} | {one.filled_seconds:.0f} |"
        for one in grounds
    )
    first, last = grounds[0], grounds[-1]
    ratios = [_ratio(last.best(name), first.best(name)) for name in WORKS]
    by_cpu, by_clock = (", ".join(f"{one[place]:.2f}" for one in ratios) for place in (0, 1))
    return f"""{HEADING}

Written by `bench/ledger.py` on {datetime.now(UTC):%Y-%m-%d}, load before the run {load:.1f}. Per
second of one processor, and in brackets of the clock: decisions on people taken at random, and
rows of `gatepost consent import`, {IMPORTED:,} strangers in a file. The sizes took turns; the best
of {TURNS} turns, and of {IMPORTS} files. The file system's cache was warm.

| people | {" | ".join(names)} | peak MiB of the import | bytes each | filled in s |
| ---: | {"---: | " * (len(names) + 3)}
{rows}

The rates of decisions at {last.size:,} people are {by_cpu} times those at {first.size:,} \
(by the clock {by_clock}); the goal at 10,000,000 is {GOAL}.
"""


def _ratio(theirs, ours):
    return Rate(theirs.cpu / ours.cpu, theirs.wall / ours.wall)


def _options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10 and 100 thousand people")
    parser.add_argument("--sizes", help="sizes with commas between them")
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    tempfile.tempdir = "/var/tmp"  # on disk, where /tmp may be memory
    wanted = QUICK if options.quick else SIZES
    if options.sizes:
        wanted = tuple(sorted(int(text) for text in options.sizes.split(",")))
    main(wanted)
