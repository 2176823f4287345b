"""From the embedded store to PostgreSQL with mail in the queue, killed half-way and done again."""

import subprocess
import sys
from contextlib import suppress

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


@pytest.fixture
def url(postgres_server):
    made = postgres_server.database(empty=True)
    yield made
    postgres_server.drop(made)


def move(gateway, url, **more):
    words = ["--config", str(gateway.config), "store", "migrate-to", url, "--json"]
    return subprocess.Popen([sys.executable, "-m", "gatepost", *words], cwd=gateway.folder, **more)


def has_begun(url):
    """Whether rows of people are at the other end, for all to see."""
    with suppress(psycopg.Error), psycopg.connect(url) as connection:
        query = "SELECT rows FROM store_move WHERE name = 'subject'"
        return connection.execute(query).fetchone()
    return None


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

        half = move(gateway, url, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: has_begun(url))
        half.kill()
        assert half.wait() == -9, "the kill came in the middle"
        said = gateway.run("store", "migrate-to", url, "--json").stdout
        assert '"resumed": 0,' not in said
        text = gateway.config.read_text()
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
