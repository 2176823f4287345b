"""`gatepost demo` as a newcomer runs it: its story, its exit status, and what it leaves behind.

The failing endings are real, too: a Gatepost that has been spoiled (by a `sitecustomize` that
only its processes see) mails whom it must not mail, or does not start, and the tour has to
notice.
"""

import os
import re
import signal
import smtplib
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

COMMAND = [sys.executable, "-m", "gatepost", "demo"]

# Whoever did nothing against it is mailed.
ASKS_FOR_NO_CONSENT = """
from gatepost.flow.decide import rules
rules.RULES = tuple(rule for rule in rules.RULES if rule.__name__ != "consent_lacking")
"""
DOES_NOT_START = """
import gatepost.app.serving
def serve(path, workers=None):
    raise SystemExit("the cellar is flooded")
gatepost.app.serving.serve = serve
"""


@pytest.fixture
def place(tmp_path):
    """Where temporary folders are made, and the environment that says so."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    environment = os.environ | {"TMPDIR": str(folder), "COLUMNS": "80"}
    environment.pop("GATEPOST_CONFIG", None)
    return folder, environment


def run(place, *options, spoiled_by="", **more):
    folder, environment = place
    if spoiled_by:
        spoiling = folder.parent / "spoiling"
        spoiling.mkdir()
        (spoiling / "sitecustomize.py").write_text(spoiled_by)
        path = f"{spoiling}{os.pathsep}{environment.get('PYTHONPATH', '')}"
        environment = environment | {"PYTHONPATH": path.rstrip(os.pathsep)}
    return subprocess.run(
        [*COMMAND, *options], env=environment | more, cwd=folder.parent,
        capture_output=True, text=True, encoding="utf-8", check=False, timeout=500,
    )  # fmt: skip


def processes_in(folder):
    """The processes that work in `folder` or below it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            where = (entry / "cwd").readlink()
        except OSError:  # not ours, or gone meanwhile
            continue
        if folder in where.parents:
            found.append(entry.name)
    return found


def test_the_tour_shows_all_it_claims_and_leaves_nothing_behind(place):
    done = run(place)
    assert done.returncode == 0, done.stdout + done.stderr
    story = done.stdout
    assert "not so:" not in story
    assert re.search(r"All (\d+) claims hold", story)
    # the report, by reason, as the samples were made
    counted = dict(
        re.findall(r"^ +(?:deliver|drop) +([a-z-]+) .*? (\d+) +\d+ +✓$", story, re.MULTILINE)
    )
    assert counted["consented"] == "620"
    assert sum(map(int, counted.values())) == 1000
    assert {"withdrawn", "no-consent", "suppressed", "forbidden-source", "erased"} < counted.keys()
    # the copy, the click, the second mailing, the ledger
    assert re.search(r"^ +\+ List-Unsubscribe: <http://127\.0\.0\.1:\d+/u/", story, re.MULTILINE)
    assert "+ List-Unsubscribe-Post: List-Unsubscribe=One-Click" in story
    assert "+ Storgatan 1, 111 22 Stockholm, Sweden" in story
    assert "200 OK: You are unsubscribed" in story
    assert "newsletter-form-001@example.net got no copy: withdrawn. 619 others" in story
    assert re.search(r"withdrawn +one-click, from 127\.0\.0\.1", story)
    assert "gatepost init" in story
    # plain where there is no terminal: no colours, no bar that redraws itself
    assert "\x1b" not in story
    assert "\r" not in story
    folder, _ = place
    assert not list(folder.iterdir())
    assert not processes_in(folder)


def test_where_only_ascii_can_be_shown_signs_become_words(place):
    done = run(place, PYTHONIOENCODING="ascii", spoiled_by=DOES_NOT_START)
    assert done.returncode == 1
    assert "NO gatepost serve ended" in done.stdout
    assert not done.stderr


def test_a_relay_that_mails_without_consent_is_noticed(place):
    done = run(place, spoiled_by=ASKS_FOR_NO_CONSENT)
    assert done.returncode == 1
    assert "not so: the inbox got 620 copies" in done.stdout
    assert re.search(r"a copy for bought-list-\d+@", done.stdout)
    assert re.search(r"drop +forbidden-source .* 30 +0 ✗", done.stdout)
    assert "claims did not hold:" in done.stdout
    assert "claims hold." not in done.stdout
    folder, _ = place
    assert not list(folder.iterdir())
    assert not processes_in(folder)


def test_a_relay_that_does_not_start_is_quoted(place):
    done = run(place, spoiled_by=DOES_NOT_START)
    assert done.returncode == 1
    assert "gatepost serve ended with status 1" in done.stdout
    assert "the cellar is flooded" in done.stdout
    assert not list(place[0].iterdir())


@contextmanager
def kept(place):
    """`gatepost demo --keep`, told to end at the end; its process."""
    folder, environment = place
    process = subprocess.Popen(
        [*COMMAND, "--keep"], env=environment | {"PYTHONUNBUFFERED": "1"}, cwd=folder.parent,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(120)
        process.stdout.close()


def read_until(process, words):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError(f"{words!r} never came:\n{''.join(lines)}")


def test_kept_running_it_takes_mail_until_ctrl_c(place):
    folder, _ = place
    with kept(place) as process:
        story = read_until(process, "Ctrl-C ends it")
        link = re.findall(r"^ +(http://127\.0\.0\.1:\d+/u/\S+)$", story, re.MULTILINE)[-1]
        with urlopen(link) as page:  # a page of the demo itself, on loopback
            assert b"<button" in page.read()
        port, sender, wants = re.search(
            r"swaks --server 127\.0\.0\.1:(\d+) --from (\S+) .*?--to (\S+)", story, re.DOTALL
        ).groups()
        stranger = re.search(r"stranger-\d+@[a-z.]+", story).group()
        with smtplib.SMTP("127.0.0.1", int(port)) as client:
            for address in (stranger, wants):
                client.sendmail(
                    sender,
                    address,
                    f"From: {sender}\r\nTo: {address}\r\nSubject: By hand\r\n\r\nHi\r\n",
                )
        arrived = read_until(process, "By hand")
        assert wants in arrived
        assert stranger not in arrived
        assert processes_in(folder)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    assert not list(folder.iterdir())
    assert not processes_in(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_on_the_way_it_clears_away_and_says_no(place, number):
    folder, _ = place
    with kept(place) as process:
        read_until(process, "The parts")
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(120) == 1
    assert "stopped before the end" in rest
    assert "Traceback" not in rest
    assert not list(folder.iterdir())
    assert not processes_in(folder)
