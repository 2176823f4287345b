"""What befalls the gateways of `make soak`, and their memory and open files meanwhile.

with Faults(house, chance) as faults: ...
faults.injected      how often each kind came
faults.upsets        when processes were killed, stopped or cut off
"""

import os
import signal
import sqlite3
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psycopg

from support.shift import Shift
from support.watching import child_processes

PAUSE_SECONDS = (2.0, 5.0)  # between two faults
FULL = 'min_free_disk = "900000 GB"'
FREE = 'min_free_disk = "1 MB"'


class Faults(Shift):
    """One at a time, chosen by chance, in a thread."""

    def __init__(self, house, chance):
        super().__init__([self._inject])
        self.house, self._chance = house, chance
        self.injected = Counter()
        self.upsets = []
        self._order = []
        self.kinds = [
            self.gateway_killed, self.gateway_stopped, self.hung_up, self.disk_nearly_full,
            self.upstream_killed,
        ]  # fmt: skip
        if house.server:
            self.kinds += [self.database_restarted, self.backends_ended, self.store_locked]
        else:
            self.kinds += [self.worker_killed, self.store_locked]

    def _inject(self):
        if self.over.wait(self._chance.uniform(*PAUSE_SECONDS)):
            return
        self._order = self._order or self._chance.sample(self.kinds, len(self.kinds))
        kind = self._order.pop()
        begun = time.monotonic()
        name = kind.__name__.replace("_", " ")
        try:
            kind(self._chance.choice(self.house.gateways))
        except (sqlite3.OperationalError, psycopg.Error):
            name = f"{name} in vain"  # the store was not to be had for this
        self.injected[name] += 1
        print(f"  {name}: {time.monotonic() - begun:.1f} s", flush=True)

    def _upset(self):
        self.upsets.append(time.time())

    def gateway_killed(self, gateway):
        """All its processes at once, as when power is cut; then a new start."""
        workers = child_processes(gateway.process)
        everybody = [gateway.process.pid, *workers]
        for pid in everybody:
            _send(pid, signal.SIGSTOP)
        for pid in everybody:
            _send(pid, signal.SIGKILL)
        gateway.process.wait()
        while gateway.is_ready():  # the last of them is still dying
            time.sleep(0.01)
        self._upset()
        gateway.start()

    def worker_killed(self, gateway):
        workers = child_processes(gateway.process)
        if workers:
            _send(self._chance.choice(workers), signal.SIGKILL)
            self._upset()

    def gateway_stopped(self, gateway):
        """In an orderly way, and started again."""
        gateway.stop()
        self._upset()
        gateway.start()

    def hung_up(self, gateway):
        """SIGHUP: the configuration is read again."""
        gateway.process.send_signal(signal.SIGHUP)

    def disk_nearly_full(self, gateway):
        text = gateway.config.read_text()
        for line in (FULL, FREE):
            gateway.config.write_text(text.replace(FREE, line))
            gateway.process.send_signal(signal.SIGHUP)
            if line is FULL:
                self.over.wait(2)

    def upstream_killed(self, _gateway):
        self.house.restart_upstream()
        self._upset()

    def store_locked(self, gateway):
        """Somebody else is in the middle of a transaction for seconds."""
        seconds = self._chance.uniform(1, 4)
        if self.house.server:
            with psycopg.connect(self.house.url) as holder:
                holder.execute("LOCK TABLE recipient IN ACCESS EXCLUSIVE MODE")
                self.over.wait(seconds)
            return
        holder = sqlite3.connect(gateway.folder / "data" / "gatepost.db", timeout=30)
        holder.isolation_level = None
        holder.execute("BEGIN IMMEDIATE")
        self.over.wait(seconds)
        holder.execute("ROLLBACK")
        holder.close()

    def database_restarted(self, _gateway):
        """No reason for a duplicate, and neither is the next: who knows an answer keeps it."""
        self.house.server.down()
        self.over.wait(1)
        self.house.server.up()

    def backends_ended(self, _gateway):
        with psycopg.connect(self.house.url, autocommit=True) as administrator:
            administrator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


class Gauge(Shift):
    """Memory and open files of all gateway processes, looked at twice a second."""

    def __init__(self, house):
        super().__init__([self._look])
        self.house = house
        self.most_together = self.most_of_one = 0

    def _look(self):
        self.over.wait(0.5)
        sizes = [proportional(pid) for pid in processes(self.house)]
        self.most_together = max(self.most_together, sum(sizes))
        self.most_of_one = max([self.most_of_one, *sizes])


def processes(house):
    """The ids of all processes of the gateways that run just now."""
    found = []
    for gateway in house.gateways:
        with suppress(OSError):
            found += [gateway.process.pid, *child_processes(gateway.process)]
    return found


def proportional(pid):
    """The memory of a process in octets; what several share is divided among them (PSS)."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024
    return 0


def open_files(house):
    """How many files and sockets the process that has most of them has open."""
    counts = [0]
    for pid in processes(house):
        with suppress(OSError):
            counts.append(sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))
    return max(counts)


def _send(pid, number):
    with suppress(ProcessLookupError):
        os.kill(pid, number)
