"""The store's keys: files in `data_dir/keys`, each readable by its owner alone.

`suppression.key` makes the hashes that addresses are found by. It is never changed: without
it nobody who left is recognised. `ledger.key` seals the ledger's blocks. `links.json`
holds the ring of keys behind the links in mails: ids, which one is current, which are
compromised. All three belong into every backup, and gateways that share a store share them.

In: a directory. Out: `StoreKeys`. Missing files are made, with `create`.
*Fails:* `KeysError`: unreadable, malformed, or readable by others.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType

from gatepost.mail.address import Address
from gatepost.store.private import leave_folder_to_owner, leave_to_owner, make_private_folder
from gatepost.store.trouble import StoreUnavailable

KEY_BYTES = 32
HASH_BYTES = 16
MAX_LINK_KEY_ID = 63
LINKS = "links.json"


class KeysError(StoreUnavailable):
    """The keys are missing, malformed, or open to others; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreKeys:
    """All keys of one store. They never show in `repr`, logs or errors."""

    suppression: bytes = field(repr=False)
    ledger: bytes = field(repr=False)
    link_keys: Mapping[int, bytes] = field(repr=False)
    link_current: int
    link_compromised: frozenset[int] = frozenset()

    def address_hash(self, address: Address) -> bytes:
        """The 16 bytes that `address` is found by, also after its erasure."""
        return self.key_hash(address.key)

    def key_hash(self, key: str) -> bytes:
        """The same for an `Address.key`."""
        return blake2b(key.encode(), digest_size=HASH_BYTES, key=self.suppression).digest()

    def fingerprints(self) -> dict[str, str]:
        """What tells one set of keys from another without revealing either."""
        return {"suppression.key": _print(self.suppression), "ledger.key": _print(self.ledger)}

    def link_fingerprints(self) -> list[str]:
        """The same of the ring of link keys, the current one first."""
        others = (key for number, key in self.link_keys.items() if number != self.link_current)
        return [_print(key) for key in (self.link_keys[self.link_current], *others)]


def _print(key: bytes) -> str:
    return blake2b(b"gatepost fingerprint", digest_size=8, key=key).hexdigest()


def load(directory: Path, *, create: bool = True) -> StoreKeys:
    """The keys in `directory`, made where missing if `create`. Raises `KeysError`."""
    try:
        if create:
            _make_folder(directory)
            _make_missing(directory)
        return _read(directory)
    except PermissionError as error:
        raise KeysError(
            f"{error.filename or directory}: {error.strerror}; give the data_dir to the user that "
            f"Gatepost runs as: chown -R USER: {directory.parent}"
        ) from error
    except OSError as error:
        raise KeysError(f"{error.filename or directory}: {error.strerror}") from error


def _make_folder(directory: Path) -> None:
    is_new = not directory.exists()
    make_private_folder(directory)
    if is_new and not any(directory.iterdir()):
        leave_folder_to_owner(directory)


def _make_missing(directory: Path) -> None:
    for name in ("suppression.key", "ledger.key"):
        _make(directory / name, secrets.token_bytes(KEY_BYTES).hex() + "\n")
    ring = {"current": 0, "compromised": [], "keys": {"0": secrets.token_bytes(KEY_BYTES).hex()}}
    _make(directory / LINKS, json.dumps(ring, indent=2) + "\n")


def _make(path: Path, text: str) -> None:
    """Makes the file with all of its content or not at all; never replaces one."""
    if path.exists():
        return
    with _draft(path, text) as draft, contextlib.suppress(FileExistsError):
        os.link(draft, path)  # if another process was quicker, its key is the key
    _sync(path.parent)


def replace(path: Path, text: str) -> None:
    """Puts `text` in place of a key file, all of it or nothing, and durably (mode 0600)."""
    with _draft(path, text) as draft:
        draft.replace(path)
    _sync(path.parent)


@contextlib.contextmanager
def _draft(path: Path, text: str) -> Iterator[Path]:
    """A file beside `path` with `text` on disk; gone afterwards."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            leave_to_owner(descriptor, draft)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    """So that a name survives a power cut, not only what it names."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(directory: Path) -> StoreKeys:
    link_keys, current, compromised = read_ring(directory / LINKS)
    return StoreKeys(
        suppression=_key_from(secret_text(directory / "suppression.key"), "suppression.key"),
        ledger=_key_from(secret_text(directory / "ledger.key"), "ledger.key"),
        link_keys=MappingProxyType(link_keys),
        link_current=current,
        link_compromised=compromised,
    )


def read_ring(path: Path) -> tuple[dict[int, bytes], int, frozenset[int]]:
    """Keys by id, the current id, the compromised ones. Raises `KeysError` and `OSError`."""
    try:
        ring = json.loads(secret_text(path))
        keys = {int(number): _key_from(text, path.name) for number, text in ring["keys"].items()}
        current = int(ring["current"])
        compromised = frozenset(int(number) for number in ring.get("compromised", ()))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise KeysError(f"{path}: not a ring of link keys; restore it from a backup") from error
    if current not in keys or not all(0 <= number <= MAX_LINK_KEY_ID for number in keys):
        raise KeysError(f"{path}: the current key is missing, or an id is out of range")
    if current in compromised:
        raise KeysError(f"{path}: the current key is marked compromised; make a new one current")
    return keys, current, compromised


def secret_text(path: Path) -> str:
    """What is in a key file that is its owner's alone. Raises `KeysError` and `OSError`."""
    mode = path.stat().st_mode
    if mode & 0o077:
        raise KeysError(f"{path}: others may read it; run chmod 600 {path}")
    return path.read_text(encoding="ascii", errors="replace")


def _key_from(text: str, name: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError as error:
        raise KeysError(f"{name}: not a key in hexadecimal; restore it from a backup") from error
    if len(key) != KEY_BYTES:
        raise KeysError(f"{name}: the key has {len(key)} bytes, not {KEY_BYTES}")
    return key
