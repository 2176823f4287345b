"""The guide about several gateways, carried out: HAProxy with its configuration, three behind it."""

import http.client
import re
import shutil
import smtplib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from sqlalchemy import text

from support.balancer import GATEWAYS, HERE, HOST, Balancer
from support.consents import granted
from support.ports import free_port
from support.program import CONFIG, Program
from support.upstream import UpstreamThread
from support.watching import mail, wait_until

MAILER, STRANGER = "127.0.0.2", "127.0.0.9"  # the network of client crm is 127.0.0.0/30
READERS = [f"reader{number}@example.org" for number in range(20)]
_PAYLOADS = text("SELECT payload FROM event_payload WHERE payload LIKE '%withdrawn%'")


class Behind(Program):
    """One of the gateways, on an address of its own."""

    def __init__(self, folder, place, ports, **more):
        folder.mkdir()
        self.place = place
        config = (
            CONFIG.replace("relay.example.org", f"gw{place[-1]}.example.org")
            .replace("[[smtp]]", f'[[smtp]]\naddress = "{place}"\nproxy_protocol = ["{HERE}"]')
            .replace("[http]", f'[http]\naddress = "{place}"\ntrusted_proxies = ["{HERE}"]')
            .replace("http://127.0.0.1:{http_port}", f"https://{HOST}")
        )
        super().__init__(folder, config=config, **more)
        written = self.config.read_text()
        for own, shared in zip((self.smtp_port, self.http_port), ports, strict=True):
            written = written.replace(f"port = {own}", f"port = {shared}")
        self.config.write_text(written)
        self.smtp_port, self.http_port = ports

    def is_ready(self):
        with socket.socket() as probe:
            return probe.connect_ex((self.place, self.smtp_port)) == 0

    def wait_until_ready(self, seconds=300):
        super().wait_until_ready(seconds)


class World:
    """HAProxy, the gateways behind it, and their upstream."""

    def __init__(self, folder, stack, url):
        self.upstream = stack.enter_context(UpstreamThread())
        ports = free_port(), free_port()
        self.gateways = [
            Behind(folder / place, place, ports, upstream_port=self.upstream.port, store_url=url)
            for place in GATEWAYS
        ]
        first, *others = self.gateways
        first.record({reader: [granted()] for reader in READERS})
        for other in others:
            (other.folder / "data").mkdir(mode=0o700)
            shutil.copytree(first.folder / "data" / "keys", other.folder / "data" / "keys")
        with ThreadPoolExecutor() as together:
            list(together.map(stack.enter_context, self.gateways))
        self.balancer = stack.enter_context(Balancer(folder, *ports))

    def connect(self, source):
        return smtplib.SMTP(HERE, self.balancer.port, timeout=60, source_address=(source, 0))

    def send(self, reader, subject, source=MAILER):
        with self.connect(source) as client:
            client.sendmail("news@acme.example", [reader], mail(subject))

    def copies(self, subject):
        there = f"Subject: {subject}\r\n".encode()
        return [one for one in list(self.upstream.messages) if there in one.content]

    def ask(self, method, path, source):
        """The status of a request for a page."""
        context = ssl.create_default_context(cafile=self.balancer.certificate)
        address = (HERE, self.balancer.pages_port)
        with (
            socket.create_connection(address, 60, source_address=(source, 0)) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as wrapped,
        ):
            connection = http.client.HTTPConnection(HOST)
            connection.sock = wrapped
            connection.request(method, path, headers={"X-Forwarded-For": "203.0.113.99"})
            return connection.getresponse().status


@pytest.fixture(scope="module")
def world(tmp_path_factory, postgres_server):
    url = postgres_server.database()
    with ExitStack() as stack:
        stack.callback(postgres_server.drop, url)
        yield World(tmp_path_factory.mktemp("haproxy"), stack, url)


def relays(copies):
    return {re.search(rb"by (gw\d)\.example\.org", one.content).group(1) for one in copies}


def test_mail_goes_to_all_of_them_and_carries_the_clients_address(world):
    for reader in READERS:
        world.send(reader, "All")
    wait_until(lambda: len(world.copies("All")) == len(READERS))
    assert relays(world.copies("All")) == {b"gw1", b"gw2", b"gw3"}
    assert all(f"[{MAILER}]".encode() in one.content for one in world.copies("All"))


def test_who_is_a_stranger_stays_one_behind_the_balancer(world):
    with world.connect(STRANGER) as client:
        client.ehlo("stranger.example")
        assert client.mail("news@acme.example")[0] in {530, 550}


def test_checks_come_without_a_client_and_cause_no_complaint(world):
    assert [one.log() for one in world.gateways if "PROXY" in one.log()] == []
    assert "DOWN" not in world.balancer.log()


def test_a_withdrawal_at_any_of_them_keeps_the_visitors_address(world):
    copy = world.copies("All")[0]
    path = re.search(rb"<https://mail\.example\.org(/u/[\w-]+)>", copy.content).group(1).decode()
    assert [world.ask("POST", path, STRANGER) for _ in range(3)] == [200, 200, 200]
    with world.gateways[0].store() as store:
        found = store.read_now(lambda tx: tx.connection.execute(_PAYLOADS).all())
    evidence = bytes(found[-1][0]).decode()
    assert STRANGER in evidence
    assert "203.0.113.99" not in evidence
    assert path not in world.balancer.log()


def test_one_that_is_killed_is_left_out_and_mail_goes_to_the_others(world):
    world.gateways[0].kill()
    for reader in READERS[1:]:
        world.send(reader, "Killed")
    wait_until(lambda: "mail/gw1 is DOWN" in world.balancer.log())
    left = {world.copies("All")[0].recipients[0]}  # by the test before
    expected = len(set(READERS[1:]) - left)
    wait_until(lambda: len(world.copies("Killed")) == expected)
    assert relays(world.copies("Killed")) == {b"gw2", b"gw3"}
    world.gateways[0].start()
    wait_until(lambda: "mail/gw1 is UP" in world.balancer.log())
