"""AUTH and STARTTLS: tables, and smtplib as an independent client."""

import asyncio
import base64
import smtplib
import ssl
import threading
from ipaddress import ip_address, ip_network

import pytest

from gatepost.flow.accept import passwords
from gatepost.flow.accept.clients import ClientTable
from gatepost.flow.accept.door import Limits, Tls
from gatepost.flow.accept.guessing import PATIENCE, Guesses
from gatepost.flow.accept.passwords import Passwords, hash_password
from gatepost.flow.accept.secured import MAX_AUTH_FAILURES, Secured
from gatepost.flow.accept.tls import registered_name
from gatepost.mail.client import Client
from support.smtp_talk import connected, until

MAIL = "MAIL FROM:<a@acme.example>"
HASH = hash_password("pass word")
APP = Client(name="app", username="app", password_hash=HASH)
LOCAL = Client(name="local", networks=(ip_network("127.0.0.1/32"),))
ELSEWHERE = Client(
    name="elsewhere", networks=(ip_network("192.0.2.0/24"),), username="far", password_hash=HASH
)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


GOOD = encoded("\0app\0pass word")


@pytest.fixture
def from_afar(monkeypatch):
    """Tests have only loopback: let the session take the peer for one from the network."""
    seat = Secured.take_seat

    def take_seat(self):
        taken = seat(self)
        self.peer, self._table = ip_address("192.0.2.7"), None
        return taken

    monkeypatch.setattr(Secured, "take_seat", take_seat)


@pytest.fixture
def held(monkeypatch):
    """A password is checked when this is set: else the check may be over before a test acts."""
    may_go = threading.Event()
    real = passwords.verify
    monkeypatch.setattr(passwords, "verify", lambda *words: may_go.wait() and real(*words))
    yield may_go
    may_go.set()


async def with_smtplib(port, converse, *, kind=smtplib.SMTP, **how):
    def run():
        with kind("localhost", port, timeout=300, **how) as client:
            return converse(client)

    return await asyncio.to_thread(run)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("initial", [True, False])
async def test_smtplib_authenticates_on_loopback(listen, handler, mechanism, initial):
    listener = await listen([LOCAL, APP])

    def converse(client):
        client.ehlo()
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
        client.user, client.password = "app", "pass word"
        method = client.auth_plain if mechanism == "PLAIN" else client.auth_login
        assert client.auth(mechanism, method, initial_response_ok=initial)[0] == 235
        client.sendmail("a@acme.example", ["b@shop.example"], b"x\r\n")

    await with_smtplib(listener.port, converse)
    assert handler.arrival.client.name == "app"  # AUTH beats network
    assert handler.arrival.protocol == "ESMTPA"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([f"AUTH PLAIN {GOOD}"], "235 2.7.0"),
        ([f"auth plain {GOOD}"], "235 2.7.0"),
        (["AUTH PLAIN", GOOD], "235 2.7.0"),
        (["AUTH LOGIN", encoded("app"), encoded("pass word")], "235 2.7.0"),
        (["AUTH LOGIN " + encoded("app"), encoded("pass word")], "235 2.7.0"),
        (["AUTH PLAIN " + encoded("\0app\0wrong")], "535 5.7.8"),
        (["AUTH PLAIN " + encoded("\0nobody\0pass word")], "535 5.7.8"),
        (["AUTH PLAIN " + encoded("\0far\0pass word")], "535 5.7.8"),  # both must match
        (["AUTH LOGIN", encoded("nobody"), encoded("x")], "535 5.7.8"),
        (["AUTH PLAIN", "*"], "501 5.7.0"),
        (["AUTH LOGIN", encoded("app"), "*"], "501 5.7.0"),
        (["AUTH PLAIN !!!"], "501 5.5.2"),
        (["AUTH PLAIN", "!!!"], "501 5.5.2"),
        (["AUTH LOGIN", "a"], "501 5.5.2"),
        (["AUTH PLAIN " + encoded("no separators")], "501 5.5.2"),
        (["AUTH PLAIN " + "a\x00b"], "500 5.5.2"),
        (["AUTH CRAM-MD5"], "504 5.5.4"),
        (["AUTH"], "501 5.5.4"),
        (["AUTH PLAIN a b"], "501 5.5.4"),
        (["AUTH PLAIN", "A" * 12288], "501 5.5.2"),
        (["AUTH PLAIN", "A" * 12289], "500 5.5.6"),
        (["AUTH PLAIN " + "A" * 12270], "501 5.5.2"),
        (["AUTH PLAIN " + "A" * 12290], "500 5.5.2"),
        (["AUTH PLAIN", "AA\rAA"], "500 5.5.2"),
    ],
)
async def test_rx6_auth(listen, lines, status):
    listener = await listen([APP, ELSEWHERE])
    async with connected(listener.port) as talk:
        for line in lines[:-1]:
            assert (await talk.say(line)).code == 334
        assert (await talk.say(lines[-1])).status == status
        expected = "250 2.1.0" if status.startswith("235") else "530 5.7.0"
        assert (await talk.say(MAIL)).status == expected


