"""The nursery that all doomed programs come from, and a PostgreSQL that may be killed.

Power loss is recorded by a library in C; without a compiler those tests are left out, said so.
"""

import os

import pytest

from support import postgres
from support.dying import Nursery
from support.power import find_compiler
from support.stage import People

COMPILER = find_compiler()
POSTGRES = postgres.find_binaries()


def pytest_collection_modifyitems(items):
    if not COMPILER:
        items[:] = [item for item in items if item.path.name != "test_power_loss.py"]
    if not POSTGRES:
        items[:] = [item for item in items if "mortal_server" not in item.fixturenames]


def pytest_configure(config):
    if not COMPILER and os.environ.get("CI"):
        raise pytest.UsageError("there is no C compiler, and in CI nothing is left out")


def pytest_terminal_summary(terminalreporter):
    if not COMPILER:
        terminalreporter.write_line("not run: tests of power loss, which need a C compiler")


@pytest.fixture(scope="session")
def nursery():
    with Nursery() as here:
        yield here


@pytest.fixture(scope="session")
def mortal_server():
    """A server that recovers from its log, and by itself would not care when that is written."""
    server = postgres.Server.start(
        POSTGRES, "full_page_writes=on", "synchronous_commit=off", "wal_writer_delay=10s"
    )
    yield server
    server.remove()


@pytest.fixture(scope="session")
def people_here(tmp_path_factory, nursery):
    """People on the embedded engine."""
    return People(tmp_path_factory.mktemp("sqlite"), nursery, None)


@pytest.fixture(scope="session")
def people_there(tmp_path_factory, nursery, mortal_server):
    """The same people on PostgreSQL."""
    return People(tmp_path_factory.mktemp("postgresql"), nursery, mortal_server)
