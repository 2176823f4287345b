"""The data folder is its owner's alone, and so is every file in it."""

import os
import stat

import pytest
from structlog.testing import capture_logs

from gatepost.store.engine import Store, StoreUnavailable
from gatepost.store.private import make_private_folder


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_store_is_made_for_its_owner_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        with Store.open("", tmp_path / "data") as store:
            store.write_now(lambda tx: tx.now)
            made = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
            assert len(made) > 5
            assert {path.name: oct(mode(path)) for path in made if mode(path) & 0o077} == {}
    finally:
        os.umask(before)


@pytest.mark.parametrize("wide", [0o755, 0o750, 0o711, 0o777])
def test_a_folder_that_is_open_is_closed_and_said_so(tmp_path, wide):
    folder = tmp_path / "data"
    Store.open("", folder).close()
    folder.chmod(wide)
    with capture_logs() as logged:
        Store.open("", folder).close()
    assert mode(folder) == 0o700
    assert [(one["path"], one["mode"]) for one in logged] == [(str(folder), f"{wide:04o}")]
    with capture_logs() as logged:
        Store.open("", folder).close()
    assert logged == []


def test_the_folder_of_the_keys_as_well(tmp_path):
    Store.open("", tmp_path / "data").close()
    (tmp_path / "data" / "keys").chmod(0o755)
    Store.open("", tmp_path / "data").close()
    assert mode(tmp_path / "data" / "keys") == 0o700


@pytest.mark.parametrize("wide", [0o755, 0o1777])
def test_a_folder_that_others_need_is_left_alone_and_refused(tmp_path, wide):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letters").mkdir()
    (tmp_path / "home").chmod(wide)
    with pytest.raises(StoreUnavailable, match="a folder of its own"):
        Store.open("", tmp_path / "home")
    assert mode(tmp_path / "home") == wide


def test_an_empty_one_is_taken(tmp_path):
    (tmp_path / "data").mkdir(mode=0o755)
    make_private_folder(tmp_path / "data")
    assert mode(tmp_path / "data") == 0o700
