"""Brings a database to the schema of this program, by Alembic migrations inside the package.

In: an engine for writing, and what is to be done with what an older program left. Out: nothing;
the schema is there and current. The caller holds the file lock of an embedded store; on
PostgreSQL an advisory lock lets several gateways start at once. Every change is one transaction,
so that an interrupted one has never been. Alembic is imported only when there is something to do.

Migrations are linear: the files of `migrations/versions` are named by their revision, and
the highest is the head. Those with a `downgrade` can be taken back without harm to what the
older program promises; before the first of them only a backup leads.

*Fails:* `StoreTooNew`, `CannotRollBack`, `StoreUnavailable` behind a pooler that will not do, and
whatever the database raises.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy import Connection, Engine, MetaData, func, inspect, select, text

from gatepost.store.pooler import refuse_by_transaction
from gatepost.store.trouble import StoreTooNew, StoreUnavailable

MIGRATIONS = Path(__file__).with_name("migrations")
MOVING = "moving"  # the revision of a store that is still being copied (`moving.target`)
_ADVISORY_LOCK = 0x6761_7465_706F_7374  # "gatepost"


class CannotRollBack(Exception):  # noqa: N818  an answer
    """There is no way to that revision; the message says which there are."""


def revisions() -> list[str]:
    """The revisions this program knows, oldest first."""
    files = MIGRATIONS.joinpath("versions").glob("[0-9]*.py")
    return sorted(file.stem.partition("_")[0] for file in files)


def revision(engine: Engine) -> str:
    """The revision the database has; "" where there is none yet. Changes nothing."""
    with engine.connect() as connection, connection.begin():
        return _revision(connection)


def migrate(
    engine: Engine,
    adopt: Callable[[Connection, str], None] | None = None,
    *,
    before: Callable[[str], None] | None = None,
) -> None:
    """Makes or upgrades the schema.

    `before` is told of a revision that is about to be upgraded, "" for none, and may raise. In
    the same transaction `adopt` gets a store that an older program made, and the revision it had.
    """
    with engine.connect() as connection, connection.begin():
        _take_turns(connection)
        if connection.dialect.name == "postgresql":
            refuse_by_transaction(engine, connection)
        known = revisions()
        found = _revision(connection)
        if found == MOVING:
            raise StoreUnavailable(
                "a store is being moved to this database and is not whole yet: run the same "
                "gatepost store migrate-to once more"
            )
        if found and found not in known:
            raise StoreTooNew(
                f"the store has schema {found}, this program knows {known[-1]} at most: use the "
                f"newer program, or let that one take it back (gatepost store rollback --to "
                f"{known[-1]}), or restore a backup"
            )
        if found != known[-1]:
            if before:
                before(found)
            _run(connection, "upgrade", "head")
            if found and adopt:
                adopt(connection, found)


def make(connection: Connection) -> None:
    """The newest schema in an empty database, as a part of the caller's transaction."""
    _run(connection, "upgrade", "head")


def roll_back(engine: Engine, to: str, *, dry_run: bool = False) -> Mapping[str, int]:
    """Takes the schema back to the revision `to`; how many rows went, by table.

    With `dry_run` nothing is changed. Raises `CannotRollBack` and `StoreTooNew`.
    """
    with engine.connect() as connection, connection.begin() as transaction:
        _take_turns(connection)
        _check_way_back(_revision(connection), to)
        before = _count(connection)
        _run(connection, "downgrade", to)
        left = set(inspect(connection).get_table_names())
        if dry_run:
            transaction.rollback()
        return {name: rows for name, rows in before.items() if name not in left}


def oldest_reachable() -> str:
    """The oldest revision that `roll_back` leads to."""
    known = revisions()
    for number, name in reversed(list(enumerate(known))):
        if not _has_downgrade(name):
            return known[number]
    return known[0]


def _check_way_back(found: str, to: str) -> None:
    known = revisions()
    if found and found not in known:
        raise StoreTooNew(
            f"the store has schema {found}, this program knows {known[-1]} at most: only the "
            f"newer program can take it back (its own gatepost store rollback --to {to})"
        )
    oldest = oldest_reachable()
    way = f"the store has schema {found or 'none'} and can be taken back to {oldest} at most"
    if to.isdigit() and to > known[-1]:
        raise CannotRollBack(
            f"{to} is no way back: this program knows no schema newer than {known[-1]}, and the "
            f"program that knows {to} upgrades to it; {way}"
        )
    if to not in known:
        raise CannotRollBack(f"there is no schema {to or 'without a name'}: {way}")
    if to > found:
        raise CannotRollBack(
            f"{to} is no way back: the store has schema {found or 'none'}; "
            "gatepost store upgrade leads forward"
        )
    if to < oldest:
        raise CannotRollBack(f"{way}, not to {to}: for an older one restore a backup")


def _has_downgrade(name: str) -> bool:
    (file,) = MIGRATIONS.joinpath("versions").glob(f"{name}_*.py")
    return "\ndef downgrade()" in file.read_text("utf-8")


def _count(connection: Connection) -> dict[str, int]:
    found = MetaData()
    found.reflect(connection)
    return {
        name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for name, table in sorted(found.tables.items())
    }


def _take_turns(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found or "")


def _run(connection: Connection, direction: str, to: str) -> None:
    from alembic import command  # noqa: PLC0415  slow to import, seldom needed
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    getattr(command, direction)(config, to)
