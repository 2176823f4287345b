"""What a contender costs: CPU time and memory of a process and all its descendants, from /proc.

In: the id of the first process. Out: CPU seconds, those of children that have ended included,
and the proportional set size: memory shared by several processes is counted once.

*Known limits:* Linux. A peak is that of the samples taken, twice a second.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.shift import Shift

TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.5


class Tree:
    """A process and its descendants."""

    def __init__(self, pid):
        self.pid = pid

    def cpu_seconds(self):
        """CPU time so far; what ended children used is in their parent's account."""
        return sum(sum(map(int, stat[11:15])) for stat in self._stats().values()) / TICKS

    def read_bytes(self):
        """What the living processes have read from the disk so far."""
        return sum(_read_bytes(pid) for pid in self._stats())

    def memory_bytes(self):
        """The memory that all of them hold now."""
        return sum(_proportional_bytes(pid) for pid in self._stats())

    def _stats(self):
        """The fields of /proc/PID/stat after the name, for each living process of the tree."""
        everybody = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = path.read_text()
            except OSError:
                continue  # it has just ended
            everybody[int(path.parent.name)] = text.rpartition(")")[2].split()
        ours = {self.pid} & everybody.keys()
        grown = True
        while grown:
            more = {pid for pid, stat in everybody.items() if int(stat[1]) in ours} - ours
            ours |= more
            grown = bool(more)
        return {pid: everybody[pid] for pid in ours}


class Peak(Shift):
    """Samples a tree's memory while it is entered; `highest` in bytes."""

    def __init__(self, tree):
        super().__init__([self._sample])
        self._tree = tree
        self.highest = 0

    def _sample(self):
        self.highest = max(self.highest, self._tree.memory_bytes())
        self.over.wait(SAMPLE_SECONDS)


def _proportional_bytes(pid):
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0  # it has just ended
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _read_bytes(pid):
    try:
        text = Path(f"/proc/{pid}/io").read_text()
    except OSError:
        return 0  # it has just ended
    return int(text.partition("\nread_bytes: ")[2].split()[0])
