"""The house rules that a machine can check: what each room may do, and how it is built.

The layers themselves are import-linter contracts in pyproject.toml; here they are run, and
beside them what imports cannot show: calls of the clock and of files in pure rooms, sizes,
docstrings and names.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PACKAGE = TOP / "src" / "gatepost"
MODULES = sorted(PACKAGE.rglob("*.py"))

PURE_ROOMS = (
    "mail",
    "consent",
    "feedback",
    "flow/classify",
    "flow/decide",
    "flow/edit",
    "flow/spool/states.py",
    "flow/spool/schedule.py",
    "flow/transmit/trouble.py",
)
PURE_MODULES = [
    module
    for module in MODULES
    if any((PACKAGE / room) in (module, *module.parents) for room in PURE_ROOMS)
]
CLOCK_METHODS = frozenset({"now", "utcnow", "today", "time", "monotonic", "perf_counter"})
FILE_MODULES = frozenset({"io", "os", "codecs", "gzip"})
EMPTY_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "base"})
MAX_LINES = 600


def name_of(module):
    return str(module.relative_to(TOP))


def impure_calls(tree):
    """The calls in `tree` that read a clock or open a file, as `line: name`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in {"open", "time"}:
            yield f"{node.lineno}: {called.id}("
        elif isinstance(called, ast.Attribute) and called.attr in CLOCK_METHODS:
            yield f"{node.lineno}: .{called.attr}("
        elif (
            isinstance(called, ast.Attribute)
            and called.attr == "open"
            and isinstance(called.value, ast.Name)
            and called.value.id in FILE_MODULES
        ):
            yield f"{node.lineno}: {called.value.id}.open("


@pytest.mark.parametrize("module", PURE_MODULES, ids=name_of)
def test_a_pure_room_reads_no_clock_and_opens_no_file(module):
    assert not list(impure_calls(ast.parse(module.read_text("utf-8"))))


@pytest.mark.parametrize(
    "code",
    [
        "datetime.now(UTC)", "datetime.datetime.utcnow()", "date.today()", "time.time()", "time()",
        "open('x')", "io.open('x')", "time.monotonic()",
    ],
)  # fmt: skip
def test_the_clock_and_the_file_would_be_seen(code):
    assert list(impure_calls(ast.parse(code)))


def test_opening_a_token_is_no_file():
    assert not list(impure_calls(ast.parse("ring.open(purpose, token)")))


def test_every_pure_room_is_there():
    for room in PURE_ROOMS:
        assert any((PACKAGE / room) in (module, *module.parents) for module in PURE_MODULES), room


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_says_what_it_is_for(module):
    docstring = ast.get_docstring(ast.parse(module.read_text("utf-8")))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":", "?", ","))


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_has_a_name_that_says_something(module):
    parts = module.relative_to(PACKAGE).with_suffix("").parts
    assert not EMPTY_NAMES.intersection(parts)


def test_no_file_is_too_long():
    files = [*MODULES, *(TOP / "tests").rglob("*.py"), *(TOP / "bench").rglob("*.py")]
    lengths = {name_of(file): len(file.read_text("utf-8").splitlines()) for file in files}
    assert not {name: length for name, length in lengths.items() if length >= MAX_LINES}


def test_the_import_contracts_hold():
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": str(TOP / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
