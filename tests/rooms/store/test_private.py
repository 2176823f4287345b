"""The data folder is its owner's alone, and so is every file in it."""

import os
import stat
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from gatepost.store.engine import Store, StoreUnavailable
from gatepost.store.private import _covering_mount_is_ours, make_private_folder
from support import full_disk
from support.patience import PATIENCE_SECONDS

IN_ITS_OWN_MOUNTS = full_disk.command()[:2]


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


MOUNTS = """\
27 1 8:1 / / ro,relatime - ext4 /dev/sda1 rw
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw
40 27 0:30 / /run ro,nosuid - tmpfs tmpfs rw,mode=755
41 40 0:31 / /run/secrets ro,relatime - tmpfs tmpfs rw
42 27 0:32 / /etc/mail\\040secrets ro,relatime shared:7 - tmpfs tmpfs rw
43 27 8:1 /srv/db.password /opt/db.password ro,relatime - ext4 /dev/sda1 rw
44 27 8:1 /srv/open.password /opt/open.password rw,relatime - ext4 /dev/sda1 rw
45 27 0:33 / /mnt/written rw,relatime - tmpfs tmpfs rw
46 27 8:2 / /mnt/share ro,relatime - nfs4 server:/share rw
""".splitlines()


@pytest.mark.parametrize(
    ("path", "excepted"),
    [
        ("/run/secrets/upstream", True),
        ("/etc/mail secrets/..2026_11_22/upstream", True),  # as Kubernetes lays them out
        ("/opt/db.password", True),
        ("/opt/open.password", False),
        ("/mnt/written/upstream", False),
        ("/mnt/share/upstream", False),
        ("/run/upstream", False),
        ("/run/secretsfoo", False),
        ("/etc/gatepost/upstream", False),  # read-only, and yet everybody's
    ],
)
def test_which_mounts_are_made_for_secrets(path, excepted):
    assert _covering_mount_is_ours(path, MOUNTS) is excepted


MOUNTED = """
import subprocess, sys
from pathlib import Path
from gatepost.store.private import why_open

folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
secret = folder / "upstream"
secret.write_text("a secret")
secret.chmod(0o444)
assert why_open(secret) == "others may read it"
subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
assert why_open(secret) == ""
"""

if IN_ITS_OWN_MOUNTS:  # else nobody here may mount anything

    def test_a_secret_that_is_mounted_is_taken_as_it_is(tmp_path):
        command = [*IN_ITS_OWN_MOUNTS, sys.executable, "-c", MOUNTED, tmp_path]
        subprocess.run(command, check=True, timeout=PATIENCE_SECONDS)
