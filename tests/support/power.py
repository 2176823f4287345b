"""A disk that loses power: what a program wrote and what it synced, and what may be left of it.

    with recorded(tmp_path, folder) as disk:     # the environment for whatever is started now
        gateway.start()
    ...
    disk.place()                                 # how far the record is, to note what was known then
    disk.build(target, place, luck)              # the folder as power loss at that place leaves it

What was synced is there. Of what was written after the last sync of its file, `luck(page)` says
for each page of 4 KB whether it got there, in any order: pages may be torn from a write. A name
(a new file, a removed one) is sure only when its folder was synced; otherwise luck decides. What
was in the folder when the record began is sure.
"""

import os
import shutil
import struct
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PAGE = 4096
SOURCE = Path(__file__).with_name("disk_recorder.c")
_HEAD = struct.Struct("=BIQI")


def find_compiler():
    """The C compiler, or None."""
    return shutil.which("cc") or shutil.which("gcc")


@contextmanager
def recorded(scratch, folder):
    """Programs that are started in the block are recorded; ends with the block, not with them."""
    library, record = scratch / "disk_recorder.so", scratch / "disk.record"
    compiler = find_compiler()
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl", "-pthread"]
    subprocess.run(command, check=True, timeout=300)
    folder.mkdir(mode=0o700, exist_ok=True)
    disk = Disk(folder.resolve(), record, scratch / "sure")
    shutil.copytree(folder, disk.sure)
    names = {"LD_PRELOAD": library, "DISK_FOLDER": folder.resolve(), "DISK_RECORD": record}
    os.environ.update({name: str(value) for name, value in names.items()})
    try:
        yield disk
    finally:
        for name in names:
            del os.environ[name]


@dataclass
class _File:
    """One file: what is sure of it, and what was done since."""

    content: bytearray
    since: list = field(default_factory=list)  # (place, offset, data or None for its new length)

    def settle(self, before):
        """Makes sure what was done before that place."""
        for place, offset, data in self.since:
            if place < before:
                _apply(self.content, offset, data)
        self.since = [one for one in self.since if one[0] >= before]

    def left(self, luck):
        """What luck leaves of it."""
        content = bytearray(self.content)
        for _, offset, data in self.since:
            if data is None:
                if luck():
                    _apply(content, offset, None)
                continue
            start = 0
            while start < len(data):
                end = min(len(data), start + PAGE - (offset + start) % PAGE)
                if luck():
                    _apply(content, offset + start, data[start:end])
                start = end
        return content


class Disk:
    """The record of one folder."""

    def __init__(self, folder, record, sure):
        self.folder, self.record, self.sure = folder, record, sure

    def place(self):
        """How far the record is."""
        return self.record.stat().st_size

    def build(self, target, place, luck):
        """Makes `target` the folder as it may be after power was lost at `place`."""
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.sure, target, copy_function=shutil.copy2)
        sure, now = self._replay(place)
        names = {name: file for name, file in now.items() if sure.get(name) is file or luck()}
        names |= {name: file for name, file in sure.items() if name not in now and not luck()}
        for path in [path for path in target.rglob("*") if path.is_file()]:
            path.unlink()
        for name, file in names.items():
            path = target / Path(name).relative_to(self.folder)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(file.left(luck))
            path.chmod(0o600)

    def _replay(self, until):
        """Names to files: those that are sure, and those of the moment."""
        now = {
            str(self.folder / path.relative_to(self.sure)): _File(bytearray(path.read_bytes()))
            for path in self.sure.rglob("*")
            if path.is_file() and not path.name.endswith("-shm")
        }
        sure, changed = dict(now), {}  # name → place of its last change
        for place, kind, path, number, data in self._entries(until):
            match kind:
                case "W":
                    now.setdefault(path, _File(bytearray())).since.append((place, number, data))
                case "T":
                    now.setdefault(path, _File(bytearray())).since.append((place, number, None))
                case "C":
                    now[path], changed[path] = _File(bytearray()), place
                case "U":
                    now.pop(path, None)
                    changed[path] = place
                case "R" | "L":
                    target = data.decode()
                    now[target], changed[target] = now[path], place
                    if kind == "R":
                        del now[path]
                        changed[path] = place
                case "S" if path in now:
                    now[path].settle(number)
                case "S":
                    _settle_names(path, number, sure, now, changed)
        return sure, now

    def _entries(self, until):
        with self.record.open("rb") as record:
            place = 0
            while place < until and len(head := record.read(_HEAD.size)) == _HEAD.size:
                kind, length, number, size = _HEAD.unpack(head)
                path, data = record.read(length), record.read(size)
                if len(data) < size:
                    return
                yield place, chr(kind), path.decode(), number, data
                place += _HEAD.size + length + size


def _settle_names(folder, before, sure, now, changed):
    for name in [name for name, place in changed.items() if place < before]:
        if str(Path(name).parent) == folder:
            del changed[name]
            if name in now:
                sure[name] = now[name]
            else:
                sure.pop(name, None)


def _apply(content, offset, data):
    if data is None:
        del content[offset:]
        content.extend(bytes(max(0, offset - len(content))))
        return
    content.extend(bytes(max(0, offset + len(data) - len(content))))
    content[offset : offset + len(data)] = data
