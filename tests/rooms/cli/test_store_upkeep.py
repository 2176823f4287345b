"""`gatepost store status`, `upgrade` and `rollback`."""

import sqlite3

import pytest

from gatepost.store import schema
from gatepost.store.instance import only_instance
from support.command import Site

HEAD, BEFORE = schema.revisions()[-1], schema.revisions()[-2]
OLDEST = schema.oldest_reachable()


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, bare=True)
    assert f"had schema none and has {HEAD} now" in made.ok("store", "upgrade").out
    return made


def test_a_store_goes_back_and_up(site):
    assert site.ok("store", "status", "--check", "--json").json["fits"]
    listed = site.ok("store", "rollback", "--to", OLDEST, "--dry-run").out
    assert "api_key" in listed
    assert site.ok("store", "status", "--json").json["schema"] == HEAD
    done = site.ok("store", "rollback", "--to", BEFORE, "--yes")
    assert f"has schema {BEFORE} now" in done.out
    assert "upgrades it again" in done.err
    found = site.run("store", "status", "--json")
    assert (found.status, found.json["schema"], found.json["fits"]) == (1, BEFORE, False)
    assert f"had schema {BEFORE}" in site.ok("store", "upgrade").out
    assert "already" in site.ok("store", "upgrade").out


def test_there_is_no_way_back_past_the_oldest(site):
    said = site.refused("store", "rollback", "--to", "0001", "--yes", status=1)
    assert f"can be taken back to {OLDEST} at most" in said
    assert "restore a backup" in said


@pytest.mark.parametrize(
    ("to", "holds"),
    [
        ("9999", f"knows no schema newer than {HEAD}"),
        ("0000", "there is no schema 0000"),
        ("latest", "there is no schema latest"),
    ],
)
def test_what_is_no_way_back_is_not_taken_for_an_older_one(site, to, holds):
    said = site.refused("store", "rollback", "--to", to, "--yes", status=1)
    assert holds in said
    assert "backup" not in said


def test_from_a_newer_schema_only_the_newer_program_leads_back(site):
    with sqlite3.connect(site.folder / "data/gatepost.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '9998'")
    said = site.refused("store", "rollback", "--to", HEAD, "--yes", status=3)
    assert (
        f"only the newer program can take it back (its own gatepost store rollback --to {HEAD})"
        in said
    )


def test_forward_is_no_way_back(site):
    site.ok("store", "rollback", "--to", OLDEST, "--yes")
    said = site.refused("store", "rollback", "--to", HEAD, "--yes", status=1)
    assert "gatepost store upgrade leads forward" in said


def test_not_while_a_gateway_runs(site):
    with only_instance(site.folder / "data"):
        for words in (["rollback", "--to", BEFORE, "--yes"], ["upgrade"]):
            assert "stop it first" in site.refused("store", *words, status=3)
        assert site.ok("store", "status").out, "looking is allowed"


def test_where_there_is_none(tmp_path):
    assert "gatepost init" in Site(tmp_path, bare=True).refused("store", "status", status=3)
