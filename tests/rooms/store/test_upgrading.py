"""Schema up and down with rows in every table: nothing is lost, and the ledger verifies."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Integer, MetaData, create_engine, insert, inspect, make_url, select, text

from gatepost.store import ledger, schema, upkeep
from gatepost.store.engine import DATABASE, Store
from gatepost.store.instance import StoreInUse, only_instance
from gatepost.store.postgresql import connect
from gatepost.store.schema import CannotRollBack
from gatepost.store.trouble import StoreTooNew, StoreUnavailable
from support.filled import fill
from support.patience import PATIENCE_SECONDS
from support.patient_stores import wait_for_long

OLDEST_WITH_ROWS = "0004"  # before it nobody had a store
REVISIONS = [name for name in schema.revisions()[:-1] if name >= OLDEST_WITH_ROWS]
HEAD = schema.revisions()[-1]
# Columns that an upgrade gives another meaning, and says so.
GO_ON = (
    "SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
    " WHERE pg_get_serial_sequence('{table}', 'id') IS NOT NULL"
)
CHANGED = {"consent_text": {"active"}, "meta": {"value"}}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Folder and rows of a store of today with rows in every table."""
    folder = tmp_path_factory.mktemp("filled")
    with Store.open("", folder) as store:
        fill(store)
        assert store.write_now(ledger.verify) == []
    with engine_on("", folder) as engine:
        return folder, rows_of(engine)


@contextmanager
def engine_on(url, folder):
    made = make_url(url or f"sqlite:///{folder / DATABASE}")
    engine = create_engine(made.set(drivername="postgresql+psycopg") if url else made)
    yield engine
    engine.dispose()


def tables_of(connection):
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def rows_of(engine):
    """The rows of every table, as mappings."""
    with engine.connect() as connection:
        return {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in tables_of(connection)
        }


def shape_of(engine):
    """Tables, columns and indexes."""
    found = inspect(engine)
    return {
        name: (
            {column["name"]: (str(column["type"]), column["nullable"])
             for column in found.get_columns(name)},
            {index["name"] for index in found.get_indexes(name)},
        )
        for name in found.get_table_names()
    }  # fmt: skip


def make_old(url, folder, revision, rows=None):
    """A store of an earlier version, with what of `rows` it could hold."""
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    with engine_on(url, folder) as engine, engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for table in tables_of(connection):
            names = {column.name for column in table.columns}
            old = [
                {name: value for name, value in row.items() if name in names}
                for row in (rows or {}).get(table.name, ())
            ]
            if old:
                connection.execute(insert(table), old)
            if url and "id" in names and isinstance(table.c.id.type, Integer):
                connection.execute(text(GO_ON.format(table=table.name)))


def lacking(before, after):
    """The tables whose rows are not all there any more, by what `before` said of them."""
    lost = []
    for name, rows in before.items():
        shared = set(rows[0] if rows else ()) & set(after[name][0] if after[name] else ())
        shared -= CHANGED.get(name, set())
        kept = {tuple(repr(row[column]) for column in sorted(shared)) for row in after[name]}
        wanted = {tuple(repr(row[column]) for column in sorted(shared)) for row in rows}
        if not wanted <= kept:
            lost.append(name)
    return lost


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_older_store_is_brought_up_to_date_with_everything_in_it(
    empty_url, tmp_path, filled, revision
):
    folder, rows = filled
    shutil.copytree(folder / "keys", tmp_path / "keys")
    make_old(empty_url, tmp_path, revision, rows)
    with engine_on(empty_url, tmp_path) as engine:
        before = rows_of(engine)
        assert all(before[name] for name in ("event", "recipient", "submission", "content"))
        with Store.open(empty_url, tmp_path) as store:
            while store.write_now(ledger.seal):
                pass
            assert store.write_now(ledger.verify) == []
            assert lacking(before, rows_of(engine)) == []


@pytest.mark.parametrize("revision", [REVISIONS[-1], schema.oldest_reachable()])
def test_a_store_goes_back_and_comes_up_again(empty_url, tmp_path, filled, revision):
    folder, rows = filled
    shutil.copytree(folder / "keys", tmp_path / "keys")
    make_old(empty_url, tmp_path, HEAD, rows)
    with engine_on(empty_url, tmp_path) as engine:
        before = rows_of(engine)
        would = upkeep.roll_back(empty_url, tmp_path, revision, dry_run=True)
        assert rows_of(engine) == before
        went = upkeep.roll_back(empty_url, tmp_path, revision)
        assert went == would
        assert all(went.values()), "each had rows, and it was said how many"
        assert went.keys() == before.keys() - rows_of(engine).keys()
        assert upkeep.look(empty_url, tmp_path).schema == revision
        shape = shape_of(engine)
        with Store.open(empty_url, tmp_path) as store:
            assert store.write_now(ledger.verify) == []
        left = {name: rows for name, rows in before.items() if name not in went}
        assert lacking(left, rows_of(engine)) == []
    if not empty_url:
        make_old("", tmp_path / "keys", revision)
        with engine_on("", tmp_path / "keys") as other:
            assert shape_of(other) == shape


