"""`gatepost ledger`: what it prints, and how it ends."""

import contextlib
import sqlite3
import subprocess
import sys

import pytest

from support.ledgers import build

DATABASE = ("data", "gatepost.db")


@pytest.fixture
def built(site):
    with site.store() as store:
        build(store)
    return site


def change(site, sql):
    path = site.folder.joinpath(*DATABASE)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(sql)


def test_what_head_prints_is_what_verify_takes(built):
    printed = built.ok("ledger", "head").out
    told = built.ok("ledger", "head", "--json").json
    assert printed == f"{told['head']}\n"
    assert told["head"] == f"{told['height']}:{told['digest']}"
    for kept in (printed, told["head"], f"{told['height']} {told['digest']}", printed.upper()):
        assert "the ledger is whole" in built.ok("ledger", "verify", "--head", kept).out
    other = f"{told['height']}:{'0' * 64}"
    assert "not the one whose digest" in built.run("ledger", "verify", "--head", other).out
    later = f"{told['height'] + 1}:{told['digest']}"
    assert "tail is cut off" in built.run("ledger", "verify", "--head", later).out


@pytest.mark.parametrize("head", ["", "7", "x:y", "1:abc", "1:" + "g" * 64, "-1:" + "0" * 64])
def test_what_is_no_head_is_refused(built, head):
    assert "is no head" in built.refused("ledger", "verify", f"--head={head}")


def test_a_finding_ends_with_1_and_says_where(built):
    change(built, "UPDATE event_payload SET payload = x'7b7d' WHERE event = 4")
    answer = built.run("ledger", "verify", "--json")
    assert answer.status == 1
    assert not answer.json["ok"]
    assert {"block", "event", "subject", "what"} == set(answer.json["findings"][0])
    assert 4 in {one["event"] for one in answer.json["findings"]}
    assert "payload, salt" in built.run("ledger", "verify").out


def test_a_file_that_is_no_database_ends_with_3(built):
    path = built.folder.joinpath(*DATABASE)
    for leftover in path.parent.glob("gatepost.db-*"):
        leftover.unlink()
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert "damaged" in built.refused("ledger", "verify", status=3)


def test_a_damaged_page_is_found_or_ends_with_3(built):
    """Never a clean answer: every page is spoiled in turn, in its header."""
    built.ok("ledger", "head")  # nothing waits for the sealer
    path = built.folder.joinpath(*DATABASE)
    with contextlib.closing(sqlite3.connect(path)) as database:
        roots = database.execute(
            "SELECT rootpage FROM sqlite_master WHERE name IN ('event', 'event_payload', 'block')"
        ).fetchall()
    whole = path.read_bytes()
    for (root,) in roots:
        place = (root - 1) * 4096 + 3
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1, whole[place + 1] ^ 1])
                         + whole[place + 2 :])  # fmt: skip
        answer = built.run("ledger", "verify")
        assert answer.status in (1, 3), answer
        assert "damaged" in answer.out + answer.err or answer.status == 1
    path.write_bytes(whole)
    assert built.ok("ledger", "verify")


def test_standings_changed_by_hand_are_derived_anew(built):
    before = built.ok("ledger", "rebuild", "--dry-run").out
    assert "are what the events say" in before
    change(built, "DELETE FROM standing")
    change(built, "UPDATE suppression SET lifted_ms = since_ms")
    told = built.run("ledger", "rebuild", "--dry-run", "--json")
    assert told.status == 1
    assert told.json["people"] >= 3
    assert all(one["what"].startswith("derived: ") for one in told.json["findings"])
    assert built.run("ledger", "verify").status == 1
    assert built.ok("ledger", "rebuild").status == 0
    assert built.ok("ledger", "verify").status == 0
    assert built.ok("ledger", "rebuild", "--json").json == {"people": 0, "findings": []}


def test_what_rebuild_cannot_repair_stays_a_finding(built):
    change(built, "UPDATE subject SET address = 'm@kund.example' WHERE address LIKE 'p1@%'")
    assert built.ok("ledger", "rebuild").status == 0
    assert "the person's address was changed" in built.run("ledger", "verify").out


def test_forged_events_do_not_stop_the_commands(built):
    change(built, "INSERT INTO event SELECT 999, subject, 'granted', recorded_ms, commitment,"
                  " NULL, proof FROM event WHERE id = 4")  # fmt: skip
    assert built.ok("ledger", "head").out
    answer = built.run("ledger", "verify")
    assert answer.status == 1
    assert "no gateway recorded this" in answer.out


def test_verify_runs_while_somebody_writes(built):
    """A second program holds the write lock of the file: reading does not wait for it."""
    holder = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    )
    path = built.folder.joinpath(*DATABASE)
    from gatepost.store import ledger

    with built.store() as store:
        with subprocess.Popen(
            [sys.executable, "-c", holder, str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as program:  # fmt: skip
            assert program.stdout.readline() == "held\n"
            found = list(ledger.inspect(store.read_now))
            program.stdin.close()
            assert program.wait() == 0
        assert found == []
