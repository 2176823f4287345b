"""The embedded store held by another process, while mail comes and at the end."""

import signal
import sqlite3
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

from support.consents import granted
from support.program import CONFIG, IN_TIME_SECONDS, Program
from support.smtp_lines import Lines
from support.upstream import Hang, Script, UpstreamThread
from support.watching import copies, mail, request, rows, send, states, wait_until

PEOPLE = [f"reader{number}@example.org" for number in range(3)]
IDLE = 200
ONE_CLICK = b"List-Unsubscribe=One-Click"


@contextmanager
def held(gateway):
    """Another process is in the middle of a transaction."""
    holder = sqlite3.connect(gateway.folder / "data" / "gatepost.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    yield
    holder.execute("ROLLBACK")
    holder.close()


def page(gateway, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin_port}{path}") as answer:
        return answer.read().decode()


def ready(gateway):
    """What both listeners say."""
    ports = gateway.http_port, gateway.admin_port
    return [request("GET", f"http://127.0.0.1:{port}/readyz") for port in ports]


def test_nothing_is_promised_while_the_store_is_held_and_all_works_afterwards(tmp_path):
    with UpstreamThread() as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port, store_url="")
        gateway.record({address: [granted()] for address in PEOPLE})
        with gateway:
            assert send(gateway, PEOPLE[:1], mail("Before"))[0] == 250
            wait_until(lambda: upstream.messages, gateway)
            link = next(
                line.partition(b"<")[2].rstrip(b">\r").decode()
                for line in upstream.messages[0].content.splitlines()
                if line.startswith(b"List-Unsubscribe:")
            )
            with held(gateway), ThreadPoolExecutor() as threads:
                submitted = [
                    threads.submit(send, gateway, PEOPLE[1:2], mail(f"Meanwhile {number}"))
                    for number in range(5)
                ]
                clicked = threads.submit(request, "POST", link, ONE_CLICK)
                for one in submitted:
                    code, said = one.result()
                    assert (code, said[:5]) == (451, "4.4.3")
                assert clicked.result() == 503
                assert ready(gateway) == [503, 503]
                assert "gatepost_store_up 0.0" in page(gateway, "/metrics")
                # Whoever comes later is not kept waiting.
                for number in range(3):
                    assert send(gateway, PEOPLE[1:2], mail(f"Later {number}"))[0] == 451
            wait_until(lambda: ready(gateway) == [200, 200], gateway)
            alarms = [line for line in gateway.log().splitlines() if "store out of reach" in line]
            assert 1 <= len(alarms) <= 3, "by what is wrong, not by mail"
            wait_until(lambda: gateway.log().count('"event": "store is back"') == 1, gateway)

            assert request("POST", link, ONE_CLICK) == 200
            assert send(gateway, PEOPLE, mail("After"))[0] == 250
            wait_until(lambda: len(rows(gateway)) == 4, gateway)
            wait_until(lambda: len(copies(upstream)) == 3, gateway)
            assert "gatepost_store_up 1.0" in page(gateway, "/metrics")
        assert [state for _, state, _ in rows(gateway)] == [
            "delivered", "dropped", "delivered", "delivered",
        ]  # fmt: skip


def test_a_stop_is_over_in_time_whoever_holds_on(tmp_path):
    """A store that is held, a client in its message, an upstream that hangs, many idle clients."""
    with UpstreamThread(Script(steps={"DOT": Hang()})) as upstream:
        many = CONFIG.replace("[limits]", f"[limits]\nconnections_per_client = {2 * IDLE}")
        gateway = Program(tmp_path, upstream_port=upstream.port, store_url="", config=many)
        gateway.record({PEOPLE[0]: [granted()]})
        with gateway, ExitStack() as clients:
            assert send(gateway, PEOPLE[:1], mail("Hanging"))[0] == 250
            wait_until(lambda: upstream.messages, gateway)
            for _ in range(IDLE):
                clients.enter_context(Lines(gateway.smtp_port))
            clients.enter_context(held(gateway))
            last = clients.enter_context(Lines(gateway.smtp_port))
            for line in ("EHLO mailer.example", "MAIL FROM:<news@acme.example>",
                         f"RCPT TO:<{PEOPLE[0]}>", "DATA"):  # fmt: skip
                last.say(line)
                assert last.hear()[:1] in "23"
            last.send_content(mail("Last"))
            asked = time.time()
            gateway.process.send_signal(signal.SIGTERM)
            assert gateway.process.wait(60) == 0
            assert upstream.awake_since(asked) < IN_TIME_SECONDS
            with suppress(AssertionError, OSError):  # no answer: the client asks again
                assert last.hear()[:1] == "4"
        assert len(rows(gateway)) == 1


def test_the_second_signal_ends_it_at_once(tmp_path):
    with UpstreamThread(Script(steps={"DOT": Hang()})) as upstream:
        gateway = Program(
            tmp_path, upstream_port=upstream.port, store_url="", options=("--workers", "2")
        )
        gateway.record({PEOPLE[0]: [granted()]})
        with gateway:
            assert send(gateway, PEOPLE[:1], mail("Hanging"))[0] == 250
            wait_until(lambda: any("DATA" in line for _, line in upstream.commands), gateway)
            gateway.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "stopping" in gateway.log(), gateway)
            gateway.process.send_signal(signal.SIGTERM)
            assert gateway.process.wait(60) == 0
        assert states(gateway) == {"sending": 1}, "else it would have waited, and be deferred"
