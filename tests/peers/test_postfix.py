"""The whole way with real peers: swaks → Postfix → Gatepost → Postfix → Maildir, byte for byte."""

import re
import subprocess
import time
from datetime import timedelta

import pytest

from gatepost.consent.evidence import EventKind, Fact, TextState
from support.consents import AT, complained, granted, suppressed, withdrawn
from support.postfix import Postfix
from support.program import Program

PEOPLE = {
    "anna@example.org": [granted()],
    "bertil@example.org": [granted(basis="double-opt-in", confirmed_at=AT)],
    "cecilia@example.org": [granted(), withdrawn()],
    "david@example.org": [granted(basis="purchased-list")],
    "erik@example.org": [granted(basis="purchase", at=AT - timedelta(days=3650))],
    "fatima@example.org": [granted(text_state=TextState.INVALID)],
    "gustav@example.org": [granted(), complained()],
    "hanna@example.org": [granted(), suppressed()],
    "info@example.org": [granted()],
}
STRANGER = "zoran@example.org"
REASONS = {
    "anna@example.org": "consented",
    "bertil@example.org": "consented",
    "cecilia@example.org": "withdrawn",
    "david@example.org": "forbidden-source",
    "erik@example.org": "weak-basis",
    "fatima@example.org": "invalid-text",
    "gustav@example.org": "suppressed",
    "hanna@example.org": "suppressed",
    "info@example.org": "role-address",
    STRANGER: "no-consent",
}
MAIL = """\
Date: Mon, 01 Mar 2027 09:00:00 +0000
From: Acme AB <news@acme.example>
To: news@acme.example
Subject: =?utf-8?q?V=C3=A5rens_nyheter?=
Message-ID: <spring@acme.example>
Bcc: boss@acme.example
X-Gatepost-Stream: newsletter
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

V\u00e5ren \u00e4r h\u00e4r.
.En rad med punkt.
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Mailing sent; every peer still up."""
    folder = tmp_path_factory.mktemp("gatepost")
    with Postfix(hostname="mx.example.test", mailboxes=[*PEOPLE, STRANGER]) as upstream:
        gateway = Program(folder, upstream_port=upstream.port)
        gateway.record(PEOPLE)
        relay = {
            "relayhost": f"[127.0.0.1]:{gateway.smtp_port}",
            "always_add_missing_headers": "no",
        }
        with gateway, Postfix(hostname="mailer.example.test", settings=relay) as mailer:
            swaks(mailer.port, "news@acme.example", [*PEOPLE, STRANGER], MAIL)
            wait_until(
                lambda: all(upstream.inbox(a) for a, why in REASONS.items() if why == "consented")
            )
            wait_until(mailer.queue_is_empty)
            yield gateway, upstream


def swaks(port, sender, recipients, mail):
    outcome = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(port), "--from", sender,
         "--to", ",".join(recipients), "--data", "-", "--suppress-data"],
        input=mail.rstrip("\n").encode(), capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stdout.decode()


def wait_until(holds, seconds=120):
    for _ in range(seconds * 10):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def test_only_those_who_consented_have_mail(world):
    _, upstream = world
    got = {address for address in REASONS if upstream.inbox(address)}
    assert got == {address for address, reason in REASONS.items() if reason == "consented"}


def test_each_recipient_has_one_verdict_with_its_reason(world):
    gateway, _ = world
    from gatepost.store import campaign_report

    with gateway.store() as store:
        (campaign,) = store.read_now(campaign_report.list_all)
        rows = store.read_now(lambda tx: campaign_report.recipients(tx, campaign.id))
    assert {row.recipient: row.reason for _, row in rows} == REASONS