async def test_rx6_order(listen):
    listener = await listen([LOCAL, APP])
    async with connected(listener.port, greet=False) as talk:
        await talk.answer()
        assert (await talk.say(f"AUTH PLAIN {GOOD}")).status == "503 5.5.1"  # before EHLO
        await talk.say("HELO c")
        assert (await talk.say(f"AUTH PLAIN {GOOD}")).status == "502 5.5.1"  # HELO has no AUTH
        await talk.say("EHLO c", MAIL)
        assert (await talk.say(f"AUTH PLAIN {GOOD}")).status == "503 5.5.1"  # in a transaction
        assert (await talk.say("RSET", f"AUTH PLAIN {GOOD}")).status == "235 2.7.0"
        assert (await talk.say(f"AUTH PLAIN {GOOD}")).status == "503 5.5.1"  # once is enough
        assert (await talk.say("EHLO c", f"AUTH PLAIN {GOOD}")).status == "503 5.5.1"


async def test_pipelined_commands_wait_for_auth(listen, handler):
    listener = await listen([APP])
    async with connected(listener.port) as talk:
        await talk.send(
            b"AUTH LOGIN\r\n" + f"{encoded('app')}\r\n{encoded('pass word')}\r\n".encode()
            + f"{MAIL}\r\nRCPT TO:<b@shop.example>\r\nDATA\r\n".encode()
        )  # fmt: skip
        assert [a.code for a in await talk.answers(6)] == [334, 334, 235, 250, 250, 354]


async def test_failures_end_the_connection(listen, at_once):
    listener = await listen([APP])
    async with connected(listener.port) as talk:
        for _ in range(MAX_AUTH_FAILURES - 1):
            assert (await talk.say("AUTH PLAIN " + encoded("\0app\0x"))).status == "535 5.7.8"
        assert (await talk.say("AUTH PLAIN " + encoded("\0app\0x"))).status == "421 4.7.0"
        assert await talk.rest() == b""


async def test_rx6_454_when_too_many_wait(listen, monkeypatch):
    monkeypatch.setattr(passwords, "_MAX_WAITING", 0)
    listener = await listen([APP])
    async with connected(listener.port) as talk:
        assert (await talk.say(f"AUTH PLAIN {GOOD}")).status == "454 4.7.0"


async def test_the_event_loop_goes_on_while_a_password_is_checked(listen):
    listener = await listen([APP])
    async with connected(listener.port) as slow, connected(listener.port) as quick:
        await slow.send(f"AUTH PLAIN {GOOD}\r\n".encode())
        assert (await quick.say("NOOP")).status == "250 2.0.0"
        assert (await slow.answer()).status == "235 2.7.0"


async def test_unknown_peers_are_told_to_authenticate_only_where_they_can(listen, from_afar):
    listener = await listen([APP])  # no TLS, not loopback: AUTH is of no help
    async with connected(listener.port) as talk:
        assert "AUTH" not in (await talk.say("EHLO c")).text
        assert (await talk.say(f"AUTH PLAIN {GOOD}")).status == "534 5.7.9"
        assert (await talk.say(MAIL)).status == "550 5.7.1"
    listener = await listen([APP], only_clients=["local"])
    async with connected(listener.port) as talk:
        assert (await talk.say(f"AUTH PLAIN {GOOD}")).status == "502 5.5.1"
        assert (await talk.say(MAIL)).status == "550 5.7.1"


