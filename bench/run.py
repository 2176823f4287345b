"""Gatepost beside a plain Postfix: recipients per second, as a ratio of the same run.

    make bench                      every workload, three rounds, some five minutes; then the
                                    withdrawals by one click (`clicks.py`), and the ledger up to
                                    ten million people (`ledger.py`): a quarter of
                                    an hour in all
    python bench/run.py --quick     one short round
    python bench/run.py --only c    some workloads; nothing is written

Both run all the time, with the same generator and the same sink; in each round they take
turns, and who begins changes from round to round. Prints medians and writes RESULTS.md.

*Fails:* exit status 1, if a round cannot be counted.
*Known limits:* needs Linux, root (Postfix does) and Debian's postfix. Whatever else the machine
does slows both; a ratio is worth more than a rate.
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
import ledger
from contenders import Gatepost, PlainPostfix
from machine import Machine
from processes import Peak
from report import RESULTS, Round, results_page, table
from traffic import RECIPIENT, Sink, TrafficError, Workload, run, sender, write_mail

PEOPLE = 20_000  # with consent on record; smtp-source numbers its recipients from 0 or 1
WORKLOADS = (
    Workload("a", "one recipient per message, new connection each", 2.5, 3000),
    Workload("b", "one recipient per message, kept connections", 4.0, 5000, kept_connections=True),
    Workload("c", "1,000 recipients per message, a copy each", 6.0, 15, 1000),
    Workload("d", "the same, each copy signed (RSA-2048)", 1.5, 10, 1000, signed=True),
)
FOLDER = "/var/tmp"  # on disk, where /tmp may be memory


def main():
    options = _options()
    only = options.only or "abcd"
    workloads = [w for w in WORKLOADS if w.key in only]
    if options.quick:
        workloads = [replace(w, messages=max(1, w.messages // 2)) for w in workloads]
    rounds = options.rounds or (1 if options.quick else 3)
    begun = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatepost-bench-")))
        machine = Machine.describe(folder)
        mails = {
            signed: write_mail(
                folder / f"mail-{signed}", sender(Workload("", "", 0, 1, signed=signed))
            )
            for signed in (False, True)
        }
        print(f"Gatepost and Postfix on {machine.cores} cores, load {machine.load:.1f}; starting …")
        sink = stack.enter_context(Sink())
        contenders = [
            stack.enter_context(PlainPostfix(sink.port)),
            stack.enter_context(
                Gatepost(
                    folder / "gatepost",
                    sink.port,
                    recipient=RECIPIENT,
                    people=PEOPLE + 1,
                    workers=options.workers,
                )
            ),
        ]
        for contender in contenders:  # first connections, first plans, warm caches
            run(Workload("", "", 0, 200), contender.port, sink, mails[False])
        measured = []
        for number in range(rounds):
            for workload in workloads:
                for contender in contenders if number % 2 == 0 else contenders[::-1]:
                    if workload.signed and contender.name == "Postfix":
                        continue  # it does not sign: compared with its unsigned rate
                    one = _measure(workload, contender, sink, mails[workload.signed])
                    measured.append(one)
                    print(
                        f"  round {number + 1}  {workload.key}  {contender.name:9}"
                        f"{one.rate:8.0f} recipients/s"
                    )
    print()
    print(table(workloads, measured))
    if not options.only:
        print()
        compose.main()
        RESULTS.write_text(
            results_page(machine, workloads, measured, rounds, PEOPLE, options.workers)
        )
        print("\nwithdrawals by one click, beside a bare uvicorn:")
        clicks.main(quick=options.quick)
        print()
        ledger.main(ledger.QUICK if options.quick else ledger.SIZES)
        print(f"\nwritten to {RESULTS.name} in {time.monotonic() - begun:.0f} s")


def _measure(workload, contender, sink, mail):
    cpu = contender.tree.cpu_seconds()
    with Peak(contender.tree) as peak:
        seconds = run(workload, contender.port, sink, mail)
    time.sleep(0.3)  # results still to be written down belong to the account
    cpu = contender.tree.cpu_seconds() - cpu
    return Round(workload, contender.name, workload.copies / seconds, cpu, peak.highest)


def _options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument("--only", metavar="abcd", help="these workloads; nothing is written")
    parser.add_argument("--workers", type=int, default=1, help="processes of Gatepost")
    return parser.parse_args()


if __name__ == "__main__":
    if os.getuid():
        sys.exit("Postfix starts only for root: run this as root.")
    tempfile.tempdir = FOLDER
    try:
        main()
    except TrafficError as error:
        sys.exit(f"this run does not count: {error}")
