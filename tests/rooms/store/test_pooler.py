"""Behind a pooler: one that keeps sessions is as good as none, one that does not is refused."""

import pytest
from sqlalchemy import text

from gatepost.store.engine import Store, StoreUnavailable
from support.pooler import Pooler

SETTINGS = "SELECT current_setting('jit'), current_setting('synchronous_commit')"


def test_by_session_everything_works_without_settings_there(
    postgres_server, postgres_url, tmp_path
):
    with Pooler(postgres_server.port, by="session") as pooler:
        url = postgres_url.replace(f":{postgres_server.port}/", f":{pooler.port}/")
        with Store.open(url, tmp_path) as store:
            for _ in range(3):
                store.write_now(lambda tx: tx.cursor.later("UPDATE meta SET value = value"))
                found = store.read_now(lambda tx: tx.cursor.execute(SETTINGS).fetchone())
                assert found == ("off", "on")


def test_by_transaction_it_is_refused_with_the_cure(postgres_server, postgres_url, tmp_path):
    with Pooler(postgres_server.port, by="transaction") as pooler:
        url = postgres_url.replace(f":{postgres_server.port}/", f":{pooler.port}/")
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"pool_mode = session .* server itself"):
                Store.open(url, tmp_path)


def test_a_server_that_is_lost_in_the_middle_of_an_answer(postgres_server, postgres_url, tmp_path):
    """The driver hears that it was done, and that it was not, and calls that an internal error."""
    with Pooler(postgres_server.port, by="session") as pooler:
        url = postgres_url.replace(f":{postgres_server.port}/", f":{pooler.port}/")
        with Store.open(url, tmp_path) as store:
            pooler.lose_server()
            ask = text("SELECT 1")
            assert store.write_now(lambda tx: tx.connection.execute(ask).scalar()) == 1
