"""Subjects: the rows behind addresses, found by a keyed hash, kept under a random id.

A subject outlives the erasure of its person, so that links and suppressions go on working:
the address goes, hash and id stay.

In: addresses. Out: subject ids, of which the missing are made.
*Fails:* whatever the database raises.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.mail.address import Address
from gatepost.store.hot import MAX_LIST, compile_once
from gatepost.store.ids import new_ids
from gatepost.store.tables.ledger import subject
from gatepost.store.transaction import Tx

_FIND = select(subject.c.address_hash, subject.c.id).where(
    subject.c.address_hash.in_(bindparam("hashes", expanding=True))
)
# On PostgreSQL the rows of the people concerned are the lock under which their standings are
# folded; taken in the order of the ids, so that two gateways never wait for each other.
_LOCK = (
    select(subject.c.id, subject.c.address_hash, subject.c.address.is_(None))
    .where(subject.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(subject.c.id)
    .with_for_update(key_share=True)
)
_INSERT = {
    "sqlite": sqlite.insert(subject).on_conflict_do_nothing(index_elements=["address_hash"]),
    "postgresql": postgresql.insert(subject).on_conflict_do_nothing(
        index_elements=["address_hash"]
    ),
}
_RESTORE = (
    update(subject)
    .where(subject.c.id == bindparam("subject"), subject.c.address.is_(None))
    .values(address=bindparam("given"))
)


class Locked(NamedTuple):
    """What recording needs to know about a subject: its hash, and whether its address is gone."""

    address_hash: bytes
    is_gone: bool


def ensure_subjects(tx: Tx, addresses: Iterable[Address]) -> dict[str, int]:
    """The subject ids of `addresses` by `Address.key`; who is not known yet is made known."""
    wanted = {tx.keys.key_hash(address.key): address for address in addresses}
    ids = find(tx, wanted)
    missing = sorted(wanted.keys() - ids.keys())
    if missing:
        made = zip(missing, new_ids(len(missing)), strict=True)
        rows = [_row(tx, number, digest, wanted[digest]) for digest, number in made]
        compile_once(_INSERT[tx.dialect], tx.dialect).executemany(tx, rows)
        if tx.dialect == "postgresql":  # another gateway may have been quicker
            ids |= find(tx, missing)
        else:
            ids |= {row["address_hash"]: row["id"] for row in rows}
    return {address.key: ids[digest] for digest, address in wanted.items()}


def find(tx: Tx, hashes: Iterable[bytes]) -> dict[bytes, int]:
    """The subject ids of those among `hashes` who are known."""
    hot = compile_once(_FIND, tx.dialect)
    found: dict[bytes, int] = {}
    for chunk in chunks(sorted(hashes)):
        found.update(hot.rows(tx, {"hashes": chunk}))
    return found


def lock(tx: Tx, ids: Iterable[int]) -> dict[int, Locked]:
    """The subjects `ids`, whose rows are locked until COMMIT.

    Who does not exist is missing in the answer. SQLite has one writer and locks no rows.
    """
    hot = compile_once(_LOCK, tx.dialect)
    found: dict[int, Locked] = {}
    for chunk in chunks(sorted(set(ids))):
        for number, digest, gone in hot.rows(tx, {"ids": chunk}):
            found[number] = Locked(digest, bool(gone))
    return found


def restore_addresses(tx: Tx, given: Mapping[int, str]) -> None:
    """Puts back the address of erased people who came again of their own accord."""
    rows = [{"subject": subject, "given": text} for subject, text in given.items()]
    compile_once(_RESTORE, tx.dialect).executemany(tx, rows)


def chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """`items` in slices that one statement can take."""
    for start in range(0, len(items), MAX_LIST):
        yield items[start : start + MAX_LIST]


def _row(tx: Tx, number: int, digest: bytes, address: Address) -> dict[str, Any]:
    return {
        "id": number,
        "address_hash": digest,
        "address": address.given,
        "created_ms": tx.now_ms,
        "erased_ms": None,
    }
