"""The ring of link keys in `keys/links.json`: read, and given a new key.

A key that is no longer current goes on opening the links it made, for ever: people leave by old
mails, too (HR-5, R8058-15). One that is marked compromised lets people leave and opens nothing
else. So ids are never given twice, and there are 64 of them.

In: the folder of the keys. Out: a `RingFile`. Writing is one at a time, whole or not at all.
*Fails:* `KeysError`: unreadable, malformed, open to others; `RingFull`; `UnknownKey`.
*Known limits:* gateways on several machines each have their own copy of the file: copy it to all
of them before the next mailing, or one gateway's links are foreign to the others meanwhile.
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from gatepost.store.keys import (
    KEY_BYTES,
    LINKS,
    MAX_LINK_KEY_ID,
    KeysError,
    read_ring,
    replace,
    secret_text,
)

Version = tuple[int, int, int]


class RingFull(KeysError):  # noqa: N818  a fact about the ring
    """Every id has been given to a key."""


class UnknownKey(KeysError):  # noqa: N818  a fact about the ring
    """No key has this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RingFile:
    """What the file says. `made` knows when keys were made, but for those of the first start."""

    keys: Mapping[int, bytes] = field(repr=False)
    current: int
    compromised: frozenset[int]
    made: Mapping[int, datetime]

    def state(self, number: int) -> str:
        """One of "current", "old" and "compromised"."""
        if number in self.compromised:
            return "compromised"
        return "current" if number == self.current else "old"


def version(folder: Path) -> Version | None:
    """What differs when the file has changed; `None` if it cannot be looked at."""
    try:
        found = os.stat(f"{folder}/{LINKS}")  # noqa: PTH116  asked for every link, and half the cost
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read(folder: Path) -> RingFile:
    """The ring as it is. Raises `KeysError`."""
    path = folder / LINKS
    try:
        keys, current, compromised = read_ring(path)
        made = json.loads(secret_text(path)).get("made", {})
        times = {int(number): datetime.fromisoformat(at) for number, at in made.items()}
    except OSError as error:
        raise KeysError(f"{path}: {error.strerror}") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise KeysError(f"{path}: not a ring of link keys; restore it from a backup") from error
    return RingFile(keys=keys, current=current, compromised=compromised, made=times)


def rotate(folder: Path, now: datetime, *, compromised: int | None = None) -> RingFile:
    """Makes a new key the current one, and marks another as compromised if told so.

    Where no id is left, an old key can still be marked; nothing else then changes.
    """
    with _alone(folder):
        ring = read(folder)
        marked = ring.compromised
        if compromised is not None:
            if compromised not in ring.keys:
                raise UnknownKey(f"no link key has the id {compromised}: see gatepost keys list")
            marked |= {compromised}
        free = next((n for n in range(MAX_LINK_KEY_ID + 1) if n not in ring.keys), None)
        if free is not None:
            key = secrets.token_bytes(KEY_BYTES)
            keys, made = {**ring.keys, free: key}, {**ring.made, free: now}
            changed = RingFile(keys=keys, current=free, compromised=marked, made=made)
        elif marked == ring.compromised or ring.current in marked:
            raise RingFull(
                f"all {MAX_LINK_KEY_ID + 1} ids are taken, and none is given twice: old links "
                "need their keys. To make room, remove from links.json the oldest key whose "
                "links nobody may need any more; they stop working"
            )
        else:
            changed = RingFile(
                keys=ring.keys, current=ring.current, compromised=marked, made=ring.made
            )
        try:
            replace(folder / LINKS, _spelled(changed))
        except OSError as error:
            raise KeysError(f"{error.filename or folder}: {error.strerror}") from error
    return changed


def _spelled(ring: RingFile) -> str:
    values = {
        "current": ring.current,
        "compromised": sorted(ring.compromised),
        "keys": {str(number): ring.keys[number].hex() for number in sorted(ring.keys)},
        "made": {str(number): ring.made[number].isoformat() for number in sorted(ring.made)},
    }
    return json.dumps(values, indent=2) + "\n"


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two who rotate at once would each write a ring without the other's key."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise KeysError(f"{folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
