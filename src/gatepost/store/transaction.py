"""What an operation gets (`Tx`) and what operations that wait together are (`BatchOp`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from gatepost.store.keys import StoreKeys

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, eq=False)
class Tx:
    """One open transaction, for the thread that runs the operation, until it returns.

    `connection` is SQLAlchemy's; `cursor` is the driver's own, inside the same transaction,
    for statements compiled once (`hot`). `now` and `now_ms` are the store's clock when the
    transaction began. `dialect` is "sqlite" or "postgresql".
    """

    connection: Connection
    cursor: Any
    now: datetime
    now_ms: int
    keys: StoreKeys
    dialect: str


@dataclass(frozen=True, slots=True, eq=False)
class BatchOp(Generic[J, R]):
    """An operation that does many jobs at once: one result per job, in their order.

    Jobs that wait together are run in one call. After a failure of the shared transaction
    each is run again alone, so `run` must not leave traces outside the transaction.
    """

    name: str
    run: Callable[[Tx, Sequence[J]], Sequence[R]]
