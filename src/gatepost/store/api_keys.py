"""Keys to the API: who holds one, what it opens, and whether it still does.

A key is `gpk_<id>_<secret>`: the id finds the row, the secret is 256 random bits. Kept is a
SHA-256 of the secret alone; a slow hash would protect what nobody can guess anyway. A key is
looked up at every request, so that revoking one holds at once in every process.

In: names, scopes, senders; a key as it came. Out: the key, shown once; an `ApiKey`, or `None`.
*Fails:* `ValueError`, with what to write instead.
*Known limits:* the time of last use is kept to a minute.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.store.hot import compile_once
from gatepost.store.ids import new_id, to_text
from gatepost.store.tables import onward as tables
from gatepost.store.times import from_ms, to_ms
from gatepost.store.transaction import Tx

SCOPES = (
    "consents:read", "consents:write", "withdrawals:write", "audience:check",
    "suppressions:read", "suppressions:write", "campaigns:read", "campaigns:write",
    "quarantine:read", "quarantine:write",
)  # fmt: skip
REPEATED_WITHIN = timedelta(days=1)  # an Idempotency-Key is remembered so long
_PREFIX = "gpk"
_USED_MS = 60_000
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_NOBODY = hashlib.sha256(b"").digest()
_k, _q = tables.api_key.c, tables.api_request.c

_FIND = select(tables.api_key).where(_k.id == bindparam("which"))
_FIND_NAMES = tuple(column.name for column in tables.api_key.c)
_REMEMBERED = select(_q.fingerprint, _q.outcome).where(
    _q.api_key == bindparam("key"), _q.idempotency_key == bindparam("name")
)
_REMEMBER = {
    "sqlite": sqlite.insert(tables.api_request).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(tables.api_request).on_conflict_do_nothing(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key, without its secret. No `senders` named means all."""

    id: str
    name: str
    scopes: tuple[str, ...]
    senders: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def may(self, scope: str) -> bool:
        """Whether the key opens what asks for `scope`."""
        return scope in self.scopes

    def sees(self, sender: str) -> bool:
        """Whether what belongs to `sender` is there for the holder of this key."""
        return not self.senders or sender in self.senders

    def is_valid(self, now: datetime) -> bool:
        """Whether it opens anything at all."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Repetition:
    """A request that came before under the same Idempotency-Key. `same` is false for another."""

    same: bool
    outcome: str


def add(
    tx: Tx,
    name: str,
    *,
    scopes: Iterable[str] = (),
    senders: Iterable[str] = (),
    expires_at: datetime | None = None,
) -> str:
    """Makes a key and returns it; nobody can read it again. No `scopes` named means all.

    Raises `ValueError`.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: use letters, digits, ., - and _, at most 63")
    wanted = sorted(set(scopes) or SCOPES)
    for scope in wanted:
        if scope not in SCOPES:
            raise ValueError(f"there is no scope {scope!r}: there are {', '.join(SCOPES)}")
    if expires_at is not None and expires_at <= tx.now:
        raise ValueError("the key would have expired already")
    taken = select(_k.revoked_ms).where(_k.name == name)
    found = tx.connection.execute(taken).one_or_none()
    if found is not None:
        raise ValueError(f"there is a key {name!r} already: choose another name")
    identifier, secret = to_text(new_id()), secrets.token_urlsafe(32)
    tx.connection.execute(
        insert(tables.api_key).values(
            id=identifier,
            name=name,
            digest=_digest(secret),
            scopes=",".join(wanted),
            senders=",".join(sorted(set(senders))),
            created_ms=tx.now_ms,
            expires_ms=None if expires_at is None else to_ms(expires_at),
        )
    )
    return f"{_PREFIX}_{identifier}_{secret}"


def list_all(tx: Tx) -> list[ApiKey]:
    """All keys, revoked ones included, by name."""
    rows = tx.connection.execute(select(tables.api_key).order_by(_k.name))
    return [_key(row._mapping) for row in rows]  # noqa: SLF001  SQLAlchemy's public name for it


def revoke(tx: Tx, name: str) -> bool:
    """Makes a key worthless from the commit on; false if there is none. Twice is once."""
    row = update(tables.api_key).where(_k.name == name, _k.revoked_ms.is_(None))
    if tx.connection.execute(row.values(revoked_ms=tx.now_ms)).rowcount:
        return True
    known = select(_k.id).where(_k.name == name)
    return tx.connection.execute(known).scalar() is not None


def find(tx: Tx, text: str) -> ApiKey | None:
    """The key that `text` is, while it is valid; else `None`, after the same work."""
    prefix, _, rest = text.partition("_")
    identifier, _, secret = rest.partition("_")
    rows = compile_once(_FIND, tx.dialect).rows(tx, {"which": identifier})
    row = dict(zip(_FIND_NAMES, rows[0], strict=True)) if rows else None
    right = hmac.compare_digest(bytes(row["digest"]) if row else _NOBODY, _digest(secret))
    if row is None or not right or prefix != _PREFIX:
        return None
    key = _key(row)
    return key if key.is_valid(tx.now) else None


def is_use_noted(key: ApiKey, now: datetime) -> bool:
    """Whether the time of last use need not be written again yet."""
    used = key.last_used_at
    return used is not None and to_ms(now) - to_ms(used) < _USED_MS


def note_use(tx: Tx, identifier: str) -> None:
    """Notes that a key was used now."""
    stale = or_(_k.last_used_ms.is_(None), _k.last_used_ms <= tx.now_ms - _USED_MS)
    row = update(tables.api_key).where(_k.id == identifier, stale)
    tx.connection.execute(row.values(last_used_ms=tx.now_ms))


def repetition(tx: Tx, key: str, idempotency_key: str, fingerprint: bytes) -> Repetition | None:
    """What became of the request that came under this Idempotency-Key, if there was one."""
    names = {"key": key, "name": idempotency_key}
    rows = compile_once(_REMEMBERED, tx.dialect).rows(tx, names)
    if not rows:
        return None
    return Repetition(bytes(rows[0][0]) == fingerprint, rows[0][1])


def remember(tx: Tx, key: str, idempotency_key: str, fingerprint: bytes, outcome: str) -> None:
    """Keeps what became of a request. Of two that come at once the first answer stands."""
    row = {
        "api_key": key,
        "idempotency_key": idempotency_key,
        "fingerprint": fingerprint,
        "outcome": outcome,
        "at_ms": tx.now_ms,
    }
    compile_once(_REMEMBER[tx.dialect], tx.dialect).execute(tx, row)


def forget_requests(tx: Tx) -> int:
    """Forgets the Idempotency-Keys of yesterday; how many these were."""
    old = delete(tables.api_request).where(_q.at_ms < to_ms(tx.now - REPEATED_WITHIN))
    return tx.connection.execute(old).rowcount


def _digest(secret: str) -> bytes:
    return hashlib.sha256(b"gatepost api key\x00" + secret.encode()).digest()


def _key(row: Any) -> ApiKey:
    return ApiKey(
        id=row["id"],
        name=row["name"],
        scopes=_names(row["scopes"]),
        senders=_names(row["senders"]),
        created_at=from_ms(row["created_ms"]),
        expires_at=_moment(row["expires_ms"]),
        last_used_at=_moment(row["last_used_ms"]),
        revoked_at=_moment(row["revoked_ms"]),
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else from_ms(milliseconds)
