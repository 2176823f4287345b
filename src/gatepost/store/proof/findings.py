"""Findings: what is not as it was recorded.

In: checks that yield findings. Out: the same, and a finding where a row holds what its column
cannot hold.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from sqlalchemy.exc import DBAPIError

from gatepost.store.trouble import Trouble, classify

UNREADABLE = (
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    OverflowError,
    DBAPIError,
    sqlite3.Error,
    psycopg.Error,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was. `block`, `event`, `subject` are 0 where none is meant."""

    block: int
    event: int
    what: str
    subject: int = 0


def readable(
    findings: Iterator[Finding], *, block: int = 0, event: int = 0, subject: int = 0
) -> Iterator[Finding]:
    """`findings`, and one more where something cannot be read; trouble of the store is raised."""
    try:
        yield from findings
    except UNREADABLE as error:
        if classify(error) is not Trouble.NONE:
            raise
        yield Finding(block, event, f"cannot be read: {error}", subject)
