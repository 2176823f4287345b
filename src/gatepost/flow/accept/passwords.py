"""Passwords: scrypt hashes, and a short memory of what was found right.

In: a user name, the password as it came, the hash from the configuration. Out: yes or no.
PHP mailers authenticate for each mail, and scrypt is slow on purpose; so credentials that
were right are remembered for some minutes as keyed hashes, under a random key that lives and
dies with the process. The stored hash is part of what is remembered: a changed password
counts at once. Unknown names cost the same work as known ones.

*Fails:* `ValueError` for a hash that is none; `Overloaded` when too many checks wait.
*Known limits:* equal work holds as far as all hashes have the cost of `hash_password`.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

_COST = (15, 8, 1)  # ln, r, p: 32 MB and some 60 ms
_FORM = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)=*\$([A-Za-z0-9+/]+)=*"
)
_THREADS = 2  # scrypt lets go of the interpreter lock; more threads than cores gain nothing
_MAX_WAITING = 64
_MAX_REMEMBERED = 10_000


class Overloaded(Exception):  # noqa: N818  a state of affairs, answered 454
    """More passwords wait to be checked than is sensible; try again later."""


@dataclass(frozen=True, slots=True)
class _Hash:
    ln: int
    r: int
    p: int
    salt: bytes
    digest: bytes


def hash_password(password: str) -> str:
    """The text for `password_hash` in config.toml (PHC string format)."""
    ln, r, p = _COST
    salt = secrets.token_bytes(16)
    digest = _scrypt(password.encode(), _Hash(ln, r, p, salt, bytes(32)))
    return _format(salt, digest)


def verify(password: bytes, stored: str) -> bool:
    """Whether `password` is the one that `stored` was made from; slow. Raises `ValueError`."""
    parsed = _parse(stored)
    return hmac.compare_digest(_scrypt(password, parsed), parsed.digest)


def check_form(stored: str) -> None:
    """Raise `ValueError` unless `stored` has the form that `hash_password` gives."""
    _parse(stored)


class Passwords:
    """Checks passwords off the event loop and remembers the right ones for a while."""

    def __init__(
        self, *, remember_seconds: float = 300, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._remember_seconds = remember_seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._until: dict[bytes, float] = {}
        self._waiting = 0
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="passwords")
        # Costs what any hash costs, and nothing is known to be its password.
        self._nobody = _format(secrets.token_bytes(16), secrets.token_bytes(32))

    async def check(self, username: bytes, password: bytes, stored: str) -> bool:
        """Whether the password is right; `stored` is "" for an unknown name (always no).

        Raises `Overloaded`.
        """
        mark = self._mark(username, password, stored)
        if stored and self._until.get(mark, 0.0) > self._clock():
            return True
        if self._waiting >= _MAX_WAITING:
            raise Overloaded
        self._waiting += 1
        try:
            right = await asyncio.get_running_loop().run_in_executor(
                self._threads, verify, password, stored or self._nobody
            )
        finally:
            self._waiting -= 1
        if not (right and stored):
            return False
        self._remember(mark)
        return True

    def close(self) -> None:
        """Let the threads go; nothing can be checked afterwards."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._until.clear()

    def _mark(self, *parts: bytes | str) -> bytes:
        keyed = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            octets = part.encode() if isinstance(part, str) else part
            keyed.update(len(octets).to_bytes(4, "big") + octets)
        return keyed.digest()

    def _remember(self, mark: bytes) -> None:
        now = self._clock()
        if len(self._until) >= _MAX_REMEMBERED:
            self._until = {m: until for m, until in self._until.items() if until > now}
            while len(self._until) >= _MAX_REMEMBERED:
                del self._until[next(iter(self._until))]
        self._until[mark] = now + self._remember_seconds


def _scrypt(password: bytes, how: _Hash) -> bytes:
    n = 1 << how.ln
    return hashlib.scrypt(
        password,
        salt=how.salt,
        n=n,
        r=how.r,
        p=how.p,
        maxmem=128 * how.r * (n + how.p + 2) + (1 << 20),
        dklen=len(how.digest),
    )


def _format(salt: bytes, digest: bytes) -> str:
    ln, r, p = _COST
    return f"$scrypt$ln={ln},r={r},p={p}${_to_base64(salt)}${_to_base64(digest)}"


def _parse(stored: str) -> _Hash:
    match = _FORM.fullmatch(stored)
    if not match:
        raise ValueError("not a password hash; make one with `gatepost hash-password`")
    ln, r, p = (int(match.group(number)) for number in (1, 2, 3))
    if not (1 <= ln <= 20 and 1 <= r <= 32 and 1 <= p <= 16):
        raise ValueError("a password hash with a cost out of bounds (ln 1-20, r 1-32, p 1-16)")
    try:
        salt, digest = _from_base64(match.group(4)), _from_base64(match.group(5))
    except binascii.Error as error:
        raise ValueError("a password hash whose base64 is broken") from error
    if not (8 <= len(salt) <= 64 and 16 <= len(digest) <= 64):
        raise ValueError("a password hash whose salt or digest has an odd length")
    return _Hash(ln, r, p, salt, digest)


def _to_base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii").rstrip("=")


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
