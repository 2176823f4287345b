"""Power loss is recorded by a library in C; without a compiler those tests are left out, said so."""

import os

import pytest

from support.power import find_compiler

COMPILER = find_compiler()


def pytest_collection_modifyitems(items):
    if not COMPILER:
        items[:] = [item for item in items if item.path.name != "test_power_loss.py"]


def pytest_configure(config):
    if not COMPILER and os.environ.get("CI"):
        raise pytest.UsageError("there is no C compiler, and in CI nothing is left out")


def pytest_terminal_summary(terminalreporter):
    if not COMPILER:
        terminalreporter.write_line("not run: tests of power loss, which need a C compiler")