@pytest.mark.parametrize("revision", ["0007", "9999", "", "0013x"])
def test_there_is_no_way_back_to_just_anything(tmp_path, revision):
    Store.open("", tmp_path).close()
    with pytest.raises(CannotRollBack, match=schema.oldest_reachable()):
        upkeep.roll_back("", tmp_path, revision)
    assert upkeep.look("", tmp_path).schema == HEAD


def test_every_migration_since_can_be_taken_back():
    """Whoever adds one says how it is undone, or why it cannot be (`schema.oldest_reachable`)."""
    assert schema.oldest_reachable() == "0008"


def test_a_newer_store_names_the_cure(empty_url, tmp_path):
    with Store.open(empty_url, tmp_path) as store:
        store.write_now(
            lambda tx: tx.connection.execute(text("UPDATE alembic_version SET version_num='9999'"))
        )
    with pytest.raises(StoreTooNew, match=f"rollback --to {HEAD}.*backup"):
        Store.open(empty_url, tmp_path)
    assert upkeep.look(empty_url, tmp_path).schema == "9999"


KILLED = """
import os, signal, sys
from pathlib import Path
from gatepost.store import schema
from gatepost.store.connection import postgresql_engine, sqlite_engine

url, path = sys.argv[1:]
engine = postgresql_engine(url, writes=True) if url else sqlite_engine(Path(path), writes=True)
schema.migrate(engine, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_an_upgrade_that_was_killed_is_done_again(empty_url, tmp_path, filled):
    folder, rows = filled
    shutil.copytree(folder / "keys", tmp_path / "keys")
    make_old(empty_url, tmp_path, REVISIONS[0], rows)
    with engine_on(empty_url, tmp_path) as engine:
        before = rows_of(engine)
        ended = subprocess.run(
            [sys.executable, "-c", KILLED, empty_url, str(tmp_path / DATABASE)], check=False
        )
        assert ended.returncode == -9
        assert upkeep.look(empty_url, tmp_path).schema == REVISIONS[0]
        assert rows_of(engine) == before
        with Store.open(empty_url, tmp_path) as store:
            assert store.write_now(ledger.verify) == []
            assert lacking(before, rows_of(engine)) == []


def test_gateways_that_start_at_once_upgrade_once(empty_url, tmp_path, filled, monkeypatch):
    wait_for_long(monkeypatch)
    folder, rows = filled
    shutil.copytree(folder / "keys", tmp_path / "keys")
    make_old(empty_url, tmp_path, REVISIONS[0], rows)
    opened, barrier = [], threading.Barrier(3)

    def start():
        barrier.wait()
        with Store.open(empty_url, tmp_path, alone=True) as store:
            opened.append(store.read_now(lambda tx: tx.now_ms))

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 3
    with Store.open(empty_url, tmp_path) as store:
        assert store.write_now(ledger.verify) == []


def test_no_command_upgrades_a_store_under_a_running_gateway(tmp_path):
    make_old("", tmp_path, REVISIONS[-1])
    with only_instance(tmp_path):
        with pytest.raises(StoreInUse, match=f"{REVISIONS[-1]}.*stop it first"):
            Store.open("", tmp_path)
        assert upkeep.look("", tmp_path).schema == REVISIONS[-1]
    Store.open("", tmp_path).close()
    with only_instance(tmp_path):
        Store.open("", tmp_path).close()  # nothing to upgrade: commands work beside a gateway


def test_a_store_in_use_is_not_taken_back(postgres_server, tmp_path):
    url = postgres_server.database()
    with Store.open(url, tmp_path), pytest.raises(StoreUnavailable, match="stop every gateway"):
        upkeep.roll_back(url, tmp_path, REVISIONS[-1])
    postgres_server.drop(url)


def test_who_has_just_left_is_waited_for(postgres_server, tmp_path, monkeypatch):
    """The server's side of a line ends later than ours: after a stop, or a dry run."""
    url = postgres_server.database()
    with connect(url, {}) as leaving:
        backend = leaving.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
    looked, others = [], upkeep._others

    def look(engine):
        looked.append(others(engine))
        os.kill(backend, signal.SIGCONT)
        monkeypatch.setattr(upkeep, "_others", others)
        return looked[-1]

    monkeypatch.setattr(upkeep, "_others", look)
    monkeypatch.setattr(upkeep, "GLANCE_SECONDS", PATIENCE_SECONDS)
    upkeep.roll_back(url, tmp_path, REVISIONS[-1], dry_run=True)
    assert looked == [1]
    postgres_server.drop(url)
