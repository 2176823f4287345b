"""What TLS is spoken with clients: 1.2 and newer, good ciphers, nothing asked of them (RX-7)."""

import asyncio
import ssl

import pytest

from gatepost.flow.accept.door import Tls
from gatepost.mail.client import Client
from support.smtp_talk import connected

APP = Client(
    name="app", username="app",
    password_hash="$scrypt$ln=4,r=8,p=1$c2FsdHNhbHRzYWx0$c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0",
)  # fmt: skip


async def shake_hands(port, context, *, name="localhost", starttls=False):
    """The version and cipher that come of a handshake."""
    if not starttls:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=name
        )
        tls = writer.get_extra_info("ssl_object")
        writer.close()
        return tls.version(), tls.cipher()[0]
    async with connected(port) as talk:
        assert (await talk.say("STARTTLS")).code == 220
        await talk._writer.start_tls(context, server_hostname=name)
        assert (await talk.say("EHLO c")).code == 250
        tls = talk._writer.get_extra_info("ssl_object")
        return tls.version(), tls.cipher()[0]


@pytest.fixture
def old_client(client_tls):
    """Speaks what was spoken twenty years ago."""

    def make(version):
        client_tls.set_ciphers("ALL:@SECLEVEL=0")  # else the client's own library would refuse
        client_tls.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        client_tls.maximum_version = ssl.TLSVersion[version]
        return client_tls

    return make


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
@pytest.mark.parametrize("tls", [Tls.IMPLICIT, Tls.STARTTLS])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_old_versions_are_refused(listen, server_tls, old_client, version, tls):
    listener = await listen(tls=tls, context=server_tls)
    with pytest.raises((ssl.SSLError, ConnectionError)) as refused:
        await shake_hands(listener.port, old_client(version), starttls=tls is Tls.STARTTLS)
    assert "NO_PROTOCOLS" not in str(refused.value)  # it was the server that refused


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_server_of_yesterday_would_take_the_same_client(server_tls, old_client, version):
    """Otherwise the test above would show nothing."""
    server_tls.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    server_tls.set_ciphers("ALL:@SECLEVEL=0")
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=server_tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        spoken, _ = await shake_hands(port, old_client(version))
    assert spoken == version.replace("_", ".")


@pytest.mark.parametrize(
    "ciphers",
    ["AES128-SHA", "AES256-SHA256", "ECDHE-ECDSA-AES128-SHA", "NULL", "aNULL", "ADH-AES128-SHA",
     "PSK", "CAMELLIA128-SHA", "DHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES128-CCM8"],
)  # fmt: skip
async def test_weak_ciphers_are_refused(listen, server_tls, client_tls, ciphers):
    client_tls.maximum_version = ssl.TLSVersion.TLSv1_2
    client_tls.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    listener = await listen(tls=Tls.IMPLICIT, context=server_tls)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await shake_hands(listener.port, client_tls)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_new_versions_have_forward_secrecy(listen, server_tls, client_tls, version):
    client_tls.minimum_version = client_tls.maximum_version = ssl.TLSVersion[version]
    listener = await listen(tls=Tls.IMPLICIT, context=server_tls)
    spoken, cipher = await shake_hands(listener.port, client_tls)
    assert spoken == version.replace("_", ".").replace("TLSv1.", "TLSv1.")
    assert cipher.startswith(("TLS_AES", "TLS_CHACHA", "ECDHE-"))


def test_no_compression_no_renegotiation_and_no_certificate_asked(server_tls):
    assert server_tls.options & ssl.OP_NO_COMPRESSION
    assert server_tls.options & ssl.OP_NO_RENEGOTIATION
    assert server_tls.verify_mode is ssl.CERT_NONE
    assert server_tls.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_the_name_that_is_asked_for_decides_nothing(listen, server_tls, client_tls):
    client_tls.check_hostname = False
    listener = await listen(tls=Tls.STARTTLS, context=server_tls)
    for name in ("relay.example.org", "other.example", "x" * 60 + ".example"):
        await shake_hands(listener.port, client_tls, name=name, starttls=True)


async def test_starttls_twice_and_in_a_transaction(listen, handler, server_tls, client_tls):
    listener = await listen(tls=Tls.STARTTLS, context=server_tls)
    async with connected(listener.port) as talk:
        await talk.say("MAIL FROM:<a@acme.example>", "RCPT TO:<b@shop.example>")
        await talk.start_tls(client_tls)
        assert (await talk.say("DATA")).status == "503 5.5.1"  # the transaction is forgotten
        assert (await talk.say("EHLO c", "STARTTLS")).status == "503 5.5.1"
        assert (await talk.mail(b"x\r\n", "c@shop.example")).status == "250 2.0.0"
    assert handler.recipients == ["c@shop.example"]
    assert handler.arrival.protocol == "ESMTPS"


@pytest.mark.parametrize("smuggled", [b"EHLO c\r\n", b"NOOP", b"\r\n", b"\n", b"\x16\x03\x01"])
async def test_rs5_whatever_follows_starttls_in_one_segment_is_dropped(
    listen, handler, server_tls, smuggled
):
    listener = await listen(tls=Tls.STARTTLS, context=server_tls)
    async with connected(listener.port) as talk:
        await talk.send(b"STARTTLS\r\n" + smuggled)
        assert (await talk.answer()).status == "421 4.7.0"
        assert await talk.rest() == b""


async def test_a_password_in_the_clear_is_not_even_looked_at(listen, server_tls, monkeypatch):
    """534 or 530 at once: the client's own words are in the clear already, but we add no answer."""
    listener = await listen([APP], tls=Tls.STARTTLS, context=server_tls)
    monkeypatch.setattr(
        "gatepost.flow.accept.secured.Secured.may_authenticate", property(lambda _: False)
    )
    async with connected(listener.port) as talk:
        assert (await talk.say("AUTH PLAIN AGFwcABwYXNzIHdvcmQ=")).status == "530 5.7.0"
        assert (await talk.say("AUTH LOGIN")).status == "530 5.7.0"
