"""Brings a database to the schema of this program, by Alembic migrations inside the package.

In: an engine for writing, and what is to be done with what an older program left. Out: nothing;
the schema is there and current. The caller holds the file lock of an embedded store; on
PostgreSQL an advisory lock lets several gateways start at once. Alembic is imported only when
there is something to do.

Migrations are linear: the files of `migrations/versions` are named by their revision, and
the highest is the head.

*Fails:* `StoreTooNew`, and whatever the database raises.
"""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from gatepost.store.trouble import StoreTooNew

MIGRATIONS = Path(__file__).with_name("migrations")
_ADVISORY_LOCK = 0x6761_7465_706F_7374  # "gatepost"


def revisions() -> list[str]:
    """The revisions this program knows, oldest first."""
    files = MIGRATIONS.joinpath("versions").glob("[0-9]*.py")
    return sorted(file.stem.partition("_")[0] for file in files)


def migrate(engine: Engine, adopt: Callable[[Connection, str], None] | None = None) -> None:
    """Makes or upgrades the schema.

    In the same transaction `adopt` gets a store that an older program made, and the revision
    it had.
    """
    with engine.connect() as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK}
            )
        known = revisions()
        found = _revision(connection)
        if found and found not in known:
            raise StoreTooNew(
                f"the store has schema {found}, this program knows {known[-1]} at most: "
                "use the newer program, or restore a backup"
            )
        if found != known[-1]:
            _upgrade(connection)
            if found and adopt:
                adopt(connection, found)


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found or "")


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415  slow to import, seldom needed
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
