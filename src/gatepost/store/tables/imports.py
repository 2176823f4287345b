"""The table of imports under way: how far each has come, so that it can go on."""

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from gatepost.store.tables.columns import table_of


class ImportProgress(SQLModel, table=True):
    """One import that has begun and not ended. `digest` stands for the file and the options.

    `stage` 0 reads who left, 1 what was agreed to; `rows` of the stage are committed, and
    `rejects_bytes` of the file of refused rows belong to them. `tally` is the count so far,
    as JSON. Nothing here names a person.
    """

    __tablename__ = "import_progress"

    digest: str = Field(primary_key=True)
    stage: int
    rows: int
    rejects_bytes: int = Field(sa_type=BigInteger)
    tally: str
    touched_ms: int = Field(sa_type=BigInteger)


import_progress = table_of(ImportProgress)
