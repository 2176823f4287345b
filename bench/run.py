"""Gatepost beside its peers: copies per second, as ratios of the same run.

    make bench                      everything, three rounds: the workloads here, the time added to
                                    one message (`latency.py`), three gateways on PostgreSQL
                                    (`gateways.py`), composing (`compose.py`), one-click
                                    (`clicks.py`), a small ledger (`ledger.py`); some eight minutes
    python bench/run.py --quick     one short round of each
    python bench/run.py --only c    some workloads; nothing is written

All contenders get the same mail from the same generator and hand over to the same sink; in each
round they take turns, and who begins changes from round to round. One runs at a time; the
others stand by. Prints medians and writes RESULTS.md.

*Fails:* exit status 1, if a round cannot be counted.
*Known limits:* needs Linux, root (Postfix does), Debian's postfix and postgresql, and npm. Whatever
else the machine does slows all; a ratio is worth more than a rate.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import clicks
import compose
import gateways
import latency
import ledger
from contenders import Gatepost
from machine import Machine
from processes import Peak
from relays import Haraka, Naive, PlainPostfix
from report import Round, put_first, results_page, table
from traffic import RECIPIENT, Sink, TrafficError, Workload, run, run_bare, sender, write_mail

PEOPLE = 20_000  # with consent on record; smtp-source numbers its recipients from 0 or 1
LARGE = 100_000  # octets
RELAYS = ("Postfix", "Haraka", "aiosmtpd")
WORKLOADS = (
    Workload("a", "one recipient per message, new connection each", 2.5, 3000, peers=RELAYS),
    Workload(
        "b", "one recipient per message, kept connections", 4.0, 5000,
        kept_connections=True, peers=RELAYS,
    ),
    Workload(
        "p", "the same, each message with a text of its own", 4.0, 5000,
        kept_connections=True, personal=True, peers=("Postfix", "aiosmtpd"),
    ),
    Workload(
        "c", "1,000 recipients per message, a copy each", 6.0, 15, 1000,
        peers=("Postfix", "aiosmtpd"),
    ),
    Workload("d", "the same, each copy signed (RSA-2048)", 1.5, 10, 1000, signed=True, instead="c"),
    Workload(
        "e", "100 KB, 1,000 recipients per message", 0.7, 4, 1000,
        octets=LARGE, peers=("bare client",),
    ),
)  # fmt: skip
FOLDER = "/var/tmp"  # on disk, where /tmp may be memory


def main():
    """Measures, prints and writes."""
    options = _options()
    only = options.only or "abpcde"
    workloads = [w for w in WORKLOADS if w.key in only]
    if options.quick:
        workloads = [replace(w, messages=max(1, w.messages // 2)) for w in workloads]
    rounds = options.rounds or (1 if options.quick else 3)
    begun = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatepost-bench-")))
        machine = Machine.describe(folder)
        mails = {w.key: write_mail(folder / w.key, sender(w), w.octets) for w in workloads}
        print(f"on {machine.cores} cores, load {machine.load:.1f}; starting …", flush=True)
        sink = stack.enter_context(Sink())
        contenders = {
            one.name: stack.enter_context(one)
            for one in _contenders(folder, sink, workloads, options.workers)
        }
        warming = write_mail(folder / "warming", "news@acme.example")
        for contender in contenders.values():  # first connections, first plans, warm caches
            run(Workload("", "", 0, 200), [contender.port], sink, warming)
        measured = []
        for number in range(rounds):
            for workload in workloads:
                names = ("Gatepost", *workload.peers)
                for name in names if number % 2 == 0 else names[::-1]:
                    one = _measure(workload, name, contenders.get(name), sink, mails[workload.key])
                    measured.append(one)
                    print(
                        f"  round {number + 1}  {workload.key}  {name:12}{one.rate:8.0f} copies/s",
                        flush=True,
                    )
    print()
    print(table(workloads, measured))
    if not options.only:
        page = results_page(machine, workloads, measured, rounds, PEOPLE, options.workers)
        put_first(page)
        _others(options)
        print(f"\nRESULTS.md is written, after {time.monotonic() - begun:.0f} s")


def _others(options):
    print("\nthe time added to one transactional message:")
    latency.main(quick=options.quick, workers=options.workers)
    print("\nthree gateways on one PostgreSQL:")
    gateways.main(quick=options.quick, workers=options.workers)
    print()
    compose.main()
    print("\nwithdrawals by one click, beside a bare uvicorn:")
    clicks.main(quick=options.quick)
    print("\nthe ledger as it grows:")
    ledger.main(ledger.QUICK)


def _contenders(folder, sink, workloads, workers):
    yield Gatepost(
        folder / "gatepost", sink.port, recipient=RECIPIENT, people=PEOPLE + 1, workers=workers
    )
    wanted = {name for workload in workloads for name in workload.peers}
    for peer in (PlainPostfix, Haraka, Naive):
        if peer.name in wanted or peer is PlainPostfix:
            yield peer(sink.port)


def _measure(workload, name, contender, sink, mail):
    if contender is None:  # the bare client has no server in between
        return Round(workload, name, workload.copies / run_bare(workload, sink, mail), 0, 0)
    cpu = contender.tree.cpu_seconds()
    with Peak(contender.tree) as peak:
        seconds = run(workload, [contender.port], sink, mail)
    time.sleep(0.3)  # results still to be written down belong to the account
    cpu = contender.tree.cpu_seconds() - cpu
    return Round(workload, name, workload.copies / seconds, cpu, peak.highest)


def _options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument("--only", metavar="abpcde", help="these workloads; nothing is written")
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes of Gatepost"
    )
    return parser.parse_args()


if __name__ == "__main__":
    if os.getuid():
        sys.exit("Postfix starts only for root: run this as root.")
    tempfile.tempdir = FOLDER
    try:
        main()
    except TrafficError as error:
        sys.exit(f"this run does not count: {error}")
