"""Imports that break off: nothing is half there, and the same command goes on."""

import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from gatepost.cli import consent_import
from gatepost.store import imports, ledger, people

FLAGS = (
    "--source", "web", "--stream", "newsletter", "--basis", "newsletter-form", "--at", "2024-01-01",
)  # fmt: skip
ROWS = 60


@pytest.fixture(autouse=True)
def _source(site, monkeypatch):
    site.add_source("web", "--streams", "newsletter,club")
    monkeypatch.setattr(consent_import, "BATCH", 10)


def text(rows=ROWS):
    """Every tenth left, every fifteenth is no address."""
    lines = [
        f"nobody{n},," if n % 15 == 0 else
        f"p{n}@kund.example,{'2024-05-01' if n % 10 == 3 else ''},"
        for n in range(rows)
    ]  # fmt: skip
    return "address,withdrawn_at,note\n" + "\n".join(lines) + "\n"


def break_off(monkeypatch, after, error=KeyboardInterrupt):
    """Has the store fail at the recording of a later batch."""
    calls = iter(range(10_000))
    record = people.record_many

    def recording(tx, items):
        if next(calls) >= after:
            raise error
        return record(tx, items)

    monkeypatch.setattr(consent_import.people, "record_many", recording)


def events(site):
    with site.store() as store:
        rows = store.read_now(
            lambda tx: tx.cursor.execute("SELECT subject, kind FROM event").fetchall()
        )
        assert list(ledger.inspect(store.read_now)) == []
    return len([row for row in rows if row[0]])


def whole(site):
    """What an import that nobody disturbs comes to."""
    file = site.file("whole.csv", text().replace("kund.example", "firma.example"))
    return site.run("consent", "import", file, *FLAGS, "--json").json


@pytest.mark.parametrize("after", [0, 1, 3, 5])
@pytest.mark.both_engines
def test_a_broken_import_goes_on_and_comes_to_the_same(site, monkeypatch, after):
    expected = whole(site)
    rejected = (site.folder / "whole.csv.rejects.csv").read_text().count("\n")
    before = events(site)
    file = site.file("people.csv", text())
    with monkeypatch.context() as patch:
        break_off(patch, after)
        assert site.run("consent", "import", file, *FLAGS).status != 0
    answer = site.run("consent", "import", file, *FLAGS, "--json")
    assert ("going on at" in answer.err) == (after > 0)
    said = answer.json
    assert {**said, "rejects": ""} == {**expected, "rejects": ""}
    assert events(site) - before == expected["grants"] + expected["withdrawals"]
    assert (site.folder / "people.csv.rejects.csv").read_text().count("\n") == rejected
    again = site.run("consent", "import", file, *FLAGS, "--json").json
    assert (again["grants"], again["withdrawals"]) == (0, 0)


def test_another_file_or_other_options_start_anew(site, monkeypatch):
    file = site.file("people.csv", text())
    with monkeypatch.context() as patch:
        break_off(patch, 3)
        site.run("consent", "import", file, *FLAGS)
    other = site.run("consent", "import", file, *FLAGS, "--encoding", "latin-1")
    assert "going on" not in other.err
    file.write_text(text(ROWS + 1))
    assert "going on" not in site.run("consent", "import", file, *FLAGS).err


def test_without_its_rejects_an_import_starts_anew(site, monkeypatch):
    file = site.file("people.csv", text())
    with monkeypatch.context() as patch:
        break_off(patch, 5)
        site.run("consent", "import", file, *FLAGS)
    (site.folder / "people.csv.rejects.csv").unlink()
    answer = site.run("consent", "import", file, *FLAGS)
    assert "going on" not in answer.err
    assert (site.folder / "people.csv.rejects.csv").read_text().count("nobody") == 4


def test_a_dry_run_does_not_go_on(site, monkeypatch):
    file = site.file("people.csv", text())
    with monkeypatch.context() as patch:
        break_off(patch, 3)
        site.run("consent", "import", file, *FLAGS)
    dry = site.run("consent", "import", file, *FLAGS, "--dry-run")
    assert "going on" not in dry.err


def test_killed_at_any_moment(site):
    """SIGKILL to the real program, again and again, until one run gets through."""
    rows = "".join(f"p{n}@kund.example\n" for n in range(4000))
    file = site.file("people.csv", "address\n" + rows)
    command = [sys.executable, "-m", "gatepost", "--config", str(site.config), "consent", "import"]
    killed = 0
    for _ in range(4):
        running = subprocess.Popen(
            [*command, str(file), *FLAGS], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if not _got_on(site, running):
            break
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        killed += 1
    site.ok("consent", "import", file, *FLAGS)
    assert killed
    assert events(site) == 4000


def _got_on(site, running):
    """Waits until the import has committed something more; False if it came to its end."""

    def count():
        with sqlite3.connect(site.folder / "data" / "gatepost.db") as connection:
            return connection.execute("SELECT count(*) FROM event").fetchone()[0]

    before = count()
    while running.poll() is None:
        if count() > before:
            return True
        time.sleep(0.01)
    return False


def test_what_nobody_came_back_for_goes_after_a_month(store):
    def write(tx):
        imports.keep(tx, "old", imports.Progress(0, 1, 0, "{}"))
        tx.cursor.execute("UPDATE import_progress SET touched_ms = 0")
        imports.keep(tx, "new", imports.Progress(1, 2, 3, "{}"))
        imports.keep(tx, "new", imports.Progress(1, 5, 7, "{}"))
        imports.end(tx, "other")
        return imports.find(tx, "old"), imports.find(tx, "new")

    assert store.write_now(write) == (None, imports.Progress(1, 5, 7, "{}"))
