"""The running program behind a line to PostgreSQL that fails in every way a line can fail."""

import threading

import psycopg
import pytest

from support.consents import granted
from support.program import Program
from support.proxy import Proxy
from support.upstream import UpstreamThread
from support.watching import copies, mail, request, send, states, wait_until

READER = "reader@example.org"
BACKENDS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'gatepost'"
)
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'gatepost' AND wait_event_type = 'Lock'"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory, postgres_server):
    """A gateway, its upstream, the line between it and its store, and a way past that."""
    url = postgres_server.database()
    with Proxy(postgres_server.port) as proxy, UpstreamThread() as upstream:
        gateway = Program(
            tmp_path_factory.mktemp("away"),
            upstream_port=upstream.port,
            store_url=url.replace(f":{postgres_server.port}/", f":{proxy.port}/"),
        )
        gateway.record({READER: [granted()]})
        with psycopg.connect(url, autocommit=True) as direct, gateway:
            yield gateway, upstream, proxy, direct
    postgres_server.drop(url)


def ready(gateway):
    ports = gateway.http_port, gateway.admin_port
    return [request("GET", f"http://127.0.0.1:{port}/readyz") for port in ports]


def arrivals(upstream, subject):
    return sum(f"Subject: {subject}".encode() in one.content for one in upstream.messages)


def test_a_backend_ended_in_the_middle_of_accepting_is_not_noticed(world):
    gateway, upstream, _, direct = world
    with direct.transaction():
        direct.execute("LOCK TABLE submission IN ACCESS EXCLUSIVE MODE")
        answers = []
        sending = threading.Thread(
            target=lambda: answers.append(send(gateway, [READER], mail("Ended")))
        )
        sending.start()
        wait_until(lambda: direct.execute(WAITING).fetchone()[0], gateway)
        assert direct.execute(BACKENDS).fetchall()
    sending.join()
    assert answers[0][0] == 250, answers
    wait_until(lambda: arrivals(upstream, "Ended") == 1, gateway)


def test_an_answer_to_commit_that_is_lost_costs_a_duplicate_at_most(world):
    gateway, upstream, proxy, _ = world
    before = states(gateway)
    proxy.swallow(b"Uncertain")
    code, said = send(gateway, [READER], mail("Uncertain"))
    assert proxy.swallowed.is_set()
    assert (code, said[:5]) == (451, "4.4.3")
    assert send(gateway, [READER], mail("Uncertain"))[0] == 250
    wait_until(lambda: (states(gateway) - before)["delivered"] == 1, gateway)
    # The unheard one was claimed with it, and is taken up when that lease is over.
    assert states(gateway) - before == {"delivered": 1, "sending": 1}
    assert arrivals(upstream, "Uncertain") == 1


def test_a_line_that_passes_nothing_on_is_told_from_work_that_takes_long(world):
    gateway, upstream, proxy, _ = world
    proxy.hang()
    code, said = send(gateway, [READER], mail("Hanging"))
    assert (code, said[:5]) == (451, "4.4.3")
    wait_until(lambda: ready(gateway) == [503, 503], gateway)
    assert send(gateway, [READER], mail("Hanging still"))[0] == 451
    alarms = [line for line in gateway.log().splitlines() if "store out of reach" in line]
    assert len(alarms) < 10, "by what is wrong, not by mail"
    proxy.resume()
    wait_until(lambda: ready(gateway) == [200, 200], gateway)
    assert send(gateway, [READER], mail("Passing"))[0] == 250
    wait_until(lambda: arrivals(upstream, "Passing") == 1, gateway)
    assert arrivals(upstream, "Hanging") <= 1, "at most what was under way"


def test_work_that_takes_long_is_left_alone(world):
    gateway, _, _, direct = world
    with gateway.store() as store:
        assert store.read_now(lambda tx: tx.cursor.execute("SELECT 1 FROM pg_sleep(6)").fetchone())
    assert direct.execute("SELECT 1").fetchone()


def test_a_server_that_only_reads_takes_no_mail(world):
    gateway, upstream, _, direct = world
    name = direct.info.dbname
    direct.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    direct.execute(BACKENDS)
    wait_until(lambda: ready(gateway) == [503, 503], gateway)
    code, said = send(gateway, [READER], mail("Reading"))
    assert (code, said[:5]) == (451, "4.4.3")
    direct.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    direct.execute(BACKENDS)
    wait_until(lambda: ready(gateway) == [200, 200], gateway)
    assert send(gateway, [READER], mail("Writing"))[0] == 250
    wait_until(lambda: arrivals(upstream, "Writing") == 1, gateway)
    assert copies(upstream).keys() == {READER}


def test_no_place_for_another_connection(world):
    gateway, _, _, direct = world
    name = direct.info.dbname
    elsewhere = f"postgresql://gatepost@127.0.0.1:{direct.info.port}/postgres"
    with psycopg.connect(elsewhere, autocommit=True) as door:
        door.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        direct.execute(BACKENDS)
        code, said = send(gateway, [READER], mail("Refused"))
        assert (code, said[:5]) == (451, "4.4.3")
        door.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    wait_until(lambda: ready(gateway) == [200, 200], gateway)
    assert send(gateway, [READER], mail("Let in"))[0] == 250
