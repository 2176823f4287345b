"""The inspection: every check there is, one after the other, in slices.

In: what runs an operation on a snapshot (`store.read_now`), and a head that was kept elsewhere.
Out: findings, as they are made. No slice takes long, and none keeps a writer waiting, so that
an inspection goes on beside a running gateway, in the same memory whatever the ledger's size.

A file whose pages do not agree is looked at no further.

*Fails:* `StoreUnavailable`; `StoreBroken` where the database itself gives up.
*Known limits:* what is recorded while the inspection runs may or may not be looked at.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy import func, select

from gatepost.store.proof import chain, persons
from gatepost.store.proof.documents import check_documents
from gatepost.store.proof.file import TABLES, check_table
from gatepost.store.proof.findings import Finding
from gatepost.store.tables.ledger import block, event
from gatepost.store.transaction import Tx

T = TypeVar("T")


class Reader(Protocol):
    """Runs an operation on a snapshot of its own; it may run more than once."""

    def __call__(self, op: Callable[[Tx], T]) -> T:
        """The operation's result."""


def size(tx: Tx) -> int:
    """How much there is to look at: events and people."""
    sealed = tx.connection.execute(select(func.sum(block.c.count))).scalar() or 0
    waiting = tx.connection.execute(
        select(func.count()).select_from(event).where(event.c.block.is_(None))
    ).scalar_one()
    return int(sealed) + int(waiting) + persons.count(tx)


def inspect(
    read: Reader,
    head: tuple[int, str] | None = None,
    advance: Callable[[int], None] = lambda _count: None,
) -> Iterator[Finding]:
    """What is not as it was recorded; `advance` is told of every so many things looked at.

    `head` is height and digest as they were told at some earlier time.
    """
    damage = [one for table in TABLES for one in read(partial(check_table, table=table))]
    if damage:  # what is read from such a file says nothing
        yield from damage
        return
    yield from _inspect_chain(read, head, advance)
    yield from read(chain.strays)
    yield from _inspect_people(read, advance)
    yield from read(check_documents)


def differing(
    read: Reader, advance: Callable[[int], None] = lambda _count: None
) -> Iterator[tuple[list[Finding], list[int]]]:
    """Slice by slice, in what derived rows differ from the events, and whose rows these are."""
    mark: int | None = persons.FIRST_MARK
    while mark is not None:
        mark, people, findings, ids = read(partial(persons.check_slice, mark=mark))
        advance(people)
        derived = [one for one in findings if one.what.startswith(persons.DERIVED)]
        if ids:
            yield derived, ids


def _inspect_chain(
    read: Reader, head: tuple[int, str] | None, advance: Callable[[int], None]
) -> Iterator[Finding]:
    walk = chain.Walk()
    while not walk.done:
        walk, findings, events = read(partial(chain.step, walk=walk, head=head))
        advance(events)
        yield from findings
    if head:
        yield from chain.against_head(walk, head)


def _inspect_people(read: Reader, advance: Callable[[int], None]) -> Iterator[Finding]:
    mark: int | None = persons.FIRST_MARK
    while mark is not None:
        mark, people, findings, _ = read(partial(persons.check_slice, mark=mark))
        advance(people)
        yield from findings
