"""Fixtures that every room may use: a store on each engine, and a private PostgreSQL.

Where PostgreSQL is not installed, the tests on it are not collected, and the last lines of
the run say so; with CI set in the environment that is an error.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

from support import surroundings

surroundings.settle()  # before what follows is imported

from gatepost import maillog  # noqa: E402
from gatepost.logfile import Seldom  # noqa: E402
from support import engines, postgres  # noqa: E402
from support.embedded import lay_down  # noqa: E402
from support.engines import ENGINES  # noqa: E402
from support.scale import scale  # noqa: E402

POSTGRES = postgres.find_binaries()

# The same examples wherever the tests run, however long one takes there: what passed is not to
# fail by chance. `make soak` and `make fuzz` look for others.
settings.register_profile(
    "gatepost",
    derandomize=scale(short=True, full=False),
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("gatepost")


def pytest_collection_modifyitems(items):
    """Without a server, tests that are about PostgreSQL alone are left out, not skipped."""
    if not POSTGRES:
        items[:] = [item for item in items if "postgres_server" not in item.fixturenames]


def pytest_generate_tests(metafunc):
    """A test marked `both_engines` runs once for each engine (`support.engines`)."""
    if metafunc.definition.get_closest_marker("both_engines"):
        metafunc.parametrize("stores", ENGINES, indirect=True)


def pytest_configure(config):
    config.addinivalue_line("markers", "both_engines: run once on SQLite, once on PostgreSQL")
    if not POSTGRES and os.environ.get("CI"):
        raise pytest.UsageError("PostgreSQL is not installed, and in CI nothing is left out")


def pytest_terminal_summary(terminalreporter):
    if not POSTGRES:
        terminalreporter.write_line("not run: tests on PostgreSQL, which is not installed")


@pytest.fixture(autouse=True)
def every_refusal_is_said(monkeypatch):
    """Whatever the tests before it refused, a test's first lines about refusals are not too many."""
    monkeypatch.setattr(maillog, "_refusals", Seldom())


@pytest.fixture(scope="session")
def postgres_server():
    """A private server for the whole run."""
    server = postgres.Server.start(POSTGRES)
    yield server
    server.remove()


@pytest.fixture(autouse=True)
def stores(request):
    """The engine of the stores that helpers open: the embedded one, unless it is given."""
    name = getattr(request, "param", "sqlite")
    if name == "sqlite":
        yield name
        return
    with engines.stores_on(request.getfixturevalue("postgres_server")):
        yield name


@pytest.fixture(scope="module", params=ENGINES)
def each_engine(request):
    """The same for fixtures of a whole module, such as a gateway that all its tests share."""
    if request.param == "sqlite":
        yield request.param
        return
    with engines.stores_on(request.getfixturevalue("postgres_server")):
        yield request.param


@pytest.fixture(params=ENGINES)
def engine(request):
    """The engine's name; a test that uses it runs once for each."""
    return request.param


@pytest.fixture
def postgres_url(postgres_server):
    """Where to open a new store on PostgreSQL."""
    url = postgres_server.database()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def store_url(engine, request):
    """Where to open a new store on this engine: "" or a PostgreSQL URL."""
    return "" if engine == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def empty_url(engine, request):
    """The same without a schema: where an older one is to be made."""
    if engine == "sqlite":
        yield ""
        return
    server = request.getfixturevalue("postgres_server")
    url = server.database(empty=True)
    yield url
    server.drop(url)


@pytest.fixture
def store(store_url, tmp_path):
    """An open store, on each engine."""
    from gatepost.store.engine import Store

    folder = tmp_path / "data" if store_url else lay_down(tmp_path / "data")
    with Store.open(store_url, folder) as opened:
        yield opened
