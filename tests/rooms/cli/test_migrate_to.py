"""`gatepost store migrate-to`: what it says, when it refuses, and that nothing secret is shown."""

import pytest

from gatepost.cli.store_moving import _steps
from gatepost.store.engine import Store
from gatepost.store.instance import only_instance
from gatepost.store.moving import End
from support.command import Site
from support.filled import fill


@pytest.fixture
def target(postgres_server):
    url = postgres_server.database(empty=True)
    yield url
    postgres_server.drop(url)


@pytest.fixture
def filled(site):
    with site.store() as store:
        fill(store)
    return site


def configure(site, url):
    text = site.config.read_text()
    site.config.write_text(f'{text}\n[store]\nurl = "{url}"\n')


def test_the_store_is_moved_and_the_next_step_told(filled, target):
    answer = filled.ok("store", "migrate-to", target)
    assert "every table is equal" in answer.out
    assert f'url = "{target}"' in answer.out
    assert str(filled.folder / "data" / "keys") in answer.out
    before = filled.ok("ledger", "head").out
    configure(filled, target)
    assert filled.ok("ledger", "head").out == before
    assert filled.ok("ledger", "verify", "--head", before.strip()).status == 0
    assert len(filled.ok("queue", "list", "--json").json) > 0


def test_keys_that_cannot_be_written_to_end_no_move(filled, target):
    """As where others provide them, read-only."""
    (filled.folder / "data" / "keys" / "store.json").mkdir()
    answer = filled.ok("store", "migrate-to", target)
    assert f'url = "{target}"' in answer.out
    assert "store.json: Is a directory; if there is one, remove it" in answer.err


def test_what_was_interrupted_is_no_store_yet_and_goes_on(filled, target, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("gatepost.store.moving.way._sum_up", interrupted)
        assert filled.run("store", "migrate-to", target).status != 0
    embedded = filled.config.read_text()
    configure(filled, target)
    assert "migrate-to once more" in filled.refused("queue", "list", status=3)
    filled.config.write_text(embedded)
    assert filled.ok("store", "migrate-to", target, "--json").json["resumed"] > 0


def test_json(filled, target):
    said = filled.ok("store", "migrate-to", target, "--json").json
    assert said["rows"] == sum(table["rows"] for table in said["tables"]) > 100
    assert said["to"] == target
    assert said["resumed"] == 0
    assert said["findings"] == []
    assert said["head"] == filled.ok("ledger", "head", "--json").json["head"]


def test_and_back_again(filled, target):
    filled.ok("store", "migrate-to", target)
    configure(filled, target)
    assert "there is a store" in filled.refused("store", "migrate-to", "embedded", status=1)
    (filled.folder / "data" / "gatepost.db").unlink()
    answer = filled.ok("store", "migrate-to", "embedded")
    assert 'url = ""' in answer.out
    with Store.open("", filled.folder / "data") as store:
        assert store.read_now(lambda tx: tx.dialect) == "sqlite"


def test_it_refuses_while_a_gateway_runs(filled, target):
    with only_instance(filled.folder / "data"):
        said = filled.refused("store", "migrate-to", target, status=1)
    assert "gatepost serve runs" in said


def test_it_refuses_while_another_gateway_is_connected(filled, target, postgres_server):
    filled.ok("store", "migrate-to", target)
    configure(filled, target)
    other = postgres_server.database(empty=True)
    with Store.open(target, filled.folder / "data"):
        said = filled.refused("store", "migrate-to", other, status=1)
    assert "stop every gateway" in said
    postgres_server.drop(other)


@pytest.mark.parametrize("url", ["mysql://db.example/x", "sqlite:///x.db", ""])
def test_other_databases_are_refused(filled, url):
    assert "postgresql://" in filled.refused("store", "migrate-to", url)


def test_where_it_is_already(filled):
    assert "already" in filled.refused("store", "migrate-to", "embedded", status=1)


def test_a_server_that_is_not_there(filled):
    said = filled.refused("store", "migrate-to", "postgresql://u:geheim@127.0.0.1:9/x", status=3)
    assert "out of reach" in said
    assert "geheim" not in said


def test_a_store_that_is_not_there(tmp_path, target):
    site = Site(tmp_path, bare=True)
    site.refused("store", "migrate-to", target, status=3)
    assert not (site.folder / "data" / "gatepost.db").exists()


def test_the_url_may_come_from_the_environment(filled, target, monkeypatch):
    """An argument with a password would be seen by everybody who looks at the processes."""
    monkeypatch.setenv("GATEPOST_MIGRATE_TO", target)
    assert filled.ok("store", "migrate-to").status == 0


def test_passwords_are_not_shown(tmp_path):
    target = End("postgresql://gatepost:geheim@db.example/gatepost", tmp_path)
    said = "\n".join(_steps(End("", tmp_path), target))
    assert "geheim" not in said
    assert "postgresql://gatepost:***@db.example/gatepost" in said
    assert "the password goes where *** is" in said
