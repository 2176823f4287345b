"""Ten minutes of mixed load on the real program, with faults; then the books must add up.

    make soak SECONDS=600
    python tests/soak.py [SECONDS] [--seed N] [--write] [--only sqlite|postgresql]

Three fifths of the time go to one gateway with two workers on SQLite, the rest to two gateways on
one PostgreSQL, where that is installed. Good and bad clients (`support.soak_clients`), an upstream
in changing moods (`support.soak_upstream`) and faults (`support.soak_faults`) work at once. Then
the faults stop, all becomes quiet, and `support.soak_books` reckons from the clients' 250s, the
copies that upstream took and the store. `--write` puts the figures into docs/reliability.md.

*Fails:* exit status 1 if anything was lost, mailed too late after a withdrawal, doubled without a
lost answer, relayed for a stranger; for a traceback, and for a ledger that does not verify.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from gatepost.flow.accept.passwords import hash_password
from support import postgres, soak_books
from support.aftermath import until_quiet
from support.consents import granted
from support.ports import free_port
from support.program import CONFIG, Program
from support.soak_clients import Crowd
from support.soak_faults import Faults, Gauge, open_files

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- soak: begin -->\n", "<!-- soak: end -->\n"
READERS = 3000
QUIET_SECONDS = 600
START_SECONDS = 120
MORE = """
[streams.offers]
kind = "bulk"
title = "Offers"
sender = "acme"
on_ineligible = "quarantine"

[[smtp]]
port = {returns_port}
role = "returns"

[clients.app]
username = "app"
password_hash = "{hashed}"
streams = ["receipts"]

[upstream.timeouts]
dot = "10 s"
"""


class Patient(Program):
    """A gateway that may take its time to start on a machine that is busy."""

    def wait_until_ready(self, seconds=START_SECONDS):
        super().wait_until_ready(seconds)


class House:
    """The gateways, their store and their upstream."""

    def __init__(self, folder, server, seed):
        self.folder, self.server, self._seed = folder, server, seed
        self.book = folder / "upstream.jsonl"
        self.book.touch()
        self.readers = [f"reader{number}@good.example" for number in range(READERS)]
        self.returns_port, self.upstream_port = free_port(), free_port()
        self.url = server.database() if server else ""
        self.gateways = []
        self._upstream = None
        self._read = 0, {}

    def __enter__(self):
        self.restart_upstream()
        if self.server:
            self.gateways = [self._gateway("first"), self._gateway("second", returns=False)]
        else:
            self.gateways = [self._gateway("only", options=("--workers", "2"))]
        first = self.gateways[0]
        first.record({address: [granted()] for address in self.readers})
        for other in self.gateways[1:]:
            keys = Path("data", "keys")
            shutil.copytree(first.folder / keys, other.folder / keys)
        for gateway in self.gateways:
            gateway.start()
        return self

    def __exit__(self, *_):
        for gateway in self.gateways:
            gateway.stop(30)
        self._upstream.kill()
        self._upstream.wait()

    def _gateway(self, name, *, returns=True, options=()):
        folder = self.folder / name
        folder.mkdir()
        port = self.returns_port if returns else free_port()
        gateway = Patient(
            folder, upstream_port=self.upstream_port, store_url=self.url, options=options,
            config=CONFIG, more=MORE.format(returns_port=port, hashed=hash_password("right")),
        )  # fmt: skip
        text = gateway.config.read_text()
        for section, line in (
            ("[senders.acme]", 'bounce_domain = "bounce.acme.example"'),
            ("[streams.newsletter]", 'return_path = "verp"'),
        ):
            text = text.replace(section, f"{section}\n{line}")
        text = text.replace('"receipts", "office"', '"receipts", "office", "offers"')
        gateway.config.write_text(text)
        return gateway

    def restart_upstream(self):
        if self._upstream:
            self._upstream.kill()
            self._upstream.wait()
        self._seed += 1
        words = [
            "--port",
            str(self.upstream_port),
            "--book",
            str(self.book),
            "--seed",
            str(self._seed),
        ]
        self._upstream = subprocess.Popen(
            [sys.executable, "-m", "support.soak_upstream", *words],
            cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._upstream.stdout.readline()

    def calm_upstream(self):
        self._upstream.send_signal(signal.SIGUSR1)

    def links(self):
        """Address → (link, return path) of the copies so far; read anew every few seconds."""
        at, links = self._read
        if time.monotonic() - at > 3:
            links = soak_books.read_book(self.book).links
            self._read = time.monotonic(), links
        return links

    def mend_line(self):
        """Waits until every gateway is ready for mail again."""
        for gateway in self.gateways:
            gateway.wait_until_ready()


@dataclass
class Outcome:
    """One part of a soak."""

    name: str
    seconds: float
    account: soak_books.Account
    crowd: Crowd
    faults: Counter = field(default_factory=Counter)
    moods: Counter = field(default_factory=Counter)
    most_together: int = 0
    most_of_one: int = 0
    files: tuple = (0, 0)
    verified: bool = False
    tracebacks: list = field(default_factory=list)

    @property
    def sound(self):
        crowd = self.crowd
        return self.account.sound and self.verified and not (
            self.tracebacks or crowd.tracebacks or crowd.strangers_served
        )  # fmt: skip

    def figures(self):
        """(what, figure), as they are printed and written."""
        account, crowd, states = self.account, self.crowd, self.account.states
        per_second = account.copies / self.seconds
        return [
            ("seconds under load", f"{self.seconds:.0f}"),
            ("accepted recipients", f"{account.accepted:,}"),
            ("delivered", f"{states['delivered']:,}"),
            ("dropped", f"{states['dropped']:,}"),
            ("quarantined", f"{states['quarantined']:,}"),
            ("failed", f"{states['failed']:,}"),
            ("copies that upstream took", f"{account.copies:,} ({per_second:.0f}/s)"),
            ("duplicates, each with a lost answer", f"{account.duplicates:,}"),
            ("duplicates without one", f"{len(account.unexplained)}"),
            ("**lost**", f"**{len(account.lost)}**"),
            ("withdrawals answered", f"{len(crowd.withdrawals):,}"),
            ("mailed after a withdrawal was answered", f"{len(account.late)}"),
            ("bad inputs tried", f"{crowd.tried.total():,} ({_listed(crowd.tried)})"),
            ("strangers served", f"{len(crowd.strangers_served)}"),
            ("what good clients did", _listed(crowd.done)),
            ("faults", f"{self.faults.total()} ({_listed(self.faults)})"),
            ("moods of upstream", f"{self.moods.total()} ({_listed(self.moods)})"),
            ("most memory (PSS), one process", f"{self.most_of_one / 1e6:.0f} MB"),
            ("most memory (PSS), all processes", f"{self.most_together / 1e6:.0f} MB"),
            (
                "open files of a process, at the start and at the end",
                f"{self.files[0]}, {self.files[1]}",
            ),
            ("ledger verify", "ok" if self.verified else "**failed**"),
            ("tracebacks", f"{len(self.tracebacks) + len(crowd.tracebacks)}"),
        ]


def _listed(counts):
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


def soak(name, server, seconds, seed, folder):
    """One part: load and faults for `seconds`, then quiet, then the books."""
    with House(folder, server, seed) as house:
        time.sleep(2)
        files = open_files(house)
        begun = time.monotonic()
        with Gauge(house) as gauge:
            with Crowd(house, seed) as crowd, Faults(house, random.Random(seed)) as faults:
                while time.monotonic() - begun < seconds and not (crowd.broken or faults.broken):
                    time.sleep(0.2)
            took = time.monotonic() - begun
            house.mend_line()
            house.calm_upstream()
            until_quiet(house.gateways[0], QUIET_SECONDS, swept=False)
        outcome = Outcome(name, took, None, crowd, faults.injected)
        outcome.files = files, open_files(house)
        outcome.most_together, outcome.most_of_one = gauge.most_together, gauge.most_of_one
        outcome.verified = not house.gateways[0].run("ledger", "verify", check=False).returncode
        with house.gateways[0].store() as store:
            rows = soak_books.read_rows(store)
    book = soak_books.read_book(house.book)
    outcome.moods = book.moods
    outcome.account = soak_books.reckon(
        crowd.acknowledged, rows, book.copies, crowd.withdrawals, faults.upsets
    )
    outcome.account.violations = book.violations
    logs = [gateway.log() for gateway in house.gateways]
    outcome.tracebacks = [
        log[log.index("Traceback") :][:3000] for log in logs if "Traceback" in log
    ]
    return outcome


def report(outcomes):
    """All figures as a table in Markdown."""
    lines = [
        f"| | {' | '.join(one.name for one in outcomes)} |",
        "| --- |" + " --- |" * len(outcomes),
    ]
    lines += [
        f"| {rows[0][0]} | {' | '.join(figure for _, figure in rows)} |"
        for rows in zip(*(one.figures() for one in outcomes), strict=True)
    ]
    return "\n".join(lines) + "\n"


def write(table):
    """Puts the figures of this run into the page, between its two marks."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE} has no place for the figures")
    said = f"Run of {time.strftime('%Y-%m-%d', time.gmtime())} (UTC), {_machine()}.\n\n"
    PAGE.write_text(f"{before}{BEGIN}{said}{table}{END}{after}")


