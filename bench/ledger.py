"""The ledger as it grows: decisions and imported rows per second at three sizes.

    python bench/ledger.py            10 thousand, 1 million, 10 million people; `make bench`
    python bench/ledger.py --quick    10 and 100 thousand
    python bench/ledger.py --sizes 10000,1000000

One embedded store is filled by the functions that a running gateway records with, and measured
each time it has reached a size: snapshots of 1, 100 and 1,000 people taken at random, each with
the verdict of the relay; a list of people at random through the audience check, in one process;
and `gatepost consent import` of a file of strangers, start to end. Time is that of this process
on the processor, all threads and the system's part of it, and the best of several turns counts,
because what else the machine does only ever makes a turn slower. The largest size
needs some 8 GB of disk for as long as it runs.

*Known limits:* filling ten million takes a quarter of an hour or more; the file system's cache
is warm, as on a machine that serves.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from gatepost.cli.desk import Desk
from gatepost.flow import audience
from gatepost.mail.address import parse
from gatepost.store import ledger, people
from gatepost.store.engine import Store
from support.command import Site
from support.consents import granted

SIZES = (10_000, 1_000_000, 10_000_000)
QUICK = (10_000, 100_000)
SNAPSHOTS = (1, 100, 1000)
TURNS, SECONDS = 7, 0.4
LISTED = 20_000  # people of one audience check
IMPORTED = 20_000  # rows of one import
BYTES_EACH = 800  # of disk, for one person
RESULTS = Path(__file__).with_name("RESULTS.md")
HEADING = "## The ledger as it grows"


@dataclass(frozen=True)
class Figures:
    size: int
    snapshots: tuple[float, ...]  # decisions per second, by size of the snapshot
    checked: float  # addresses per second
    imported: float  # rows per second
    bytes_each: float


def main(sizes=SIZES):
    """Measures, prints, and writes its part of the results."""
    folder = Path(tempfile.mkdtemp(prefix="gatepost-bench-ledger-"))
    try:
        free = shutil.disk_usage(folder).free
        if free < max(sizes) * BYTES_EACH * 1.5:
            sys.exit(f"{max(sizes):,} people need more disk than the {free / 1e9:.0f} GB there are")
        figures = []
        with Site(folder).store():
            pass
        site = Site(folder)
        site.add_source("website", "--streams", "newsletter")
        known = 0
        for size in sizes:
            fill(site, known, size)
            known = size
            figures.append(measure(site, size))
            print(line(figures[-1]), flush=True)
    finally:
        shutil.rmtree(folder)
    put_section(RESULTS, section(figures))
    return figures


def address(number):
    return f"person{number}@kund{number % 50}.example"


def fill(site, known, size):
    """Records people `known` … `size`, as an import does."""
    at = datetime.now(UTC) - timedelta(days=100)
    begun = time.monotonic()
    with site.store() as store:
        for start in range(known, size, 4000):
            batch = [
                (parse(address(number)), [granted(at=at + timedelta(seconds=number % 80_000))])
                for number in range(start, min(start + 4000, size))
            ]
            store.write_now(lambda tx, batch=batch: people.record_many(tx, batch))
            if start // 4000 % 25 == 24:
                while store.write_now(ledger.seal):
                    pass
        while store.write_now(ledger.seal):
            pass
    print(f"  filled to {size:,} in {time.monotonic() - begun:.0f} s", flush=True)


def measure(site, size):
    """All figures at this size."""
    desk = Desk(site.config)
    stream = desk.policy.streams["newsletter"]
    chance = random.Random(size)

    def some(count):
        return [parse(address(chance.randrange(size))) for _ in range(count)]

    with site.store() as store:

        def check(addresses):
            return sum(verdict.delivers for _, verdict in _check(store, desk, stream, addresses))

        assert check(some(100)) == 100, "everybody has agreed"
        snapshots = tuple(best(lambda n=count: check(some(n)), count) for count in SNAPSHOTS)
        checked = best(lambda: check(some(LISTED)), LISTED)
    (database,) = (site.folder / "data").glob("*.db")
    return Figures(size, snapshots, checked, imported(site, size), database.stat().st_size / size)


def _check(store: Store, desk, stream, addresses):
    return audience.check(store, desk.policy, stream, addresses)


def best(work, count):
    """How many per second, in the best turn."""
    work()
    rates = []
    for _ in range(TURNS):
        done, begun = 0, time.process_time()
        while (spent := time.process_time() - begun) < SECONDS:
            work()
            done += count
        rates.append(done / spent)
    return max(rates)


def imported(site, size):
    """Rows per second of the command, best of three files of strangers."""
    rates = []
    for turn in range(3):
        rows = (
            f"stranger{size}.{turn}.{number}@kund{number % 50}.example,form-checkbox,"
            f"2025-03-{number % 28 + 1:02}T10:{number % 60:02}:00Z\n"
            for number in range(IMPORTED)
        )
        file = site.file("strangers.csv", "address,basis,event_at\n" + "".join(rows))
        begun = time.process_time()
        site.ok("consent", "import", file, "--source", "website", "--stream", "newsletter")
        rates.append(IMPORTED / (time.process_time() - begun))
    return max(rates)


def line(one):
    """For the terminal."""
    shown = "".join(f"{rate:>12,.0f}" for rate in (*one.snapshots, one.checked, one.imported))
    return f"{one.size:>12,} people{shown}   {one.bytes_each:.0f} bytes each"


def section(figures):
    """For the page of results."""
    head = " | ".join(f"snapshots of {count:,}" for count in SNAPSHOTS)
    rows = "\n".join(
        f"| {one.size:,} | "
        + " | ".join(f"{rate:,.0f}" for rate in (*one.snapshots, one.checked, one.imported))
        + f" | {one.bytes_each:.0f} |"
        for one in figures
    )
    first, last = figures[0], figures[-1]
    ratios = [
        theirs / ours
        for ours, theirs in zip(
            (*first.snapshots, first.checked), (*last.snapshots, last.checked), strict=True
        )
    ]
    told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return f"""{HEADING}

Written by `bench/ledger.py` on {datetime.now(UTC):%Y-%m-%d}: decisions per second on people
taken at random, and rows per second of `gatepost consent import`, each per second of one
processor; the best turn of {TURNS}.

| people | {head} | audience check | import, rows/s | bytes each |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}

The rates of decisions at {last.size:,} people are {told} times those at {first.size:,}; \
the goal at 10,000,000 is 0.5.
"""


def put_section(path, text):
    """Replaces the section of the page, or adds it at the end."""
    page = path.read_text("utf-8") if path.exists() else ""
    before, found, rest = page.partition(HEADING)
    _, next_heading, after = rest.partition("\n## ") if found else ("", "", "")
    tail = f"\n## {after}" if next_heading else ""
    path.write_text(f"{before.rstrip()}\n\n{text}{tail}", "utf-8")


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
