"""SIGHUP, SIGTERM, and starts that must fail: what an administrator does to the program."""

import signal
import smtplib
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from support.certificates import make_certificate
from support.consents import granted
from support.ports import free_port
from support.program import CONFIG, IN_TIME_SECONDS, Program
from support.smtp_lines import Lines
from support.upstream import Hang, Script, Slow, UpstreamThread
from support.watching import copies, mail, request, rows, send, states, wait_until

OFFERS = """
[streams.offers]
kind = "bulk"
title = "Offers"
sender = "acme"
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with UpstreamThread() as upstream:
        gateway = Program(tmp_path_factory.mktemp("signals"), upstream_port=upstream.port)
        gateway.record({
            "anna@example.org": [granted(), granted(stream="offers")],
            "bertil@example.org": [granted()],
        })  # fmt: skip
        with gateway:
            yield gateway, upstream


@pytest.fixture
def config(world):
    """The text of the configuration; what a test makes of it is undone."""
    gateway, _ = world
    original = gateway.config.read_text()
    yield original
    reload(gateway, original, "configuration reloaded")


def reload(gateway, text, answer):
    """Writes the configuration, sends SIGHUP, waits for the log to say `answer`."""
    before = gateway.log().count(answer)
    gateway.config.write_text(text)
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: gateway.log().count(answer) > before, gateway)


class Impatient(Program):
    """Is asked to reload again and again from the moment its libraries are loaded."""

    def wait_until_ready(self, seconds=120):
        maps = Path(f"/proc/{self.process.pid}/maps")
        wait_until(lambda: "_pydantic_core" in maps.read_text(), self)
        deadline = time.monotonic() + seconds
        self.process.send_signal(signal.SIGHUP)
        while not self.is_ready() and time.monotonic() < deadline:
            assert self.process.poll() is None, f"it ended: {self.process.returncode}"
            time.sleep(0.05)
            self.process.send_signal(signal.SIGHUP)


def test_a_reload_while_it_starts_is_done_later(tmp_path):
    """systemd calls a service started as soon as its process is there."""
    options = ("--workers", "2")
    with Impatient(tmp_path, upstream_port=free_port(), options=options) as gateway:
        wait_until(lambda: "configuration reloaded" in gateway.log(), gateway)


def test_a_new_stream_takes_effect(world, config):
    gateway, upstream = world
    message = mail("New stream", "X-Gatepost-Stream: offers")
    assert send(gateway, ["anna@example.org"], message)[0] == 550
    text = config.replace('"newsletter", "receipts"', '"newsletter", "offers", "receipts"')
    reload(gateway, text + OFFERS, "configuration reloaded")
    before = len(upstream.messages)
    people = ["anna@example.org", "bertil@example.org"]
    assert send(gateway, people, message)[0] == 250
    expected = [
        ("anna@example.org", "delivered", "consented"),
        ("bertil@example.org", "dropped", "no-consent"),
    ]
    wait_until(lambda: rows(gateway)[-2:] == expected, gateway)
    assert len(upstream.messages) == before + 1
    assert b"List-Id: <offers." in upstream.messages[-1].content


def test_copies_of_what_waits_follow_the_new_configuration(world, config):
    gateway, upstream = world
    upstream.script.recipients["bertil@example.org"] = ["450 4.2.1 later"]
    assert send(gateway, ["bertil@example.org"], mail("Moved"))[0] == 250
    wait_until(lambda: states(gateway)["deferred"] == 1, gateway)
    reload(gateway, config.replace("Storgatan 1", "Kungsgatan 2"), "configuration reloaded")
    before = len(upstream.messages)
    gateway.run("queue", "retry", "--all")
    wait_until(lambda: len(upstream.messages) > before, gateway)
    assert b"Kungsgatan 2" in upstream.messages[-1].content
    assert b"Storgatan" not in upstream.messages[-1].content


def test_bulk_mail_whose_sender_is_gone_waits_for_them(world, config):
    """Nothing else says whose it is, and how to leave."""
    gateway, upstream = world
    upstream.script.recipients["bertil@example.org"] = ["450 4.2.1 later"]
    assert send(gateway, ["bertil@example.org"], mail("Renamed"))[0] == 250
    wait_until(lambda: states(gateway)["deferred"] == 1, gateway)
    renamed = config.replace("senders.acme]", "senders.beta]")
    reload(gateway, renamed.replace('sender = "acme"', 'sender = "beta"'), "configuration reloaded")
    before = len(upstream.messages)
    gateway.run("queue", "retry", "--all")
    wait_until(lambda: states(gateway)["held"] == 1, gateway)
    wait_until(lambda: "held, because stream or sender" in gateway.log(), gateway)
    assert "the stream has another sender: consents" in gateway.log()
    assert len(upstream.messages) == before
    reload(gateway, config, "configuration reloaded")
    wait_until(lambda: len(upstream.messages) > before, gateway)
    assert b"List-Unsubscribe: <" in upstream.messages[-1].content


def test_a_client_that_was_removed_may_not_send_any_more(world, config):
    gateway, _ = world
    with Lines(gateway.smtp_port) as open_session:
        open_session.say("EHLO mailer.example")
        open_session.hear()
        reload(
            gateway,
            config.replace('networks = ["127.0.0.0/30"]', 'networks = ["192.0.2.1"]'),
            "configuration reloaded",
        )
        open_session.say("MAIL FROM:<news@acme.example>")
        refused = open_session.hear()
    assert refused.startswith(("530 5.7.0", "550 5.7.1", "554 5.7.1")), refused


def test_a_bad_file_leaves_the_old_configuration_running_and_says_so(world, config):
    gateway, _ = world
    bad = config.replace('kind = "bulk"', 'kind = "bulky"') + "\n[sensors]\n"
    reload(gateway, bad, "configuration not reloaded")
    said = [line for line in gateway.log().splitlines() if "not reloaded" in line][-1]
    assert "streams.newsletter.kind" in said
    assert "sensors" in said
    assert send(gateway, ["anna@example.org"], mail("Still running"))[0] == 250


def test_what_takes_a_restart_is_named(world, config):
    gateway, _ = world
    reload(gateway, config.replace("connections = 10", "connections = 11"), "after a restart")
    line = [line for line in gateway.log().splitlines() if "after a restart" in line][-1]
    assert '["upstream"]' in line


def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path):
    """While mail comes, and to whoever greets from then on; a broken one changes nothing."""
    certificate, key = make_certificate(tmp_path, "localhost")
    tls = f'tls = "starttls"\ncertificate = "{certificate}"\nkey = "{key}"\n'
    with UpstreamThread() as upstream:
        gateway = Program(
            tmp_path,
            upstream_port=upstream.port,
            config=CONFIG.replace("[http]", f"{tls}\n[http]", 1),
        )
        gateway.record({"anna@example.org": [granted()]})
        text = gateway.config.read_text()
        with gateway, Lines(gateway.smtp_port) as open_session:
            first = shown(gateway)
            make_certificate(tmp_path, "localhost")
            assert shown(gateway) == first
            reload(gateway, text, "configuration reloaded")
            second = shown(gateway)
            assert second != first
            open_session.say("NOOP")
            assert open_session.hear().startswith("250")
            certificate.write_text("no certificate")
            reload(gateway, text, "configuration not reloaded")
            assert shown(gateway) == second
            assert send(gateway, ["anna@example.org"], mail("Meanwhile"))[0] == 250


def shown(gateway):
    """The certificate that a new session gets to see."""
    context = ssl._create_unverified_context()
    with smtplib.SMTP("127.0.0.1", gateway.smtp_port, timeout=60) as client:
        client.starttls(context=context)
        return client.sock.getpeercert(binary_form=True)


def test_a_second_instance_is_refused(world):
    gateway, _ = world
    second = gateway.run("serve", check=False)
    assert second.returncode == 3
    assert "another gatepost serve runs on" in second.stderr
    assert second.stderr.count("\n") == 1
    assert gateway.is_ready()


def test_a_bad_configuration_ends_with_every_error(tmp_path):
    gateway = Program(tmp_path, upstream_port=1)
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace('kind = "bulk"', 'kind = "bulky"') + "\n[sensors]\n")
    ended = gateway.run("serve", check=False)
    assert ended.returncode == 2
    assert "streams.newsletter.kind" in ended.stderr
    assert "sensors" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("door", "named"), [("smtp_port", "[[smtp]] submission"), ("admin_port", "[admin]")]
)
def test_a_port_in_use_is_named(tmp_path, door, named):
    gateway = Program(tmp_path, upstream_port=1)
    port = getattr(gateway, door)
    with socket.create_server(("127.0.0.1", port)):
        ended = gateway.run("serve", check=False)
    assert ended.returncode == 3
    said = f"gatepost cannot start: {named} cannot listen on 127.0.0.1 port {port}"
    assert f"{said}: Address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_store_out_of_reach_at_start(tmp_path):
    url = "postgresql://gatepost@127.0.0.1:9/gatepost"
    ended = Program(tmp_path, upstream_port=1, store_url=url).run("serve", check=False)
    assert ended.returncode == 3
    assert "gatepost cannot start" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_sigterm_finishes_what_is_on_the_wire_and_ends_in_time(tmp_path):
    """With a client in the middle of a message, and upstream thinking."""
    people = [f"reader{number}@example.org" for number in range(300)]
    with UpstreamThread(Script(steps={"DOT": Slow(0.5, "250 2.0.0 ok")})) as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port, connections=3)
        gateway.record({address: [granted()] for address in people})
        with gateway:
            assert send(gateway, people, mail("Interrupted"))[0] == 250
            wait_until(lambda: len(upstream.messages) > 5, gateway)
            with Lines(gateway.smtp_port) as idle, Lines(gateway.smtp_port) as busy:
                idle.say("NOOP")
                idle.hear()
                for line in ("EHLO mailer.example", "MAIL FROM:<news@acme.example>",
                             f"RCPT TO:<{people[0]}>", "DATA"):  # fmt: skip
                    busy.say(line)
                    assert busy.hear()[:1] in "23"
                asked = time.time()
                gateway.process.send_signal(signal.SIGTERM)
                assert idle.hear().startswith("421 ")
                busy.send_content(mail("In the last moment"))
                assert busy.hear().startswith("250 ")
                gateway.process.wait(60)
            assert gateway.process.returncode == 0
            assert upstream.awake_since(asked) < IN_TIME_SECONDS
            at_the_end = copies(upstream)
            assert set(at_the_end.values()) == {1}
            assert states(gateway) == {"delivered": len(at_the_end), "ready": 301 - len(at_the_end)}

            upstream.script.steps.clear()
            gateway.start()
            wait_until(lambda: states(gateway) == {"delivered": 301}, gateway)
        assert copies(upstream).total() == 301


def test_sigterm_ends_even_when_nobody_else_lets_go(tmp_path):
    """A client that says nothing more in its message, an upstream that hangs, an open page."""
    with UpstreamThread(Script(steps={"DOT": Hang()})) as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port)
        gateway.record({"anna@example.org": [granted()]})
        with gateway:
            assert send(gateway, ["anna@example.org"], mail("Hanging"))[0] == 250
            wait_until(lambda: upstream.messages, gateway)
            with (
                Lines(gateway.smtp_port) as stuck,
                socket.create_connection(("127.0.0.1", gateway.http_port)) as page,
            ):
                for line in ("EHLO mailer.example", "MAIL FROM:<news@acme.example>",
                             "RCPT TO:<anna@example.org>", "DATA"):  # fmt: skip
                    stuck.say(line)
                    assert stuck.hear()[:1] in "23"
                page.sendall(b"POST /u/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n")
                asked = time.time()
                gateway.process.send_signal(signal.SIGTERM)
                gateway.process.wait(50)
                assert upstream.awake_since(asked) < IN_TIME_SECONDS
            assert gateway.process.returncode == 0
            ((_, state, _),) = rows(gateway)
            assert state == "deferred", "it may have been taken: tried again on the schedule"


def test_sigint_is_as_good_as_sigterm(tmp_path):
    gateway = Program(tmp_path, upstream_port=1)
    with gateway:
        assert request("GET", f"http://127.0.0.1:{gateway.http_port}/healthz") == 200
        gateway.process.send_signal(signal.SIGINT)
        try:
            assert gateway.process.wait(60) == 0
        except subprocess.TimeoutExpired:
            pytest.fail(gateway.log())
