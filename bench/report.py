"""Rounds → medians → a table for the terminal and a page for the repository."""

import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from traffic import Workload

RESULTS = Path(__file__).with_name("RESULTS.md")


@dataclass(frozen=True)
class Round:
    """One workload through one contender."""

    workload: Workload
    contender: str
    rate: float  # recipients per second
    cpu_seconds: float
    peak_bytes: int

    @property
    def cpu_per_thousand(self):
        return self.cpu_seconds / self.workload.copies * 1000


@dataclass(frozen=True)
class Line:
    """Medians of one workload, Gatepost beside Postfix."""

    workload: Workload
    rate: float
    peer_rate: float
    cpu: float
    peer_cpu: float
    peak_mib: float
    peer_peak_mib: float

    @property
    def ratio(self):
        return self.rate / self.peer_rate if self.peer_rate else 0


def lines(workloads, rounds):
    """One `Line` per workload; signed mail is compared with the peer's unsigned."""
    for workload in workloads:
        ours = _of(rounds, "Gatepost", workload.key)
        theirs = _of(rounds, "Postfix", "c" if workload.signed else workload.key)
        yield Line(
            workload,
            _median(r.rate for r in ours),
            _median(r.rate for r in theirs),
            _median(r.cpu_per_thousand for r in ours),
            _median(r.cpu_per_thousand for r in theirs),
            max((r.peak_bytes for r in ours), default=0) / 1024**2,
            max((r.peak_bytes for r in theirs), default=0) / 1024**2,
        )


def _of(rounds, contender, key):
    return [one for one in rounds if (one.contender, one.workload.key) == (contender, key)]


def _median(values):
    values = list(values)
    return statistics.median(values) if values else 0.0


def table(workloads, rounds):
    """For the terminal."""
    head = (
        f"{'':48}{'recipients/s':>20}{'ratio':>8}{'goal':>7}{'CPU s/1000':>16}{'peak MiB':>14}\n"
        f"{'':48}{'Gatepost':>10}{'Postfix':>10}{'':15}"
        f"{'Gatep.':>9}{'Postf.':>7}{'Gatep.':>7}{'Postf.':>7}\n"
    )
    return head + "\n".join(
        f"{line.workload.key}  {line.workload.title:45}{line.rate:10.0f}{line.peer_rate:10.0f}"
        f"{line.ratio:8.2f}{line.workload.goal:7.1f}{line.cpu:9.2f}{line.peer_cpu:7.2f}"
        f"{line.peak_mib:7.0f}{line.peer_peak_mib:7.0f}"
        for line in lines(workloads, rounds)
    )


def results_page(machine, workloads, measured, rounds, people, workers):
    """RESULTS.md."""
    rows = "\n".join(
        f"| {line.workload.key} | {line.workload.title} | {line.rate:,.0f} | {line.peer_rate:,.0f} "
        f"| **{line.ratio:.2f}** | {line.workload.goal:g} | {line.cpu:.2f} | {line.peer_cpu:.2f} "
        f"| {line.peak_mib:.0f} | {line.peer_peak_mib:.0f} |"
        for line in lines(workloads, measured)
    )
    warning = (
        f"\n**Others were using this machine when the run began (load {machine.load:.1f} on "
        f"{machine.cores} cores): the rates are too low, and the ratios are rough.**\n"
        if machine.overloaded
        else ""
    )
    return f"""# Gatepost beside a plain Postfix

Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}; medians of {rounds} alternating
round{"s" if rounds > 1 else ""}.
{warning}
| | messages of 4 KB | Gatepost, recipients/s | Postfix, recipients/s | ratio | goal \
| CPU s per 1,000, Gatepost | Postfix | peak MiB, Gatepost | Postfix |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}

(d) is compared with Postfix's unsigned rate of (c). Memory is the proportional set size of all
processes of a contender. A rate counts from the generator's start until the sink has taken the
last copy.

## What ran

- Gatepost: `gatepost serve` with {workers} process{"es" if workers > 1 else ""} and the embedded \
store on disk; {people:,} people with
  consent for two streams in the ledger. Each recipient's consent is checked when the message is
  taken and again before its copy starts; every message is committed to disk before `250`; every
  copy has one-click headers, a footer in text and HTML, and links of its own. The message is
  multipart/alternative in quoted-printable.
- Postfix {machine.postfix}: a relay with default settings and one recipient per transaction \
towards
  the sink (`default_destination_recipient_limit = 1`), which is how a mailer must hand over to it
  for each to get a copy of their own. It checks and changes nothing.
- Generator: smtp-source, 20 sessions at most. Sink: smtp-sink, with PIPELINING. All on loopback,
  all on this machine, both queues on the same file system.

## The machine

{machine.cores} cores ({machine.processor}), {machine.memory_gib:.0f} GiB of memory, \
{machine.system}, Python {machine.python},
SQLite {machine.sqlite}. A small write with fdatasync takes {machine.sync_ms:.2f} ms (median). \
Load before the run: {machine.load:.2f}.
"""


def put_section(heading, text):
    """Replaces the section under `heading`, or adds it at the end; `text` begins with it."""
    page = RESULTS.read_text("utf-8") if RESULTS.exists() else ""
    before, found, rest = page.partition(heading)
    _, next_heading, after = rest.partition("\n## ") if found else ("", "", "")
    tail = f"\n## {after}" if next_heading else ""
    RESULTS.write_text(f"{before.rstrip()}\n\n{text}{tail}", "utf-8")