async def test_rx7_starttls_then_auth(listen, handler, server_tls, client_tls, from_afar):
    listener = await listen([APP], tls=Tls.STARTTLS, context=server_tls)
    async with connected(listener.port) as talk:
        keywords = (await talk.say("EHLO c")).text
        assert "STARTTLS" in keywords
        assert "AUTH" not in keywords
        assert (await talk.say(f"AUTH PLAIN {GOOD}")).status == "530 5.7.0"
        assert (await talk.say(MAIL)).status == "530 5.7.0"
        assert (await talk.say("STARTTLS now")).status == "501 5.5.4"
        await talk.start_tls(client_tls)
        assert (await talk.say(MAIL)).status == "503 5.5.1"  # what was said in the clear is gone
        keywords = (await talk.say("EHLO c")).text
        assert "STARTTLS" not in keywords
        assert "AUTH PLAIN LOGIN" in keywords
        assert (await talk.say("STARTTLS")).status == "503 5.5.1"
        assert (await talk.say(f"AUTH PLAIN {GOOD}")).status == "235 2.7.0"
        assert (await talk.mail(b"x\r\n", "b@shop.example")).status == "250 2.0.0"
    assert handler.arrival.protocol == "ESMTPSA"
    assert handler.arrival.cipher.startswith("TLS_")
    assert handler.arrival.client.name == "app"


async def test_starttls_with_smtplib(listen, handler, server_tls, client_tls):
    listener = await listen([LOCAL, APP], tls=Tls.STARTTLS, context=server_tls)

    def converse(client):
        client.starttls(context=client_tls)
        client.login("app", "pass word")
        client.sendmail("a@acme.example", ["b@shop.example"], b"x\r\n" * 100_000)

    await with_smtplib(listener.port, converse)
    assert handler.contents == [b"x\r\n" * 100_000]


async def test_implicit_tls(listen, handler, server_tls, client_tls):
    listener = await listen(tls=Tls.IMPLICIT, context=server_tls)
    async with connected(listener.port, tls=client_tls) as talk:
        assert "STARTTLS" not in (await talk.say("EHLO c")).text
        assert (await talk.say("STARTTLS")).status == "503 5.5.1"
        assert (await talk.mail(b"x\r\n" * 100_000, "b@shop.example")).status == "250 2.0.0"
        assert (await talk.say("QUIT")).code == 221
        assert await talk.rest() == b""
    assert handler.arrival.protocol == "ESMTPS"


async def test_starttls_forgets_who_it_was(listen, server_tls, client_tls):
    listener = await listen([APP], tls=Tls.STARTTLS, context=server_tls)
    async with connected(listener.port) as talk:
        assert (await talk.say(f"AUTH PLAIN {GOOD}")).status == "235 2.7.0"
        assert (await talk.say(MAIL)).status == "250 2.1.0"
        await talk.start_tls(client_tls)
        assert (await talk.say("EHLO c", "DATA")).status == "503 5.5.1"
        assert (await talk.say(MAIL)).status == "530 5.7.0"
        assert (await talk.say(f"AUTH PLAIN {GOOD}", MAIL)).status == "250 2.1.0"


async def test_rs5_octets_behind_starttls_end_the_connection(listen, handler, server_tls):
    listener = await listen(tls=Tls.STARTTLS, context=server_tls)
    async with connected(listener.port) as talk:
        await talk.send(b"STARTTLS\r\nEHLO c\r\nMAIL FROM:<a@acme.example>\r\n")
        assert (await talk.answer()).status == "421 4.7.0"
        assert await talk.rest() == b""
    async with connected(listener.port) as talk:  # in a segment of their own: no handshake
        assert (await talk.say("STARTTLS")).code == 220
        await talk.send(b"MAIL FROM:<a@acme.example>\r\nRCPT TO:<b@shop.example>\r\n")
        assert b"250" not in await talk.rest()
    assert handler.asked == []


async def test_a_failed_handshake_leaves_nothing(listen, server_tls):
    listener = await listen(tls=Tls.STARTTLS, context=server_tls)
    distrustful = ssl.create_default_context()
    async with connected(listener.port) as talk:
        with pytest.raises(ssl.SSLError):
            await talk.start_tls(distrustful)
    await until(lambda: not listener.connections)


