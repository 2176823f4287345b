"""Migrations: what they make is what the tables say; newer databases are refused."""

import importlib
import pkgutil
import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, make_url, text
from sqlmodel import SQLModel

from gatepost.store import schema, tables
from gatepost.store.engine import DATABASE, Store
from gatepost.store.trouble import StoreTooNew


def differences(tx):
    """What a migration would have to do to make the tables those of the models."""
    for module in pkgutil.iter_modules(tables.__path__, "gatepost.store.tables."):
        importlib.import_module(module.name)
    context = MigrationContext.configure(tx.connection, opts={"compare_type": True})
    return compare_metadata(context, SQLModel.metadata)


def test_the_migrations_make_the_tables_of_the_models(store):
    assert store.write_now(differences) == []


def test_the_history_is_one_line():
    scripts = ScriptDirectory(str(schema.MIGRATIONS))
    line = [script.revision for script in scripts.walk_revisions()]
    assert line == list(reversed(schema.revisions()))


@pytest.mark.parametrize("revision", schema.revisions()[:-1])
def test_a_store_of_an_earlier_version_is_brought_up_to_date(empty_url, tmp_path, revision):
    made = make_url(empty_url or f"sqlite:///{tmp_path / DATABASE}")
    engine = create_engine(made.set(drivername="postgresql+psycopg") if empty_url else made)
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        assert not inspect(connection).get_table_names()  # else the upgrade does nothing
        command.upgrade(config, revision)
    engine.dispose()
    with Store.open(empty_url, tmp_path) as store:
        assert store.write_now(differences) == []


def test_a_database_that_is_newer_than_the_program_is_refused(store_url, tmp_path):
    with Store.open(store_url, tmp_path) as store:
        store.write_now(
            lambda tx: (
                tx.connection.execute(text("UPDATE alembic_version SET version_num='9999'"))
                and None
            )
        )
    with pytest.raises(StoreTooNew, match="9999"):
        Store.open(store_url, tmp_path)


def test_a_current_store_opens_without_alembic(tmp_path):
    """Commands open the store, too, and importing Alembic takes longer than most of them."""
    Store.open("", tmp_path).close()
    program = (
        "import sys; from pathlib import Path; from gatepost.store.engine import Store;"
        "Store.open('', Path(sys.argv[1])).close(); sys.exit('alembic' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == 0
    )


def test_ids_are_the_rows_own_numbers_on_sqlite(tmp_path):
    """An INTEGER PRIMARY KEY is the row id; any other type would need an index of its own."""
    with Store.open("", tmp_path) as store:
        sql = "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'sqlite_auto%'"
        indexes = store.read_now(lambda tx: [row[0] for row in tx.cursor.execute(sql)])
    assert not any("_event" in name for name in indexes)
    assert "sqlite_autoindex_subject_2" not in indexes
