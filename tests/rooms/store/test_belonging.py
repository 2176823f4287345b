"""No gateway begins on another store than its own by mistake (promises 1 to 3)."""

import shutil
import sqlite3

import pytest

from gatepost.store import belonging, link_keys
from gatepost.store.belonging import MARK, WrongStore
from gatepost.store.engine import KeysError, Store, StoreDamaged
from gatepost.store.upkeep import DATABASE, look_over


def serve(url, folder):
    """What a start of a gateway does with the store."""
    Store.open(url, folder, alone=True).close()


def test_an_empty_store_is_not_begun_where_there_was_one(store_url, tmp_path):
    serve(store_url, tmp_path)
    serve(store_url, tmp_path)
    shutil.copytree(tmp_path / "keys", tmp_path / "restored" / "keys")
    with pytest.raises(WrongStore, match=r"no store yet at .* remove .*store\.json"):
        serve("", tmp_path / "restored")
    assert not (tmp_path / "restored" / DATABASE).exists()
    (tmp_path / "restored" / "keys" / MARK).unlink()
    serve("", tmp_path / "restored")


def test_another_url_is_not_another_empty_store(postgres_server, tmp_path):
    url = postgres_server.database(empty=True)
    serve("", tmp_path)
    with pytest.raises(WrongStore, match=r"no store yet at postgresql:.*last at .*gatepost\.db"):
        serve(url, tmp_path)
    assert belonging.read(tmp_path / "keys").where == str(tmp_path / DATABASE)
    postgres_server.drop(url)


def test_another_store_of_the_same_keys_is_refused(store_url, tmp_path):
    serve(store_url, tmp_path / "first")
    shutil.copytree(tmp_path / "first" / "keys", tmp_path / "second" / "keys")
    (tmp_path / "second" / "keys" / MARK).unlink()
    serve("", tmp_path / "second")
    mark = (tmp_path / "first" / "keys" / MARK).read_text()
    (tmp_path / "second" / "keys" / MARK).write_text(mark)
    with pytest.raises(WrongStore, match="is not the one that these keys belong to"):
        serve("", tmp_path / "second")


def test_a_store_that_is_elsewhere_now_is_the_same(tmp_path):
    serve("", tmp_path / "here")
    before = belonging.read(tmp_path / "here" / "keys")
    (tmp_path / "here").rename(tmp_path / "there")
    serve("", tmp_path / "there")
    after = belonging.read(tmp_path / "there" / "keys")
    assert (after.id, after.where) == (before.id, str(tmp_path / "there" / DATABASE))


def test_a_store_of_an_older_program_is_taken_for_the_one_that_was_left(store_url, tmp_path):
    serve(store_url, tmp_path)
    with Store.open(store_url, tmp_path) as store:
        store.write_now(lambda tx: tx.cursor.execute("DELETE FROM meta WHERE name = 'store.id'"))
    Store.open(store_url, tmp_path).close()  # after a restore commands come first
    serve(store_url, tmp_path)


def test_a_mark_that_says_nothing_is_said(tmp_path):
    serve("", tmp_path)
    (tmp_path / "keys" / MARK).write_text("[]")
    with pytest.raises(KeysError, match=r"remove .*store\.json"):
        serve("", tmp_path)


def test_link_keys_of_an_old_backup_or_none_are_refused(store_url, tmp_path):
    """Nobody could leave by the links that are in the mails (HR-5)."""
    folder = tmp_path / "keys"
    Store.open(store_url, tmp_path).close()
    shutil.copytree(folder, tmp_path / "backup")
    with Store.open(store_url, tmp_path) as store:
        link_keys.rotate(folder, store.now())
    Store.open(store_url, tmp_path).close()
    shutil.copytree(folder, tmp_path / "newer")
    shutil.copy(tmp_path / "backup" / "links.json", folder)
    Store.open(store_url, tmp_path).close()  # a command, before the new key was copied here
    with pytest.raises(KeysError, match=r"links\.json lacks the key"):
        serve(store_url, tmp_path)
    (folder / "links.json").unlink()
    with pytest.raises(KeysError, match=r"links\.json lacks the key"):
        serve(store_url, tmp_path)
    shutil.copy(tmp_path / "newer" / "links.json", folder)
    serve(store_url, tmp_path)


@pytest.mark.parametrize("alone", [True, False])
def test_the_log_of_another_database_is_not_written_into_a_backup(tmp_path, alone):
    path, backup = tmp_path / "data" / DATABASE, tmp_path / "backup.db"
    log = path.with_name(f"{DATABASE}-wal")
    with Store.open("", path.parent) as store:
        with sqlite3.connect(path) as asked:
            asked.execute(f"VACUUM INTO '{backup}'")
        store.write_now(lambda tx: tx.cursor.execute("UPDATE meta SET value = value"))
        shutil.copy(log, tmp_path / "left")
    backup.replace(path)
    shutil.copy(tmp_path / "left", log)
    octets = path.read_bytes()
    with pytest.raises(StoreDamaged, match=r"remove .*-wal and gatepost\.db-shm"):
        Store.open("", path.parent, alone=alone)
    with pytest.raises(StoreDamaged, match=r"remove .*-wal and gatepost\.db-shm"):
        look_over("", path.parent)
    assert path.read_bytes() == octets
    log.unlink()
    Store.open("", path.parent, alone=alone).close()