async def test_rx7_old_tls_is_not_spoken(listen, server_tls, client_tls):
    server_tls.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.raises(ValueError, match=r"1\.2"):
        await listen(tls=Tls.IMPLICIT, context=server_tls)


async def test_tls_needs_a_certificate(listen, server_tls):
    with pytest.raises(ValueError, match="certificate"):
        await listen(tls=Tls.STARTTLS)
    with pytest.raises(ValueError, match="certificate"):
        await listen(context=server_tls)


@pytest.mark.parametrize(
    ("openssl", "registered"),
    [
        ("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
        ("ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("ECDHE-RSA-AES128-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
        ("ECDHE-ECDSA-AES128-CCM8", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"),
        ("SOMETHING-ELSE", "SOMETHING-ELSE"),
    ],
)
def test_r5321_16_cipher_names(openssl, registered):
    assert registered_name(openssl) == registered


async def test_a_cipher_of_tls_1_2(listen, handler, server_tls, client_tls):
    client_tls.maximum_version = ssl.TLSVersion.TLSv1_2
    listener = await listen(tls=Tls.IMPLICIT, context=server_tls)
    async with connected(listener.port, tls=client_tls) as talk:
        await talk.mail(b"x\r\n", "b@shop.example")
    assert handler.arrival.cipher.startswith("TLS_ECDHE_ECDSA_WITH_")


async def test_a_reload_asks_anew_who_it_is(listen):
    listener = await listen([LOCAL, APP])
    async with connected(listener.port) as user, connected(listener.port) as network:
        assert (await user.say(f"AUTH PLAIN {GOOD}")).status == "235 2.7.0"
        listener.reconfigure(clients=ClientTable([APP]), limits=Limits(message_size=7))
        assert "SIZE 7" in (await user.say("EHLO c")).text
        assert (await user.say(MAIL)).status == "250 2.1.0"
        assert (await network.say(MAIL)).status == "530 5.7.0"
        changed = Client(name="app", username="app", password_hash=hash_password("new"))
        listener.reconfigure(clients=ClientTable([changed]))
        assert (await user.say("RSET", MAIL)).status == "530 5.7.0"
        assert (await user.say(f"AUTH PLAIN {GOOD}")).status == "535 5.7.8"
        assert (await user.say("AUTH PLAIN " + encoded("\0app\0new"))).status == "235 2.7.0"


async def test_credentials_are_shared_between_listeners(listen, monkeypatch):
    checked = []
    real = passwords.verify
    monkeypatch.setattr(passwords, "verify", lambda *a: checked.append(a) or real(*a))
    shared = Passwords()
    for _ in range(2):
        listener = await listen([APP], passwords=shared)
        async with connected(listener.port) as talk:
            assert (await talk.say(f"AUTH PLAIN {GOOD}")).status == "235 2.7.0"
    assert len(checked) == 1
    shared.close()


async def test_who_hangs_up_before_the_answer_has_guessed_all_the_same(listen, held):
    """Otherwise every guess costs us the work of a check, and nothing is ever locked."""
    guesses = Guesses()
    listener = await listen([APP], guesses=guesses)
    wrong = encoded("\0app\0wrong")
    here = ip_address("127.0.0.1")
    for _ in range(PATIENCE["name and network"].failures):
        async with connected(listener.port) as talk:
            held.clear()
            await talk.send(f"AUTH PLAIN {wrong}\r\n".encode())
            await until(lambda: listener._door.passwords._waiting)
            talk.abort()
            await until(lambda: not listener.connections)
            held.set()
            await until(lambda: not listener._door.passwords._waiting)
    await until(lambda: not listener._door.tasks)
    assert guesses.locked(b"app", here)


async def test_who_hangs_up_and_knows_the_password_takes_no_seat(listen, held):
    listener = await listen([APP], limits=Limits(connections_per_client=1))
    async with connected(listener.port) as talk:
        await talk.send(f"AUTH PLAIN {GOOD}\r\n".encode())
        await until(lambda: listener._door.passwords._waiting)
        talk.abort()
        await until(lambda: not listener.connections)
        held.set()
        await until(lambda: not listener._door.tasks)
    async with connected(listener.port) as talk:
        assert (await talk.say(f"AUTH PLAIN {GOOD}")).code == 235
