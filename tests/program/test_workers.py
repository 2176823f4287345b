"""`workers = 2`: two processes, one gateway. The tests share one, and are run in their order."""

import os
import re
import signal
import subprocess
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.consents import granted
from support.program import Program
from support.smtp_lines import Lines
from support.upstream import Script, Slow, UpstreamThread
from support.watching import (
    child_processes,
    copies,
    listens,
    mail,
    request,
    rows,
    send,
    states,
    wait_until,
)

PEOPLE = [f"reader{number}@example.org" for number in range(600)]


@pytest.fixture(scope="module")
def two(each_engine, tmp_path_factory):
    """A gateway with two workers, and its upstream."""
    with UpstreamThread(Script(steps={"DOT": Slow(0.02, "250 2.0.0 ok")})) as upstream:
        gateway = Program(
            tmp_path_factory.mktemp("two"),
            upstream_port=upstream.port,
            connections=2,
            options=("--workers", "2"),
        )
        gateway.record({address: [granted()] for address in PEOPLE})
        with gateway:
            yield gateway, upstream


def send_in_parts(gateway, people, subject):
    """Many submissions on many connections, which the system spreads over both workers."""
    for start in range(0, len(people), 30):
        code, said = send(gateway, people[start : start + 30], mail(subject))
        assert code == 250, said
    return -(-len(people) // 30)


def both_ready(gateway):
    """The ids of both workers, once each takes mail."""

    def ready():
        workers = child_processes(gateway.process)
        return len(workers) == 2 and all(listens(w, gateway.smtp_port) for w in workers) and workers

    return wait_until(ready, gateway)


def metrics(gateway):
    """Name and labels → value, added up over all other labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin_port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")
    }


def is_gone(pid):
    """Whether a process has ended, be it collected by its parent or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_both_take_mail_and_requests(two):
    gateway, _ = two
    for worker in both_ready(gateway):
        assert listens(worker, gateway.smtp_port)
        assert listens(worker, gateway.http_port)


def test_a_withdrawal_answered_by_either_is_obeyed_by_both_within_a_second(two):
    gateway, upstream = two
    people = PEOPLE[:300]
    send_in_parts(gateway, people, "First")
    wait_until(lambda: len(copies(upstream)) == 300, gateway)
    links = {
        message.recipients[0]: re.search(
            rb"^List-Unsubscribe: <(\S+?)>", message.content, re.MULTILINE
        ).group(1)
        for message in upstream.messages
    }
    answered = {}
    with upstream.thinking(0.2):
        send_in_parts(gateway, PEOPLE[:300][::-1], "Second")
        for address, link in list(links.items())[:120]:
            assert request("POST", link.decode(), b"List-Unsubscribe=One-Click") == 200
            answered[address] = time.time()
    wait_until(lambda: states(gateway).keys() <= {"delivered", "dropped"}, gateway)
    second = {m.recipients[0]: m.content_began for m in upstream.messages[300:]}

    def late(address, when):
        began = second.get(address, 0)
        return began - when - upstream.held_up(when, began) > 1

    assert [address for address, when in answered.items() if late(address, when)] == []
    dropped = {address for address, state, _ in rows(gateway) if state == "dropped"}
    assert dropped <= set(answered)
    assert len(dropped) > 20, "many withdrew before their second copy began"


def test_a_worker_that_is_killed_comes_back_and_nothing_is_lost_or_forgotten(two):
    gateway, upstream = two
    people, before, counted = PEOPLE[300:], len(upstream.messages), metrics(gateway)
    workers, config = both_ready(gateway), gateway.config.read_text()
    gateway.config.write_text(config.replace('"./data"', '"./elsewhere"'))  # for the next start
    with upstream.thinking(0.1):
        submissions = send_in_parts(gateway, people, "Killed")
        wait_until(lambda: len(upstream.messages) > before + 60, gateway)
        os.kill(workers[0], signal.SIGKILL)
        assert len(upstream.messages) < before + 250, "the kill came in the middle"
    wait_until(lambda: set(people) <= set(copies(upstream)), gateway)
    wait_until(lambda: states(gateway, people) == {"delivered": 300}, gateway)
    twice = [address for address in people if copies(upstream)[address] > 1]
    assert len(twice) <= 64, "only what the dead one had on the wire or not yet recorded"

    now = both_ready(gateway)
    assert workers[0] not in now
    assert workers[1] in now
    gateway.config.write_text(config)
    assert not (gateway.folder / "elsewhere").exists(), "all workers have one store"
    assert gateway.log().count('"event": "worker ended, starting it again"') == 1
    added_up = metrics(gateway)
    assert grown(counted, added_up, "gatepost_submissions_total") == submissions
    assert grown(counted, added_up, "gatepost_recipients_total") == 300


def grown(before, after, name):
    return sum(
        value - before.get(line, 0) for line, value in after.items() if line.startswith(name)
    )


def test_a_worker_that_is_to_read_again_while_it_starts_does_so_and_lives(two):
    gateway, _ = two
    workers = both_ready(gateway)
    ended, reloaded = (gateway.log().count(said) for said in ("worker ended", "reloaded"))
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: set(child_processes(gateway.process)) - set(workers), gateway)
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: gateway.log().count("reloaded") == reloaded + 2, gateway)
    assert gateway.log().count("worker ended") == ended + 1
    both_ready(gateway)


