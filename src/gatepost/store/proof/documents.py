"""Sources, consent texts and pictures: whether they are as the ledger says."""

from collections.abc import Iterator

from gatepost.store import kept
from gatepost.store.proof.findings import Finding, readable
from gatepost.store.transaction import Tx


def check_documents(tx: Tx) -> list[Finding]:
    """What was changed, added or removed by hand."""
    return list(readable(_check(tx)))


def _check(tx: Tx) -> Iterator[Finding]:
    for what in kept.alterations(tx):
        yield Finding(0, 0, what)