def test_what_arrives_is_the_original_and_what_was_inserted_byte_for_byte(world):
    """Promise 4: every octet outside the insertions is what the mailer sent."""
    _, upstream = world
    links = []
    for address in ("anna@example.org", "bertil@example.org"):
        (arrived,) = upstream.inbox(address)
        text = arrived.decode()
        link, help_link = re.findall(r"^List-(?:Unsubscribe|Help): <(\S+)>$", text, re.MULTILINE)
        links.append(link)
        trace, _, rest = text.partition("Date: Mon, 01 Mar 2027")
        assert ("Date: Mon, 01 Mar 2027" + rest) == expected_copy(link, help_link)
        assert re.fullmatch(expected_trace(address), trace), trace
    assert links[0] != links[1]


def expected_trace(address):
    stamp = r"\w{3}, [ \d]?\d \w{3} \d{4} [\d:]{8} [+-]\d{4}(?: \(\w+\))?"
    name = re.escape(address)
    return (
        r"Return-Path: <news@acme\.example>\n"
        rf"X-Original-To: {name}\nDelivered-To: {name}\n"
        rf"Received: from relay\.example\.org \(unknown \[127\.0\.0\.1\]\)\n"
        rf"\tby mx\.example\.test \(Postfix\) with ESMTP id \w+\n\tfor <{name}>; {stamp}\n"
        rf"Received: from mailer\.example\.test \(\[127\.0\.0\.1\]\)\n"
        rf"\tby relay\.example\.org \(Gatepost\) with ESMTP id \w{{13}};\n\t{stamp}\n"
        rf"Received: from \S+ \(\S* ?\[127\.0\.0\.1\]\)\n"
        rf"\tby mailer\.example\.test \(Postfix\) with ESMTP id \w+;\n\t{stamp}\n"
    )


def expected_copy(link, help_link):
    token, preferences = link.rpartition("/")[2], help_link.rpartition("/")[2]
    base = link.partition("/u/")[0]
    return f"""\
Date: Mon, 01 Mar 2027 09:00:00 +0000
From: Acme AB <news@acme.example>
To: news@acme.example
Subject: =?utf-8?q?V=C3=A5rens_nyheter?=
Message-ID: <spring@acme.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit
List-Unsubscribe: <{base}/u/{token}>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
List-Id: <newsletter.localhost>
List-Help: <{base}/p/{preferences}>
List-Post: NO
Feedback-ID: newsletter:acme:gatepost

V\u00e5ren \u00e4r h\u00e4r.
.En rad med punkt.

________________________________________
You get "Monthly newsletter" from Acme AB because you subscribed to it.

Unsubscribe:
{base}/u/{token}

Choose what you get:
{base}/p/{preferences}

Acme AB
Storgatan 1, 111 22 Stockholm, Sweden
"""


def test_one_click_takes_out_one_person_and_nobody_else(world):
    """R8058: two recipients have different links; using one does not touch the other."""
    gateway, upstream = world
    (arrived,) = upstream.inbox("anna@example.org")
    link = re.search(rb"^List-Unsubscribe: <(\S+)>$", arrived, re.MULTILINE).group(1).decode()
    for method in ("GET", "HEAD", "OPTIONS"):
        request(method, link)
    assert withdrawals(gateway, "anna@example.org") == 0
    assert request("POST", link, b"List-Unsubscribe=One-Click") == 200
    assert request("POST", link, b"List-Unsubscribe=One-Click") == 200
    assert withdrawals(gateway, "anna@example.org") == 1
    assert withdrawals(gateway, "bertil@example.org") == 0

    swaks(gateway.smtp_port, "news@acme.example", ["anna@example.org", "bertil@example.org"], MAIL)
    wait_until(lambda: len(upstream.inbox("bertil@example.org")) == 2)
    assert len(upstream.inbox("anna@example.org")) == 1


def request(method, link, body=None):
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(link)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    connection.request(method, parts.path, body, headers)
    return connection.getresponse().status


def withdrawals(gateway, address):
    from gatepost.mail.address import parse
    from gatepost.store import people

    with gateway.store() as store:
        history = store.read_now(lambda tx: people.history(tx, parse(address)))
    return sum(
        one.fact.kind is EventKind.WITHDRAWN for one in history.events if isinstance(one.fact, Fact)
    )
