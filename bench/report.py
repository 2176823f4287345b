"""Rounds → medians → a table for the terminal and a page for the repository."""

import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from traffic import Workload

RESULTS = Path(__file__).with_name("RESULTS.md")
PEERS = ("Postfix", "Haraka", "aiosmtpd", "bare client")


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
    """Medians of one workload. By name of contender: rates, CPU per 1,000 copies, peak MiB."""

    workload: Workload
    rates: dict[str, float]
    cpu: dict[str, float]
    peak_mib: dict[str, float]
    peer_rate: float  # that the ratio is to

    @property
    def ratio(self):
        return self.rates.get("Gatepost", 0) / self.peer_rate if self.peer_rate else 0


def lines(workloads, rounds):
    """One `Line` per workload."""
    for workload in workloads:
        names = ("Gatepost", *workload.peers)
        of = {name: _of(rounds, name, workload.key) for name in names}
        rates = {name: _median(r.rate for r in of[name]) for name in names}
        peer_key = workload.instead or workload.key
        peer = workload.peers[0] if workload.peers else "Postfix"
        yield Line(
            workload,
            rates,
            {name: _median(r.cpu_per_thousand for r in of[name]) for name in names},
            {name: max((r.peak_bytes for r in of[name]), default=0) / 1024**2 for name in names},
            _median(r.rate for r in _of(rounds, peer, peer_key)),
        )


def _of(rounds, contender, key):
    return [one for one in rounds if (one.contender, one.workload.key) == (contender, key)]


def _median(values):
    values = list(values)
    return statistics.median(values) if values else 0.0


def table(workloads, rounds):
    """For the terminal."""
    names = ("Gatepost", *PEERS)
    head = (
        f"{'copies per second':50}"
        + "".join(f"{name:>12}" for name in names)
        + f"{'ratio':>8}{'goal':>6}{'CPU s/1000':>12}{'peak MiB':>10}\n"
    )
    return head + "\n".join(
        f"{line.workload.key}  {line.workload.title:47}"
        + "".join(_number(line.rates.get(name), 12) for name in names)
        + f"{line.ratio:8.2f}{line.workload.goal:6.1f}{line.cpu['Gatepost']:12.2f}"
        + f"{line.peak_mib['Gatepost']:10.0f}"
        for line in lines(workloads, rounds)
    )


def _number(value, width=0):
    return f"{value:{width},.0f}" if value else f"{'-':>{width}}"


def results_page(machine, workloads, measured, rounds, people, workers):
    """The beginning of RESULTS.md; the other benches put their sections behind it."""
    names = ("Gatepost", *PEERS)
    every = list(lines(workloads, measured))
    rows = "\n".join(
        f"| {line.workload.key} | {line.workload.title} | "
        + " | ".join(_number(line.rates.get(name)) for name in names)
        + f" | **{line.ratio:.2f}** | {line.workload.goal:g} |"
        for line in every
    )
    costs = "\n".join(
        f"| {line.workload.key} | "
        + " | ".join(
            f"{line.cpu[name]:.2f} / {line.peak_mib[name]:.0f}" if line.cpu.get(name) else "-"
            for name in names[:-1]
        )
        + " |"
        for line in every
    )
    warning = (
        f"\n**Others were using this machine when the run began (load {machine.load:.1f} on "
        f"{machine.cores} cores): the rates are too low, and the ratios are rough.**\n"
        if machine.overloaded
        else ""
    )
    return f"""# Gatepost beside its peers

Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}; medians of {rounds} alternating
round{"s" if rounds > 1 else ""}.
{warning}
Copies per second that the sink has taken, from the generator's start to the last copy:

| | | {" | ".join(names)} | ratio | goal |
| --- | --- | {"---: | " * (len(names) + 2)}
{rows}

The ratio is Gatepost's rate to the first peer's: Postfix, for (d) Postfix's unsigned rate of (c),
and for (e) the rate at which the sink takes the same copies from a client that only pipelines.

CPU seconds per 1,000 copies, and peak memory in MiB (proportional set size of all processes):

| | {" | ".join(names[:-1])} |
| --- | {"---: | " * (len(names) - 1)}
{costs}

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
- Haraka 3.1.1 with `queue/smtp_forward`, one process per core; aiosmtpd joined to aiosmtplib as in
  `bench/naive.py`. Both hand over while the client waits, and write nothing to disk.
- The bare client: `bench/bare.py`, ten connections.
- Generator: smtp-source, 20 sessions at most, which sends the same text in each message, and a
  text that Gatepost has just edited is not edited again; so (p) comes from `bench/crowd.py`,
  which changes a line in text and HTML of each. Sink: smtp-sink, with PIPELINING. All on loopback,
  all on this machine, all queues on the same file system.

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


def put_first(text):
    """Replaces all before the sections of the other benches, which stay as they are."""
    page = RESULTS.read_text("utf-8") if RESULTS.exists() else ""
    own = sum(line.startswith("## ") for line in text.splitlines())
    others = page.split("\n## ")[1 + own :]
    RESULTS.write_text("\n## ".join([text.rstrip() + "\n", *others]), "utf-8")
