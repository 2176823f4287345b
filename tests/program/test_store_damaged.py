"""An embedded file that is damaged, taken away or replaced: nothing is promised that is not kept."""

import hashlib
import shutil
import sqlite3
import urllib.error
import urllib.request

import pytest

from support.command import Site
from support.consents import granted
from support.program import Program
from support.upstream import UpstreamThread
from support.watching import copies, mail, send, states, wait_until

PEOPLE = [f"reader{number}@example.org" for number in range(4)]
PAGE = 4096


def digest(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files(folder)}


def files(folder):
    return sorted((folder / "data").glob("gatepost.db*"))


def not_ready(gateway):
    """What the admin listener says to whoever asks."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin_port}/readyz").close()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.read().decode()
    return ""


def page_of(folder, table):
    """The number of the page at which a table begins, from 0."""
    with sqlite3.connect(folder / "data" / "gatepost.db") as looking:
        (root,) = looking.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()
    looking.close()
    return root - 1


def overwrite(folder, at, octets):
    with (folder / "data" / "gatepost.db").open("r+b") as file:
        file.seek(at)
        file.write(octets)


@pytest.mark.parametrize("how", ["deleted", "replaced", "log deleted"])
def test_nothing_is_acknowledged_into_a_file_that_is_gone(tmp_path, how):
    with UpstreamThread() as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port, store_url="")
        gateway.record({address: [granted()] for address in PEOPLE})
        with gateway:
            assert send(gateway, PEOPLE[:2], mail("Before"))[0] == 250
            wait_until(lambda: states(gateway) == {"delivered": 2}, gateway)
            aside = tmp_path / "aside"
            aside.mkdir()
            for path in files(tmp_path):
                if how != "log deleted" or path.name.endswith("-wal"):
                    shutil.move(path, aside / path.name)
            if how == "replaced":
                shutil.copy(aside / "gatepost.db", tmp_path / "data" / "gatepost.db")
            code, said = send(gateway, PEOPLE[2:3], mail("Meanwhile"))
            assert (code, said[:5]) == (451, "4.4.3")
            assert "deleted or replaced" in wait_until(lambda: not_ready(gateway), gateway)
            critical = [line for line in gateway.log().splitlines() if '"critical"' in line]
            assert critical
            assert all("stop Gatepost" in line for line in critical)
            assert send(gateway, PEOPLE[2:3], mail("Still"))[0] == 451
            gateway.stop()
            assert gateway.process.returncode == 0
            for path in aside.iterdir():
                shutil.move(path, tmp_path / "data" / path.name)
            gateway.start()
            assert send(gateway, PEOPLE[3:], mail("After"))[0] == 250
            wait_until(lambda: PEOPLE[3] in copies(upstream), gateway)
        got = copies(upstream)
        assert {PEOPLE[0], PEOPLE[1], PEOPLE[3]} <= set(got), "what was acknowledged was sent"
        assert set(got.values()) == {1}


def test_damage_under_way_stops_everything_until_somebody_mends_it(tmp_path):
    with UpstreamThread() as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port, store_url="")
        gateway.record({address: [granted()] for address in PEOPLE})
        with sqlite3.connect(tmp_path / "data" / "gatepost.db") as writing:
            writing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        writing.close()
        root = page_of(tmp_path, "recipient")
        with gateway:
            overwrite(tmp_path, root * PAGE, b"\xff" * PAGE)
            code, said = send(gateway, PEOPLE[:1], mail("Damaged"))
            assert (code, said[:5]) == (451, "4.4.3")
            assert "damaged" in wait_until(lambda: not_ready(gateway), gateway)
            assert "store status --check" in gateway.log()
            gateway.stop()
            assert gateway.process.returncode == 0
        before = digest(tmp_path)["gatepost.db"]
        refused = gateway.run("serve", check=False)
        assert refused.returncode == 3
        assert "the store is damaged" in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert digest(tmp_path)["gatepost.db"] == before


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    made.ok("store", "upgrade")
    return made


def damages():
    return {
        "a page": lambda folder: overwrite(folder, page_of(folder, "event") * PAGE, b"\xff" * PAGE),
        "the header": lambda folder: overwrite(folder, 0, bytes(100)),
        "all of it": lambda folder: (folder / "data" / "gatepost.db").write_bytes(b"garbage" * 999),
    }


@pytest.mark.parametrize("what", damages())
def test_a_damaged_file_is_found_and_not_touched(site, what):
    from gatepost.store.engine import Store, StoreDamaged

    damages()[what](site.folder)
    before = digest(site.folder)["gatepost.db"]
    with pytest.raises(StoreDamaged, match="backup"):
        Store.open("", site.folder / "data", alone=True)
    checked = site.run("store", "status", "--check")
    assert checked.status in (1, 3)
    assert "damaged" in checked.err
    found = site.run("doctor", "--dns", "127.0.0.1:9", "--json")
    assert found.status == 3
    (store,) = [one for one in found.json["checks"] if one["about"] == "store"]
    assert "damaged" in store["found"]
    assert digest(site.folder)["gatepost.db"] == before
