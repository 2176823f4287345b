"""A PostgreSQL that somebody else runs: over TLS alone, with a password, on a line that fails."""

import queue
import threading
from contextlib import contextmanager

import psycopg
import pytest

from gatepost.store import connection, watchdog
from gatepost.store.bell import Bell, Ring, ring
from gatepost.store.engine import Store, StoreUnavailable
from support.authority import Authority
from support.consents import granted
from support.long_line import LongLine
from support.program import Program
from support.secured import PASSWORD, SecuredServer
from support.upstream import UpstreamThread
from support.watching import copies, mail, request, send, wait_until

PEOPLE = [f"reader{number}@example.org" for number in range(1000)]
LARGE = mail("Large") + (b"x" * 70 + b"\r\n") * 30_000
SECURED = (
    "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
    " WHERE datname = current_database() AND application_name = 'gatepost'"
)
ROWS = "SELECT repeat('x', 1000) FROM generate_series(1, 3000)"
MARK = "INSERT INTO meta (name, value) VALUES ('mark', '')"


@pytest.fixture(scope="module")
def server(postgres_server):
    server = SecuredServer.start(postgres_server.binaries)
    yield server
    server.remove()


@pytest.fixture
def url(server):
    url = server.database()
    yield url
    server.drop(url)


@pytest.fixture
def line(server):
    with LongLine(server.port) as line:
        yield line


@contextmanager
def hurry():
    """Meanwhile silence is noticed soon; where there is none, a busy machine would be taken for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watchdog, "LONG_SECONDS", 0.5)
        patch.setattr(watchdog, "ANSWER_SECONDS", 1.0)
        patch.setattr(watchdog, "_LOOK_SECONDS", 0.2)
        patch.setattr(connection, "CONNECT_SECONDS", 2)
        yield


@pytest.fixture
def store(server, line, url, tmp_path):
    """A store at the other end of a line."""
    with Store.open(along(line, server, url), tmp_path / "data") as store:
        yield store


def along(line, server, url):
    return url.replace(f":{server.port}/", f":{line.port}/")


def test_mail_goes_in_and_out(server, url, tmp_path):
    with UpstreamThread() as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port, store_url=url)
        gateway.record({address: [granted()] for address in PEOPLE})
        with gateway:
            assert send(gateway, PEOPLE, mail("Mailing"))[0] == 250
            assert send(gateway, PEOPLE[:2], LARGE)[0] == 250
            wait_until(lambda: len(upstream.taken) == 1002, gateway)
            with psycopg.connect(url) as direct:
                assert direct.execute(SECURED).fetchone() == (True,)
            server.down()
            assert send(gateway, PEOPLE[:1], mail("Meanwhile"))[0] == 451
            server.up()
            wait_until(lambda: send(gateway, PEOPLE[:1], mail("After"))[0] == 250, gateway)
            large = next(one for one in upstream.taken if b"Subject: Large" in one.content)
            assert large.content.count(b"x" * 70) == 30_000
            link = next(
                words.partition(b"<")[2].rstrip(b">").decode()
                for words in large.content.splitlines()
                if words.startswith(b"List-Unsubscribe:")
            )
            assert request("POST", link, b"List-Unsubscribe=One-Click") == 200
        assert set(copies(upstream)) == set(PEOPLE)
    for secret in (PASSWORD, PASSWORD.replace("%20", " ")):
        assert secret not in gateway.log()


def test_the_bell_is_heard(server, url, store):
    rings = queue.SimpleQueue()
    bell = Bell(url, rings.put)
    bell.start()
    assert {rings.get(timeout=60) for _ in Ring} == set(Ring)
    store.write_now(lambda tx: ring(tx, Ring.ENDINGS))
    assert rings.get(timeout=60) is Ring.ENDINGS
    bell.close()


def test_a_client_certificate_is_enough(server, url, tmp_path):
    certificate, key = server.authority.sign("certified")
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    given = server.url(name, user="certified", sslcert=certificate, sslkey=key)
    with Store.open(given, tmp_path / "data") as store:
        who = store.read_now(lambda tx: tx.cursor.execute("SELECT session_user::text").fetchone())
    assert who == ("certified",)


def test_a_line_that_falls_silent_in_the_middle_of_an_answer(store, line):
    """Half of a record keeps nobody waiting for ever."""

    def read(tx):
        line.hold(40_000)
        return len(tx.cursor.execute(ROWS).fetchall())

    before = store.read_now(lambda tx: len(tx.cursor.execute(ROWS).fetchall()))
    with hurry(), pytest.raises(StoreUnavailable):
        store.read_now(read)
    assert line.held.is_set()
    line.cut()
    assert store.read_now(lambda tx: len(tx.cursor.execute(ROWS).fetchall())) == before == 3000


def test_a_line_that_falls_silent_after_a_failure(store, line, caplog):
    """What failed is told as it was, and nobody complains that it cannot be rolled back."""

    def write(tx):
        tx.cursor.execute(MARK)
        line.hold(turns=1)
        tx.cursor.later(MARK)

    with hurry():
        with pytest.raises(psycopg.errors.UniqueViolation):
            store.write_now(write)
        assert line.held.is_set()
        store.close()
    assert not caplog.records


def test_a_line_cut_in_the_middle_of_a_large_statement_costs_nothing(store, line):
    """What both sides were still saying is said again on a new line."""
    large, times = "x" * 20_000_000, []

    def write(tx):
        times.append(tx)
        tx.cursor.later(MARK)
        answer = tx.cursor.later("SELECT %s::text", (large,))
        if len(times) == 1:
            line.hold(50_000)
            cutting = threading.Thread(target=lambda: line.held.wait(60) and line.cut())
            cutting.start()
        return answer.fetchone() == (large,)

    assert store.write_now(write)
    assert len(times) == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"user": "gatepost:wrong-secret"}, r"see the password in \[store\] url"),
        ({"user": "gatepost"}, r"write the password into \[store\] url"),
        ({"user": "certified"}, r"sslcert, sslkey"),
        ({"sslmode": "disable", "sslrootcert": None}, "write sslmode=verify-full"),
        ({"host": "localhost"}, "name the server .* as its certificate does"),
        ({"sslrootcert": "other"}, "sslrootcert .* has to name the authority"),
        ({"sslrootcert": "/nowhere.pem"}, "does not exist"),
    ],
)
def test_who_is_not_let_in_hears_why_and_what_to_do(server, tmp_path, given, said):
    if given.get("sslrootcert") == "other":
        given = given | {"sslrootcert": Authority(tmp_path, "somebody else").certificate}
    with pytest.raises(StoreUnavailable, match=said) as refused:
        Store.open(server.url("postgres", **given), tmp_path / "data")
    for secret in (PASSWORD, PASSWORD.replace("%20", " "), "wrong-secret"):
        assert secret not in str(refused.value)


def test_a_certificate_that_has_expired(server, url, tmp_path):
    def refused():
        try:
            Store.open(url, tmp_path / "data").close()
        except StoreUnavailable as error:
            return str(error)

    server.show(*server.authority.sign("expired", "127.0.0.1", days=-1))
    try:
        assert "which must not have expired" in wait_until(refused)
    finally:
        server.show(*server.authority.sign("server", "127.0.0.1"))