def test_reloads_refuse_no_mail_and_cut_no_connection(two):
    gateway, upstream = two
    before, done, over = len(upstream.taken), [], threading.Event()

    def mailer(address):
        with Lines(gateway.smtp_port) as session:
            session.say("EHLO mailer.example")
            session.hear()
            while not over.is_set():
                for line in ("MAIL FROM:<news@acme.example>", f"RCPT TO:<{address}>", "DATA"):
                    session.say(line)
                    assert session.hear()[:1] in "23"
                session.send_content(mail("Meanwhile", "X-Gatepost-Stream: office"))
                assert session.hear().startswith("250 ")
                done.append(address)

    with ThreadPoolExecutor(4) as threads:
        mailers = [threads.submit(mailer, address) for address in PEOPLE[500:504]]
        for _ in range(3):
            seen, count = gateway.log().count("configuration reloaded"), len(done)
            gateway.process.send_signal(signal.SIGHUP)
            wait_until(
                lambda seen=seen: gateway.log().count("configuration reloaded") == seen + 2, gateway
            )
            wait_until(lambda count=count: len(done) >= count + 4, gateway)
        over.set()
        for one in mailers:
            one.result(120)
    wait_until(lambda: len(upstream.taken) == before + len(done), gateway)
    # On record, too: the next test kills them, and what is not would be sent again.
    wait_until(lambda: states(gateway).keys() <= {"delivered", "dropped"}, gateway)


def test_workers_end_with_their_supervisor_and_keep_others_out_until_then(two):
    gateway, upstream = two
    workers = both_ready(gateway)
    os.kill(workers[1], signal.SIGSTOP)  # one of them is slow to notice
    gateway.kill()
    wait_until(lambda: is_gone(workers[0]), gateway)
    second = gateway.run("serve", check=False)
    assert second.returncode == 3
    assert "another gatepost serve runs" in second.stderr
    os.kill(workers[1], signal.SIGCONT)
    wait_until(lambda: is_gone(workers[1]), gateway)
    gateway.start()
    before = len(upstream.messages)
    send_in_parts(gateway, PEOPLE[300:330], "Again")
    wait_until(lambda: len(upstream.messages) == before + 30, gateway)


def test_sigterm_ends_all(two):
    gateway, _ = two
    workers = both_ready(gateway)
    gateway.stop()
    assert gateway.process.returncode == 0
    assert all(is_gone(worker) for worker in workers)


def test_workers_that_cannot_start_end_the_whole(tmp_path):
    gateway = Program(tmp_path, upstream_port=1, options=("--workers", "2"))
    with UpstreamThread(port=gateway.http_port):
        ended = subprocess.run(
            gateway.command(),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert ended.returncode == 3
    assert f"cannot listen on 127.0.0.1 port {gateway.http_port}" in ended.stderr
    assert "Traceback" not in ended.stderr
