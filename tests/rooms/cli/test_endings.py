"""How commands begin and end: configuration, exit statuses, and never a traceback."""

import stat
import subprocess
import sys

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from gatepost import __version__
from gatepost.app import serving
from gatepost.cli import app
from gatepost.cli.desk import DeskGroup, Refusal, Status
from gatepost.config import sample
from gatepost.store.engine import StoreBroken


def run(*words, **more):
    return CliRunner().invoke(app, list(map(str, words)), **more)


def test_init_writes_what_config_check_takes(tmp_path):
    made = run("init", tmp_path / "new")
    assert made.exit_code == 0
    assert "source add" in made.stdout  # the next steps
    config = tmp_path / "new" / "config.toml"
    assert config.read_text() == sample()
    checked = run("--config", config, "config", "check")
    assert checked.exit_code == 0
    assert "newsletter" in checked.stdout


def test_init_keeps_secrets_to_the_owner(tmp_path):
    run("init", tmp_path)
    data = tmp_path / "data"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    keys = list((data / "keys").iterdir())
    assert len(keys) == 3
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert (data / "gatepost.db").exists()


def test_init_writes_over_nothing(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("mine")
    refused = run("init", tmp_path)
    assert refused.exit_code == 1
    assert "exists already" in refused.stderr
    assert config.read_text() == "mine"
    assert not (tmp_path / "data").exists()


def test_every_error_of_a_configuration_is_printed_at_once(site):
    site.config.write_text('[server]\nworkers = "many"\nnonsense = 1\n[http]\nport = 99999\n')
    for words in (("config", "check"), ("queue", "list"), ("serve",)):
        said = site.refused(*words)
        assert "4 errors" in said
        assert "server.public_url" in said  # missing
        assert "server.workers" in said
        assert "server.nonsense" in said
        assert "http.port" in said
        assert "cure:" in said


def test_without_a_configuration_it_is_said_where_one_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATEPOST_CONFIG", raising=False)
    answer = run("queue", "list")
    assert answer.exit_code == 2
    assert "gatepost init" in answer.stderr


def test_the_environment_names_the_configuration_and_the_option_wins(site, monkeypatch, tmp_path):
    monkeypatch.setenv("GATEPOST_CONFIG", str(site.config))
    assert run("config", "check").exit_code == 0
    assert run("--config", tmp_path / "nowhere.toml", "config", "check").exit_code == 2


def test_a_store_out_of_reach_ends_with_3(site):
    text = site.config.read_text()
    site.config.write_text(text + '\n[store]\nurl = "postgresql://127.0.0.1:1/gatepost"\n')
    said = site.refused("queue", "list", status=3)
    assert "out of reach" in said
    assert len(said.splitlines()) == 1


def test_keys_of_another_store_end_with_3(site, tmp_path):
    site.ok("queue", "list")
    key = tmp_path / "data" / "keys" / "suppression.key"
    key.write_text("0" * 64 + "\n")
    assert "suppression.key" in site.refused("queue", "list", status=3)


def test_an_unknown_command_and_an_unknown_option_end_with_2(site):
    assert "nonsense" in site.refused("nonsense")
    assert "--nonsense" in site.refused("queue", "list", "--nonsense")


def test_the_version():
    answer = run("--version")
    assert (answer.exit_code, answer.stdout) == (0, f"gatepost {__version__}\n")


def test_the_statuses_are_those_of_serve():
    assert serving.DONE == Status.DONE
    assert serving.BAD_CONFIG == Status.BAD_USE
    assert serving.OUT_OF_REACH == Status.OUT_OF_REACH


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (Refusal("no such thing", Status.NO), 1, "no such thing\n"),
        (StoreBroken("the store is damaged"), 3, "the store is damaged\n"),
        (FileNotFoundError(2, "No such file", "list.txt"), 2, "list.txt: No such file\n"),
        (OSError(28, "No space left"), 3, "No space left\n"),
    ],
)
def test_what_goes_wrong_becomes_one_line_and_a_status(error, status, said):
    answer = fail_with(error)
    assert (answer.exit_code, answer.stderr) == (status, said)


def test_what_nobody_foresaw_says_where(tmp_path):
    answer = fail_with(ZeroDivisionError("division\nby zero"))
    assert answer.exit_code == 3
    assert "ZeroDivisionError: division by zero" in answer.stderr
    assert "test_endings.py:" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def fail_with(error):
    failing = typer.Typer(cls=DeskGroup)

    @failing.callback()
    def root():
        pass

    @failing.command()
    def fail():
        raise error

    return CliRunner().invoke(failing, ["fail"])


def test_the_first_page_says_of_each_command_what_the_command_says_of_itself():
    for command in get_command(app).commands.values():
        assert command.help == command.whole.help.split("\n\n")[0], command.name


def test_a_command_loads_what_it_needs_alone():
    script = "import sys; from gatepost.__main__ import main; main()"
    words = ["--help"]
    listed = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", script, *words],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "gatepost.cli.later" in listed.stderr
    for heavy in ("fastapi", "alembic", "dns.resolver", "gatepost.cli.queue", "gatepost.web"):
        assert f" {heavy}\n" not in listed.stderr
