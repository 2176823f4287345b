"""Commands as processes of their own: terminals, pipes, and beside each other or `serve`."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest

from support.command import Site
from support.ports import free_port

SERVED = """
[[smtp]]
port = {smtp}
[http]
port = {http}
[admin]
port = {admin}
[limits]
min_free_disk = "1 MB"
[upstream]
port = {upstream}
"""


def words(site, *given):
    return [sys.executable, "-m", "gatepost", "--config", str(site.config), *map(str, given)]


def program(site, *given, **more):
    return subprocess.run(
        words(site, *given), capture_output=True, text=True, timeout=120, check=False, **more
    )


def on_a_terminal(site, *given, typed=b""):
    """What a person sees: the output of a command on a pseudo-terminal, and its status."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="120")
        os.execv(sys.executable, words(site, *given))
    seen = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        seen += piece
        if typed and seen.endswith((b"? ", b": ")):  # what is typed before a prompt is thrown away
            line, _, typed = typed.partition(b"\n")
            os.write(terminal, line + b"\n")
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return seen.decode("utf-8", "replace"), os.waitstatus_to_exitcode(status)


def test_the_whole_way_from_init_to_an_audience(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "gatepost", "init", "new"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    environment = {**os.environ, "GATEPOST_CONFIG": str(tmp_path / "new" / "config.toml")}

    def run(*given):
        return subprocess.run(
            [sys.executable, "-m", "gatepost", *given],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    (tmp_path / "text.txt").write_text("Yes, Acme AB, send me the newsletter until I say no.")
    assert run(
        "source", "add", "web", "--sender", "acme", "--kind", "form", "--streams", "newsletter",
        "--text-file", "text.txt", "--language", "sv",
        "--attest", "voluntary,informed,specific,states-withdrawal",
    ).returncode == 0  # fmt: skip
    (tmp_path / "people.csv").write_text("address,event_at\na@kund.example,2024-01-01\nnobody,\n")
    load = run(
        "consent", "import", "people.csv", "--source", "web", "--stream", "newsletter",
        "--basis", "newsletter-form",
    )  # fmt: skip
    assert load.returncode == 1
    (tmp_path / "list.txt").write_text("a@kund.example\n")
    checked = run("audience", "check", "--stream", "newsletter", "list.txt", "--json")
    assert checked.returncode == 0
    assert json.loads(checked.stdout)[0]["verdict"] == "deliver"


def test_beside_a_running_serve(site):
    """Both work on one store; what the command records is there when it returns."""
    ports = {name: free_port() for name in ("smtp", "http", "admin", "upstream")}
    served = Site(site.folder, SERVED.format(**ports))
    serving = subprocess.Popen(
        words(served, "serve"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        wait_until_ready(ports["http"], serving)
        served.add_source()
        assert program(served, "consent", "withdraw", "a@kund.example", "--all").returncode == 0
        shown = program(served, "consent", "show", "a@kund.example", "--json")
        assert json.loads(shown.stdout)["standings"][0]["state"] == "withdrawn"
        assert program(served, "ledger", "verify").returncode == 0
        second = program(served, "serve")
        assert second.returncode == 3
        assert "another gatepost serve" in second.stderr
    finally:
        serving.send_signal(signal.SIGTERM)
        _, said = serving.communicate(timeout=120)
    assert serving.returncode == 0, said


def wait_until_ready(port, serving):
    while True:
        assert serving.poll() is None, serving.stderr.read()
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz") as answer:  # ours, on loopback
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)


def test_several_commands_at_once(site):
    site.add_source()
    running = [
        subprocess.Popen(
            words(
                site, "consent", "grant", f"p{number}@kund.example", "--source", "web",
                "--basis", "written", "--stream", "newsletter",
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for number in range(4)
    ]  # fmt: skip
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert site.ok("ledger", "verify").status == 0
    assert {site.standing(f"p{number}@kund.example")["state"] for number in range(4)} == {"granted"}


def test_a_reader_that_has_enough_ends_the_command_quietly(site):
    listed = site.file("list.txt", "".join(f"p{number}@kund.example\n" for number in range(20_000)))
    process = subprocess.Popen(
        words(site, "audience", "check", "--stream", "newsletter", listed),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.wait(timeout=120)
    assert "Traceback" not in said
    assert "Error" not in said


def test_a_table_on_a_terminal(site):
    site.ok("suppression", "add", "anna@kund.example")
    seen, status = on_a_terminal(site, "suppression", "list")
    assert status == 0
    assert "─" in seen
    assert "anna@kund.example" in re.sub(r"\x1b\[[0-9;]*m", "", seen)


def test_an_import_on_a_terminal_shows_how_far_it_is(site):
    site.add_source()
    rows = "".join(f"p{number}@kund.example,written,2024-01-01\n" for number in range(100))
    file = site.file("people.csv", f"address,basis,event_at\n{rows}")
    seen, status = on_a_terminal(
        site, "consent", "import", file, "--source", "web", "--stream", "newsletter"
    )
    assert status == 0
    assert "importing people.csv" in seen
    assert "100 grants" in seen


def test_a_password_is_asked_for_twice_and_not_shown(site):
    seen, status = on_a_terminal(site, "hash-password", typed=b"s3cret\ns3cret\n")
    assert status == 0
    assert "s3cret" not in seen
    assert "$scrypt$" in seen


@pytest.mark.parametrize(("answer", "said"), [(b"n\n", "Aborted"), (b"y\n", "deleted: 0")])
def test_deleting_the_whole_queue_is_asked_about(site, answer, said):
    seen, status = on_a_terminal(site, "queue", "delete", "--all", typed=answer)
    assert said in seen
    assert status == (0 if answer == b"y\n" else 1)


def test_on_postgresql(postgres_server, tmp_path):
    url = postgres_server.database()
    site = Site(tmp_path, f'\n[store]\nurl = "{url}"\n')
    try:
        site.add_source("web", "--streams", "newsletter")
        text = "address,basis,event_at,withdrawn_at\na@kund.example,written,2024-01-01,\n"
        file = site.file("people.csv", text + "b@kund.example,written,2024-01-01,2024-02-01\n")
        for known in (0, 3):
            done = site.ok(
                "consent", "import", file, "--source", "web", "--stream", "newsletter", "--json"
            )
            assert done.json["known"] == known
        site.ok("suppression", "add", "a@kund.example")
        assert site.standing("a@kund.example")["reason"] == "suppressed"
        assert site.standing("b@kund.example")["reason"] == "withdrawn"
        assert "whole" in site.ok("ledger", "verify").out
    finally:
        postgres_server.drop(url)
