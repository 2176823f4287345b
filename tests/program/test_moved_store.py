"""From the embedded store to PostgreSQL with mail in the queue, killed half-way and done again."""

import subprocess
import sys
from contextlib import contextmanager

import psycopg
import pytest

from gatepost.mail.address import parse
from gatepost.store import people
from support.consents import granted, withdrawn
from support.program import Program
from support.submissions import accept, claim, submission
from support.upstream import UpstreamThread
from support.watching import copies, mail, request, send, states, wait_until

READERS = [f"reader{number}@example.org" for number in range(40)]
CROWD = [parse(f"crowd{number}@example.org") for number in range(6_000)]
# Whoever brings events is held up, from the moment there is a table for them.
_HALT = """
CREATE FUNCTION halt() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(3600); RETURN NULL; END';
CREATE FUNCTION set_halt() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'public.event')
    THEN CREATE TRIGGER halt BEFORE INSERT ON event EXECUTE FUNCTION halt();
    END IF;
END $$;
CREATE EVENT TRIGGER set_halt ON ddl_command_end WHEN TAG IN ('CREATE TABLE')
    EXECUTE FUNCTION set_halt();
"""
_HALTED = " FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
_GO_ON = """
DROP EVENT TRIGGER set_halt;
DROP FUNCTION set_halt(), halt() CASCADE;
"""


@pytest.fixture
def url(postgres_server):
    made = postgres_server.database(empty=True)
    yield made
    postgres_server.drop(made)


def move(gateway, url, **more):
    words = ["--config", str(gateway.config), "store", "migrate-to", url, "--json"]
    return subprocess.Popen([sys.executable, "-m", "gatepost", *words], cwd=gateway.folder, **more)


@contextmanager
def held_up(url):
    """Meanwhile a move gets as far as the people; yields a way to see that it got there."""
    with psycopg.connect(url, autocommit=True) as there:
        there.execute(_HALT)
        yield lambda: there.execute(f"SELECT pid{_HALTED}").fetchone()
        there.execute(f"SELECT pg_terminate_backend(pid){_HALTED}")
        there.execute(_GO_ON)


def test_a_move_that_is_killed_and_done_again(tmp_path, url):
    with UpstreamThread() as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port)
        gateway.record({address: [granted()] for address in READERS})
        with gateway.store() as store:
            store.write_now(lambda tx: people.ensure_subjects(tx, CROWD) and None)
            waiting = mail("On the move")
            accept(store, submission(*READERS, upstream="", content=waiting, needs_standing=True))
            claim(store, holder="a dead gateway", upstreams=[""], limit=10)
        gateway.record({READERS[0]: [withdrawn()]})

        with held_up(url) as is_half_way:
            half = move(gateway, url, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_until(is_half_way)
            half.kill()
            assert half.wait() == -9, "the kill came in the middle"
        said = gateway.run("store", "migrate-to", url, "--json").stdout
        assert '"resumed": 0,' not in said
        text = gateway.config.read_text()
        with pytest.raises(RuntimeError, match=r"ended with 3:(\n|.)* remove .*keys/store\.json"):
            gateway.start()  # on the old one, which would send everything a second time
        gateway.config.write_text(text.replace('url = ""', f'url = "{url}"'))
        gateway.store_url = url
        with gateway:
            wait_until(lambda: states(gateway) == {"delivered": 39, "dropped": 1}, gateway)
            link = next(
                line.partition(b"<")[2].rstrip(b">\r").decode()
                for line in upstream.messages[-1].content.splitlines()
                if line.startswith(b"List-Unsubscribe:")
            )
            assert request("POST", link, b"List-Unsubscribe=One-Click") == 200
            assert send(gateway, READERS, mail("After it"))[0] == 250
            wait_until(lambda: states(gateway) == {"delivered": 77, "dropped": 3}, gateway)
        assert set(copies(upstream)) == set(READERS[1:])
