"""What leaves: large and small, signed, with return paths of its own; and in which order."""

import base64
import os
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization

from gatepost.app.notices import Notices
from gatepost.app.wiring import ring_of, wire
from gatepost.config import load
from gatepost.consent.tokens import Purpose, stream_tag
from gatepost.mail.address import parse
from gatepost.store.subjects import ensure_subjects
from support import dkim_keys
from support.consents import granted
from support.ports import free_port
from support.private import write_private
from support.program import Program
from support.upstream import Script, Slow, UpstreamThread
from support.watching import copies, mail, memory, memory_watched, rows, send, states, wait_until

MORE = """
[[smtp]]
port = {returns_port}
role = "returns"

[clients.club]
networks = ["127.0.0.6"]
streams = ["club"]

[clients.care]
networks = ["127.0.0.7"]
streams = ["care"]

[senders.club]
name = "The Club"
postal_address = "1 High Street, London"
from = ["@club.example"]
bounce_domain = "bounce.club.example"

[[senders.acme.dkim]]
domain = "mail.acme.example"
selector = "gp2"
key = "dkim.pem"

[streams.club]
kind = "bulk"
sender = "club"
return_path = "verp"

[streams.care]
kind = "bulk"
sender = "acme"
unmodifiable = "quarantine"
"""
OFFICE = "X-Gatepost-Stream: office"
RECEIPT = "X-Gatepost-Stream: receipts"
PEOPLE = [f"reader{number}@example.org" for number in range(3)]
MB = 1_000_000


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies")
    write_private(
        folder / "dkim.pem",
        dkim_keys.OTHER.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    with UpstreamThread() as upstream:
        gateway = Program(
            folder, upstream_port=upstream.port, more=MORE.format(returns_port=free_port())
        )
        gateway.record({
            address: [granted(), granted(stream="care"), granted(stream="club", sender="club")]
            for address in PEOPLE
        })  # fmt: skip
        with gateway:
            yield gateway, upstream


def new_copies(gateway, upstream, before, count, seconds=120):
    wait_until(lambda: len(upstream.messages) >= before + count, gateway, seconds)
    return upstream.messages[before:]


def large(octets):
    """An attachment of about that size, with lines that begin with dots."""
    line = b".." + base64.b64encode(bytes(range(52))) + b"\r\n"
    return line * (octets // len(line))


@pytest.mark.parametrize("octets", [200_000, 262_144, 300_000, 20 * MB])
def test_large_personal_mail_arrives_octet_for_octet(world, octets):
    gateway, upstream = world
    before, idle = len(upstream.messages), memory(gateway.process.pid)
    body = large(octets)
    with memory_watched(gateway.process.pid) as peak:
        code, said = send(gateway, ["anna@example.org"], mail("Large", OFFICE) + body)
        assert code == 250, said
        (copy,) = new_copies(gateway, upstream, before, 1)
    trace, _, rest = copy.content.partition(b"From: Acme")
    assert b"From: Acme" + rest == mail("Large") + body
    assert trace.startswith(b"Received: ")
    assert peak() - idle < 5 * octets + 30 * MB


def test_memory_does_not_grow_with_every_large_mail(world):
    gateway, upstream = world
    message = mail("Large", OFFICE) + large(10 * MB)
    peaks = []
    for _ in range(2):
        with memory_watched(gateway.process.pid) as peak:
            for _ in range(4):  # one after the other: how many would be in hand is chance
                before = len(upstream.messages)
                assert send(gateway, ["anna@example.org"], message)[0] == 250
                new_copies(gateway, upstream, before, 1)
        peaks.append(peak())
    assert peaks[1] - peaks[0] < 30 * MB


@pytest.mark.parametrize("octets", [0, 2 * MB])
def test_signatures_hold_over_the_whole_way(world, octets):
    gateway, upstream = world
    before = len(upstream.messages)
    message = mail("Signed", "MIME-Version: 1.0", "Content-Type: text/plain") + large(octets)
    assert send(gateway, PEOPLE, message)[0] == 250
    for copy in new_copies(gateway, upstream, before, 3):
        assert dkim_keys.verify(copy.content)
        signature = copy.content.partition(b"DKIM-Signature:")[2].partition(b"\r\n\r\n")[0]
        assert b"list-unsubscribe-post" in signature.lower()
        assert not dkim_keys.verify(copy.content.replace(b"Storgatan", b"Kungsgatan"))


def test_every_copy_of_a_verp_stream_has_a_return_path_of_its_own(world):
    gateway, upstream = world
    before = len(upstream.messages)
    message = mail("Club").replace(b"acme.example", b"club.example")
    code, said = send(
        gateway, PEOPLE, message, mail_from="news@club.example", source="127.0.0.6",
        mail_options=["RET=HDRS", "ENVID=q"], rcpt_options=["NOTIFY=FAILURE"],
    )  # fmt: skip
    assert code == 250, said
    with gateway.store() as store:
        ring = ring_of(store.keys)
        subjects = store.write_now(lambda tx: ensure_subjects(tx, map(parse, PEOPLE)))
    for copy in new_copies(gateway, upstream, before, 3):
        local, _, domain = copy.mail_from.partition("@")
        assert domain == "bounce.club.example"
        claim = ring.open_from_address(Purpose.BOUNCE, local)
        assert claim.subject == subjects[copy.recipients[0]]
        assert claim.stream == stream_tag("club")
        assert "ENVID" not in copy.mail_parameters
        assert copy.recipient_parameters == [""]


def test_what_must_not_be_changed_is_held_where_the_stream_says_so(world):
    gateway, upstream = world
    before = len(upstream.messages)
    signed = mail(
        "Care", "MIME-Version: 1.0",
        'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=b',
    ).replace(b"Hello\r\n", (
        b"--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
        b"--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n"
    ))  # fmt: skip
    assert send(gateway, PEOPLE[:1], signed, source="127.0.0.7")[0] == 250
    assert send(gateway, PEOPLE[:1], mail("Care"), source="127.0.0.7")[0] == 250
    expected = [
        (PEOPLE[0], "quarantined", "unmodifiable"),
        (PEOPLE[0], "delivered", "consented"),
    ]
    wait_until(lambda: rows(gateway)[-2:] == expected, gateway)
    assert len(upstream.messages) == before + 1


async def test_one_summary_per_campaign_says_who_was_not_mailed(world):
    gateway, upstream = world
    people = [*PEOPLE, "stranger@example.org", "info@example.org"]
    assert send(gateway, people, mail("Vårens nyheter"))[0] == 250
    wait_until(lambda: not states(gateway)["sending"] and not states(gateway)["ready"], gateway)
    before = len(upstream.messages)
    wiring = wire(load(gateway.config, os.environ))
    with gateway.store() as store:
        too_early = Notices(store, lambda: wiring)
        assert await too_early.sum_up() == 0
        due = Notices(store, lambda: wiring, summary_after=timedelta(0))
        made = await due.sum_up()
        assert made >= 1
        assert await due.sum_up() == 0, "each campaign has one"
    summaries = new_copies(gateway, upstream, before, made)
    (summary,) = [one for one in summaries if b"stranger@example.org" in one.content]
    assert summary.recipients == ["kontakt@acme.example"]
    text = summary.content.decode()
    assert "no-consent" in text
    assert "role-address" in text
    assert "info@example.org" in text
    assert PEOPLE[0] not in text


@pytest.mark.both_engines
def test_other_mail_passes_a_long_mailing(tmp_path):
    """With five thousand rows of bulk mail waiting, new and retried mail of other kinds goes
    ahead of them, behind only what is composed already."""
    people = [f"reader{number}@example.org" for number in range(5000)]
    script = Script(
        steps={"DOT": Slow(0.01, "250 2.0.0 ok")},
        recipients={"retried@example.org": ["450 4.2.1 later"]},
    )
    with UpstreamThread(script) as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port, connections=2)
        gateway.record({address: [granted()] for address in people})
        with gateway:
            assert send(gateway, ["retried@example.org"], mail("Order 1", RECEIPT))[0] == 250
            wait_until(lambda: states(gateway)["deferred"] == 1, gateway)
            assert send(gateway, people, mail("Long"))[0] == 250
            wait_until(lambda: len(upstream.messages) > 20, gateway)

            for number in range(6):  # who has the turn when one comes is chance
                anna = f"anna{number}@example.org"
                assert send(gateway, [anna], mail(f"Order 2{number}", RECEIPT))[0] == 250
                # Counted since it is in the store: a busy machine takes its time.
                asked = len(upstream.messages)
                wait_until(lambda anna=anna: place_of(anna, upstream), gateway)
                assert place_of(anna, upstream) - asked < 250

            # The mailing does not go on meanwhile: a command takes seconds on a busy machine.
            with upstream.thinking(1):
                gateway.run("queue", "retry", "--all")
            asked = len(upstream.messages)
            wait_until(lambda: place_of("retried@example.org", upstream), gateway)
            assert place_of("retried@example.org", upstream) - asked < 1000
            assert len(copies(upstream)) < len(people), "the mailing is not over"
            gateway.kill()


def place_of(address, upstream):
    """As which message, counted from 0, a copy to `address` came."""
    for place, message in enumerate(list(upstream.messages)):
        if address in message.recipients:
            return place
    return None
