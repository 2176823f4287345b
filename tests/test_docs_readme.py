"""The README's ten minutes, as they stand there: its files, its commands, its mail."""

import csv
import json
import re
import subprocess
import time

import pytest

from support.documents import TOP, blocks
from support.program import Program
from support.upstream import UpstreamThread

README = TOP / "README.md"
(CONFIG,) = blocks(README, "toml")
(PEOPLE,) = blocks(README, "csv")
DEMO, STEPS, SWAKS = blocks(README, "sh")


def shell(line, folder):
    return subprocess.run(
        ["bash", "-euc", line], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def ten_minutes(tmp_path_factory):
    """The commands have run; what each printed, the running program, and upstream."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "people.csv").write_text(PEOPLE)
    (folder / "consent.txt").write_text(
        "Yes, Acme AB may send me the newsletter. I can leave at any time.\n"
    )
    with UpstreamThread() as upstream:
        config = CONFIG.replace("port = 1025", "port = {upstream_port}")
        config = config.replace(":8025", ":{http_port}")
        more = "\n[[smtp]]\nport = {smtp_port}\n[http]\nport = {http_port}\n[admin]\nport = {admin_port}\n"
        more += '[limits]\nmin_free_disk = "1 MB"\n'
        gateway = Program(folder, upstream_port=upstream.port, config=config + more)
        lines = STEPS.replace("\\\n", " ").splitlines()
        assert lines.pop() == "gatepost serve"
        answers = {}
        for line in lines:
            words = line.split()
            assert words[0] == "gatepost"
            answers[words[1]] = gateway.run(*words[1:], check=False)
        with gateway:
            answers["swaks"] = shell(SWAKS.replace(":2525", f":{gateway.smtp_port}"), folder)
            deadline = time.monotonic() + 120
            while not upstream.messages and time.monotonic() < deadline:
                time.sleep(0.05)
            answers["campaign"] = gateway.run("campaign", "show", "1", "--json")
            yield answers, upstream


def test_both_make_targets_are_there():
    makefile = (TOP / "Makefile").read_text("utf-8")
    for line in DEMO.splitlines():
        target = line.split()[1]
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_configuration_source_and_import_are_good(ten_minutes):
    answers, _ = ten_minutes
    for command in ("config", "source", "consent"):
        assert answers[command].returncode == 0, answers[command].stderr


def test_the_audience_is_what_the_text_says(ten_minutes):
    answers, _ = ten_minutes
    assert answers["audience"].returncode == 1
    shown = {
        line.split()[0]: line.split()[1:3]
        for line in answers["audience"].stdout.splitlines()
        if line
    }
    anna, bo = (row["address"] for row in csv.DictReader(PEOPLE.splitlines()))
    assert shown[anna] == ["deliver", "consented"]
    assert shown[bo] == ["drop", "forbidden-source"]


def test_one_copy_leaves_with_its_headers_and_its_footer(ten_minutes):
    answers, upstream = ten_minutes
    assert answers["swaks"].returncode == 0, answers["swaks"].stdout
    (message,) = upstream.messages
    text = message.content.decode()
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in text
    assert "Storgatan 1, 111 22 Stockholm, Sweden" in text
    assert "Spring is here." in text


def test_the_campaign_says_who_was_not_mailed_and_why(ten_minutes):
    answers, _ = ten_minutes
    campaign = json.loads(answers["campaign"].stdout)
    reasons = {one["recipient"]: one["reason"] for one in campaign["recipients"]}
    assert reasons == {
        "anna@kund.example": "consented",
        "bo@kund.example": "forbidden-source",
    }
