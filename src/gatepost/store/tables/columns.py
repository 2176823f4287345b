"""Column types that both engines understand, and the table behind a model."""

from typing import cast

from sqlalchemy import BigInteger, Integer, Table
from sqlmodel import SQLModel

# SQLite keeps rows by an INTEGER primary key itself; a BIGINT one costs a second index.
Id = BigInteger().with_variant(Integer, "sqlite")


def table_of(model: type[SQLModel]) -> Table:
    """The Core table of a model, for statements that are compiled once."""
    return cast("Table", vars(model)["__table__"])
