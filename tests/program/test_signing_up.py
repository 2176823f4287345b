"""The running program: from the form through the letter to the newsletter, and past a crash."""

import html
import json
import re
import smtplib
import time
from email import message_from_bytes, policy
from urllib.parse import urlsplit

import httpx
import pytest

from support.program import Program
from support.signups import TEXT, path_in
from support.upstream import UpstreamThread

ANNA = "anna@example.org"
MAIL = b"From: news@acme.example\r\nTo: news@acme.example\r\nSubject: Spring\r\n\r\nHello\r\n"
DOUBLE = """
[streams.club]
kind = "bulk"
title = "Letter to members"
sender = "acme"
double_opt_in = true
on_ineligible = "quarantine"

[[classify]]
subject = "Spring"
stream = "club"
"""


def add_form(gateway, streams):
    text = gateway.folder / "consent.txt"
    text.write_text(TEXT)
    attested = "voluntary,informed,specific,states-withdrawal"
    gateway.run(
        "source", "add", "website", "--sender", "acme", "--kind", "form", "--streams", streams,
        "--text-file", text, "--attest", attested,
    )  # fmt: skip


def sign_up(gateway, stream):
    """As a person does; who is too quick is asked to press once more."""
    url = f"http://127.0.0.1:{gateway.http_port}/subscribe/website"
    page = httpx.get(url, timeout=60)
    assert page.status_code == 200
    token = re.search(r'name="form" value="([^"]+)"', page.text).group(1)
    sent = {"form": html.unescape(token), "stream": stream, "address": ANNA, "homepage": ""}
    until(lambda: httpx.post(url, data=sent, timeout=60).status_code == 200)


def letter(upstream, number=0):
    until(lambda: len(upstream.taken) > number)
    return message_from_bytes(upstream.taken[number].content, policy=policy.default)


def send(gateway):
    with smtplib.SMTP("127.0.0.1", gateway.smtp_port) as client:
        client.sendmail("news@acme.example", [ANNA], MAIL)


def shown(gateway):
    return json.loads(gateway.run("consent", "show", ANNA, "--json").stdout)


def held(gateway):
    return [row["reason"] for row in json.loads(gateway.run("quarantine", "list", "--json").stdout)]


def until(holds, seconds=120):
    for _ in range(seconds * 5):
        if holds():
            return
        time.sleep(0.2)
    raise AssertionError("it did not happen")


def test_a_confirmation_lets_go_what_was_held(tmp_path):
    with UpstreamThread() as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port, more=DOUBLE)
        config = gateway.config.read_text()
        gateway.config.write_text(config.replace('"receipts", "office"]', '"office", "club"]', 1))
        with gateway:
            add_form(gateway, "club")
            sign_up(gateway, "club")
            asks = letter(upstream)
            assert asks["Subject"] == "Please confirm: e-mail from Acme AB"
            send(gateway)
            assert held(gateway) == ["unconfirmed"]
            gateway.kill()
            gateway.start()
            base = f"http://127.0.0.1:{gateway.http_port}"
            assert httpx.post(base + path_in(asks, "c"), timeout=60).status_code == 200
            assert letter(upstream, 1)["Subject"] == "Spring"
            assert held(gateway) == []
            kinds = [event["kind"] for event in shown(gateway)["events"]]
            assert kinds == ["requested", "confirmed"]
            assert ANNA in gateway.log()


@pytest.mark.both_engines
def test_a_welcome_that_left_before_a_crash_counts_after_it(tmp_path):
    with UpstreamThread() as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port)
        with gateway:
            add_form(gateway, "newsletter")
            sign_up(gateway, "newsletter")
            welcome = letter(upstream)
            gateway.kill()
            gateway.start()
            until(lambda: "welcomed" in [event["kind"] for event in shown(gateway)["events"]])
            send(gateway)
            subjects = {letter(upstream, number)["Subject"] for number in range(2)}
            until(lambda: "Spring" in {message_from_bytes(one.content)["Subject"]
                                       for one in upstream.taken})  # fmt: skip
            assert "You are signed up: Monthly newsletter" in subjects
            kinds = [event["kind"] for event in shown(gateway)["events"]]
            assert kinds == ["granted", "welcomed"]
            leave = urlsplit(welcome["List-Unsubscribe"].strip("<>")).path
            answer = httpx.post(
                f"http://127.0.0.1:{gateway.http_port}{leave}",
                data={"List-Unsubscribe": "One-Click"},
                timeout=60,
            )
            assert answer.status_code == 200
            assert shown(gateway)["standings"][0]["state"] == "withdrawn"