def _machine():
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{len(models)} cores of {models[0] if models else 'an unknown kind'}, everything on it"


def tell(outcome):
    """What is wrong, in detail."""
    account, crowd = outcome.account, outcome.crowd
    for what, found in {
        "lost": account.lost, "duplicates without a lost answer": account.unexplained,
        "mailed too late": account.late, "violations": account.violations,
        "strangers served": crowd.strangers_served,
        "tracebacks": [*outcome.tracebacks, *crowd.tracebacks],
    }.items():  # fmt: skip
        for one in found[:20]:
            print(f"{outcome.name}: {what}: {one}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seconds", type=float, nargs="?", default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    options = parser.parse_args()
    binaries = postgres.find_binaries()
    only = options.only or ("" if binaries else "sqlite")
    print(
        f"seed {options.seed}" + ("" if binaries else "; PostgreSQL is not installed"), flush=True
    )
    outcomes = []
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="gatepost-soak-") as folder:
        if only != "postgresql":
            seconds = options.seconds * (1 if only else 0.6)
            place = Path(folder) / "sqlite"
            place.mkdir()
            outcomes.append(soak("SQLite, two workers", None, seconds, options.seed, place))
        if only != "sqlite":
            seconds = options.seconds * (1 if only else 0.4)
            place = Path(folder) / "postgresql"
            place.mkdir()
            server = postgres.Server.start(binaries)
            stack.callback(server.remove)
            outcomes.append(soak("PostgreSQL, two gateways", server, seconds, options.seed, place))
    table = report(outcomes)
    print(table)
    for outcome in outcomes:
        tell(outcome)
    if options.write:
        write(table)
    return int(not all(outcome.sound for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
