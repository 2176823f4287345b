"""What a run ran on: cores, memory, versions, load, and how long the disk takes to be sure.

*Known limits:* says nothing that names the machine.
"""

import os
import platform
import sqlite3
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from relays import postfix_version

SYNCS = 100


@dataclass(frozen=True)
class Machine:
    processor: str
    cores: int
    memory_gib: float
    load: float  # of the last minute, before the run
    sync_ms: float  # median time of one small write with fdatasync
    system: str
    python: str
    sqlite: str
    postfix: str

    @classmethod
    def describe(cls, folder):
        return cls(
            processor=_field("/proc/cpuinfo", "model name") or platform.machine(),
            cores=len(os.sched_getaffinity(0)),
            memory_gib=int(_field("/proc/meminfo", "MemTotal").split()[0]) / 1024**2,
            load=os.getloadavg()[0],
            sync_ms=1000 * statistics.median(sync_times(folder)),
            system=f"Linux {platform.release().partition('-')[0]}",
            python=platform.python_version(),
            sqlite=sqlite3.sqlite_version,
            postfix=postfix_version(),
        )

    @property
    def overloaded(self):
        """Whether others were using the machine when the run began."""
        return self.load > self.cores / 4


def _field(path, name):
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def sync_times(folder):
    """How many seconds single small writes take to be on disk."""
    times = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(b"x" * 4096)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begun)
    return times
