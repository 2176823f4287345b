"""Sources of a store from before drafts: what was valid stays, what was not becomes a draft."""

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, make_url, text

from gatepost.consent.evidence import TextState
from gatepost.store import ledger, schema, sources
from gatepost.store.engine import DATABASE, Store
from gatepost.store.sources import Stage

SOURCE = """
INSERT INTO source (id, name, description, url, reconstructed, created_ms, sender, kind, streams)
VALUES (1, 'web', '', '', false, 1000, 'acme', 'form', 'news')
"""
VERSION = """
INSERT INTO consent_text (id, source, version, language, body, sha256, voluntary, informed,
    specific, states_withdrawal, pre_ticked, conditional, in_terms, active, used, created_ms)
VALUES (:id, 1, :version, 'en', 'Yes', 'digest', :informed, :informed, :informed, :informed,
    :ticked, false, false, :active, true, :created)
"""


def version(number, *, informed=True, ticked=False, active=False):
    return {
        "id": number, "version": str(number), "created": 1000 * number,
        "informed": informed, "ticked": ticked, "active": active,
    }  # fmt: skip


@pytest.fixture
def empty_url(engine, request):
    """Where to make a store from nothing: "" or the URL of an empty database."""
    if engine == "sqlite":
        yield ""
        return
    server = request.getfixturevalue("postgres_server")
    url = server.database(empty=True)
    yield url
    server.drop(url)


@pytest.fixture
def upgraded(empty_url, tmp_path):
    """A store at the schema before, with some texts, opened by the program of today."""

    def make(*versions):
        store_url = empty_url
        made = make_url(store_url or f"sqlite:///{tmp_path / DATABASE}")
        engine = create_engine(made.set(drivername="postgresql+psycopg") if store_url else made)
        config = Config()
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0004")
            connection.execute(text(SOURCE))
            for values in versions:
                connection.execute(text(VERSION), values)
        engine.dispose()
        with Store.open(store_url, tmp_path) as store:
            assert store.write_now(ledger.verify) == []
            return store.read_now(lambda tx: sources.find_source(tx, "web"))

    return make


def test_a_valid_text_stays_in_use(upgraded):
    found = upgraded(version(1), version(2, active=True))
    assert [one.stage for one in found.texts] == [Stage.SUCCEEDED, Stage.ACTIVE]
    assert {one.state for one in found.texts} == {TextState.VALID}
    assert (found.channel, found.categories, found.current.version) == ("e-mail", (), "2")


@pytest.mark.parametrize("spoiled", [{"informed": False}, {"ticked": True}])
def test_a_text_that_was_shown_without_being_valid_becomes_a_draft(upgraded, spoiled):
    found = upgraded(version(1), version(2, active=True, **spoiled))
    assert [one.stage for one in found.texts] == [Stage.SUCCEEDED, Stage.DRAFT]
    assert found.current is None
    assert (found.referred.version, found.referred.state) == ("2", TextState.INVALID)
