"""Three gateways on one PostgreSQL, beside one gateway with the embedded store.

    make bench                         with all the rest
    python bench/gateways.py --quick   one short round

The same mail in turns: a third to each of three gateways, which share a PostgreSQL of their own on
this machine; and all of it to one gateway with SQLite, with as many processes as there are
cores. Both stores write each commit to disk. The goal: three on PostgreSQL do no less in total.

*Known limits:* PostgreSQL shares the machine's cores with all the others, where in real life it has
a machine of its own.
"""

import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from contenders import Gatepost
from report import put_section
from traffic import RECIPIENT, Sink, Workload, run, sender, write_mail

from support.postgres import Server, find_binaries

GATEWAYS = 3
PEOPLE = 12_000  # smtp-source does not repeat a recipient within a run
HEADING = "## Three gateways on PostgreSQL"
WORKLOADS = (
    Workload("a", "one recipient per message, new connection each", 1.0, 1800),
    Workload("b", "one recipient per message, kept connections", 1.0, 3000, kept_connections=True),
    Workload("c", "1,000 recipients per message, a copy each", 1.0, 9, 1000),
)
ALONE, TOGETHER = "one with SQLite", "three with PostgreSQL"


class DurableServer(Server):
    """PostgreSQL as it comes: each commit is on disk, behind no setting of a test."""

    def up(self):
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -c shared_buffers=512MB"
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", log, "-o", options, "start")


def measure(rounds, share, workers):
    """Copies per second: {(workload, who): [rate, ...]}."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatepost-bench-")))
        server = DurableServer.start(find_binaries())
        stack.callback(server.remove)
        mail = write_mail(folder / "mail", sender(WORKLOADS[0]))
        sink = stack.enter_context(Sink())
        alone = Gatepost(
            folder / "alone", sink.port, recipient=RECIPIENT, people=PEOPLE, workers=workers
        )
        ports = {ALONE: [stack.enter_context(alone).port]}
        url, keys = server.database(), None
        ports[TOGETHER] = []
        for number in range(GATEWAYS):
            gateway = Gatepost(
                folder / f"gateway{number}", sink.port, recipient=RECIPIENT, people=PEOPLE,
                store_url=url, ledger=number == 0,
            )  # fmt: skip
            if keys:
                gateway.use_keys_of(keys)
            ports[TOGETHER].append(stack.enter_context(gateway).port)
            keys = keys or gateway
        rates = {}
        for number in range(rounds + 1):
            for workload in _shortened(share):
                for who in (ALONE, TOGETHER) if number % 2 else (TOGETHER, ALONE):
                    rate = workload.copies / run(workload, ports[who], sink, mail)
                    if number:  # the first only makes warm
                        rates.setdefault((workload, who), []).append(rate)
                        print(f"  {workload.key}  {who:24}{rate:8.0f} copies/s", flush=True)
    return rates


def _shortened(share):
    return [
        Workload(
            w.key, w.title, w.goal, max(GATEWAYS, int(w.messages * share)), w.recipients,
            w.kept_connections,
        )
        for w in WORKLOADS
    ]  # fmt: skip


def section(rates, workers):
    """For the page of results."""
    medians = {key: statistics.median(some) for key, some in rates.items()}
    rows = "\n".join(
        f"| {workload.key} | {workload.title} | {medians[workload, ALONE]:,.0f} | {rate:,.0f} "
        f"| **{rate / medians[workload, ALONE]:.2f}** | {workload.goal:g} |"
        for (workload, who), rate in medians.items()
        if who == TOGETHER
    )
    return f"""{HEADING}

Written by `bench/gateways.py` on {datetime.now(UTC):%Y-%m-%d}; copies per second, medians of \
{len(next(iter(rates.values())))}. The one with SQLite has {workers} processes; the
three have one each, and share the machine with their PostgreSQL.

| | | {ALONE} | {TOGETHER} | ratio | goal |
| --- | --- | ---: | ---: | ---: | ---: |
{rows}
"""


def main(*, quick=False, workers=2):
    """Measures, prints, and writes its part of the results."""
    text = section(measure(1, 0.4, workers) if quick else measure(2, 1.0, workers), workers)
    print("\n".join(line for line in text.splitlines() if line.startswith("|")))
    put_section(HEADING, text)


def _options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="of the one with SQLite"
    )
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    tempfile.tempdir = "/var/tmp"  # on disk, where /tmp may be memory
    main(quick=options.quick, workers=options.workers)
