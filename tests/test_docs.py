"""The documentation says what the program does: every command, with all its options."""

import shlex
from pathlib import Path

import pytest
import typer.main

from gatepost.cli import app
from gatepost.cli.desk import Status
from gatepost.cli.reference import EXAMPLES, commands, commands_page

TOP = Path(__file__).parents[1]
PAGE = (TOP / "docs" / "commands.md").read_text("utf-8")
ROOT = typer.main.get_command(app)
COMMANDS = dict(commands(ROOT))


def section(path):
    _, _, rest = PAGE.partition(f"\n## gatepost {path}\n")
    return rest.partition("\n## ")[0]


def test_the_page_of_commands_is_made_from_them():
    assert commands_page() == PAGE, "docs/commands.md is out of step: run make docs"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_is_documented(path):
    text = section(path)
    command = COMMANDS[path]
    assert " ".join((command.help or "").split()) in text
    assert EXAMPLES[path] in text
    for param in command.params:
        assert param.help, f"{path} {param.name} has no help"
        assert param.help in text.replace("\\|", "|")
        if param.param_type_name == "option":
            for name in param.opts:
                assert f"`{name}`" in text


def test_every_example_is_of_a_command():
    assert EXAMPLES.keys() == COMMANDS.keys()


@pytest.mark.parametrize("path", COMMANDS)
def test_every_example_is_understood(path):
    """The words of an example are parsed as the program would; nothing is run."""
    program, *words = shlex.split(EXAMPLES[path].replace("\\\n", " "))
    assert program == "gatepost"
    if words[0] == "--config":
        words = words[2:]
    name = path.split()
    assert words[: len(name)] == name
    context = COMMANDS[path].make_context(path, words[len(name) :])
    assert not context.args


def test_every_exit_status_is_documented():
    for status in Status:
        assert f"| {status.value} | " in PAGE
