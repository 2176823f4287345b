"""The Postfix guides, carried out: their blocks, as they stand, in a real Postfix and a Gatepost."""

import json
import re
import subprocess
import time

import pytest

from support import postfix as postfix_support
from support.certificates import make_certificate
from support.consents import granted
from support.documents import TOP, in_section
from support.ports import free_port
from support.postfix import MASTER, Postfix
from support.program import CONFIG, Program
from support.upstream import UpstreamThread

AS_CLIENT = TOP / "docs" / "guides" / "postfix-as-client.md"
AS_UPSTREAM = TOP / "docs" / "guides" / "postfix-as-upstream.md"
NOBODY = "[127.0.0.1]:1"  # where mail goes that the guide does not send to Gatepost
ANNA, BO = "anna@kund.example", "bo@kund.example"
SMTP_TABLE = re.compile(r"^\[\[smtp\]\]\nport = \{smtp_port\}\n", re.MULTILINE)


def section(document, heading, replacements):
    """Settings of main.cf, text of master.cf, and other files by name, from one section."""
    settings, master, files = {}, "", {}
    for block in in_section(document, heading, "ini"):
        for old, new in replacements.items():
            block = block.replace(old, str(new))
        first, _, body = block.partition("\n")
        name = first.lstrip("# ").split(",")[0]
        if name == "main.cf":
            settings |= dict(
                line.split(" = ") if " = " in line else (line.rstrip(" ="), "")
                for line in body.splitlines()
            )
        elif name == "master.cf":
            master = body
        else:
            files[name.rpartition("/")[2]] = body
    return settings, master, files


def postfix(document, heading, replacements, *, more=None, files=None, **arguments):
    """A Postfix with the main.cf of that section, and its tables in place of /etc/postfix."""
    settings, master, tables = section(document, heading, replacements)
    made = Postfix(settings=settings | (more or {}), **arguments)
    folder = made.folder / "tables"
    folder.mkdir()
    for name, text in (files or {}).items():
        tables[name] = tables.get(name, "") + text
    for name, text in tables.items():
        (folder / name).write_text(text)
    for key, value in made._settings.items():
        made._settings[key] = str(value).replace("/etc/postfix", str(folder))
    return made, master


def swaks(port, to, *headers, sender="news@acme.example"):
    more = [word for header in headers for word in ("--add-header", header)]
    outcome = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(port), "--from", sender, "--to", to,
         "--header-From", "Acme AB <news@acme.example>", "--header-To", "news@acme.example",
         "--header-Subject", "Spring news", "--body", "Spring is here.", *more],
        capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stdout.decode()


def wait_until(holds, seconds=120):
    for _ in range(seconds * 10):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def record(gateway, *people):
    gateway.record({address: [granted()] for address in people})


@pytest.fixture(scope="module")
def upstream():
    with UpstreamThread() as upstream:
        yield upstream


@pytest.fixture
def inbox(upstream):
    """The messages that come from here on."""
    upstream.messages.clear()
    return upstream.messages


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, upstream):
    """Gatepost with the client that the guide shows first."""
    (client,) = in_section(AS_CLIENT, "Gatepost's side", "toml")
    client = client.replace("192.0.2.10/32", "127.0.0.1/32")
    gateway = Program(tmp_path_factory.mktemp("network"), upstream_port=upstream.port, more=client)
    record(gateway, ANNA)
    with gateway:
        yield gateway


def to_gatepost(gateway):
    return {"[gatepost.example.org]:2525": f"[127.0.0.1]:{gateway.smtp_port}"}


def test_all_mail_through_gatepost(gateway, inbox):
    mailer, _ = postfix(AS_CLIENT, "All mail through Gatepost", to_gatepost(gateway))
    with mailer:
        swaks(mailer.port, f"{ANNA},{BO}", "Precedence: bulk")
        wait_until(lambda: inbox)
        wait_until(mailer.queue_is_empty)
    (message,) = inbox
    assert message.recipients == [ANNA]
    assert b"List-Unsubscribe: <" in message.content


def deferred(mailer):
    return mailer.log.read_text().count("status=deferred")


def test_bulk_mail_by_envelope_sender(gateway, inbox):
    mailer, _ = postfix(
        AS_CLIENT, "Only the bulk mail", to_gatepost(gateway),
        more={"relayhost": NOBODY, "header_checks": ""},
    )  # fmt: skip
    bulk = ["news@acme.example", "x@news.acme.example"]
    with mailer:
        for sender in [*bulk, "orders@acme.example"]:
            swaks(mailer.port, ANNA, "Precedence: bulk", sender=sender)
        wait_until(lambda: len(inbox) == 2 and deferred(mailer))
    assert {message.mail_from for message in inbox} == set(bulk)


def test_bulk_mail_by_header(gateway, inbox):
    mailer, _ = postfix(
        AS_CLIENT, "Only the bulk mail", to_gatepost(gateway),
        more={"relayhost": NOBODY, "sender_dependent_relayhost_maps": ""},
    )  # fmt: skip
    with mailer:
        for header in ("Precedence: bulk", "X-Gatepost-Stream: newsletter", "X-Other: 1"):
            swaks(mailer.port, ANNA, header)
        wait_until(lambda: len(inbox) == 2 and deferred(mailer))
    for message in inbox:
        assert b"List-Unsubscribe: <" in message.content
        assert b"X-Gatepost-" not in message.content


def test_with_a_password(tmp_path, upstream, inbox):
    """STARTTLS verified by name, AUTH with the hash that the guide shows."""
    certificate, key = make_certificate(tmp_path, "localhost")
    port = free_port()
    (more,) = in_section(AS_CLIENT, "With a password", "toml")
    for old, new in {
        '"0.0.0.0"': '"127.0.0.1"', "port = 587": f"port = {port}",
        "tls/gatepost.pem": certificate.name, "tls/gatepost.key": key.name,
    }.items():  # fmt: skip
        assert old in more
        more = more.replace(old, new)
    gateway = Program(tmp_path, upstream_port=upstream.port, more=more)
    record(gateway, ANNA)
    mailer, _ = postfix(
        AS_CLIENT, "With a password",
        {"[gatepost.example.org]:587": f"[localhost]:{port}",
         "/etc/ssl/certs/ca-certificates.crt": "/etc/postfix/authority.pem"},
        files={"authority.pem": certificate.read_text()},
    )  # fmt: skip
    with gateway, mailer:
        swaks(mailer.port, ANNA, "X-Mailer: test")
        wait_until(lambda: inbox)
    assert b"with ESMTPSA id" in inbox[0].content


def test_one_postfix_on_both_sides(tmp_path, monkeypatch):
    heading, back = "One Postfix on both sides", free_port()
    gateway = Program(tmp_path, upstream_port=back)
    record(gateway, ANNA)
    wanted = {
        "submission": "{port}", "10026": back, "127.0.0.1]:2525": f"127.0.0.1]:{gateway.smtp_port}",
    }  # fmt: skip
    both, master = postfix(AS_CLIENT, heading, wanted, mailboxes=[ANNA, BO])
    ours = [line for line in MASTER.splitlines() if not line.startswith(("{port}", "pickup"))]
    monkeypatch.setattr(postfix_support, "MASTER", "\n".join([*ours, master]))
    with gateway, both:
        swaks(both.port, f"{ANNA},{BO}")
        wait_until(lambda: both.inbox(ANNA))
        subprocess.run(
            ["sendmail", "-C", both.folder / "etc", "-f", "news@acme.example", "-i", ANNA, BO],
            input=b"From: Acme AB <news@acme.example>\nTo: news@acme.example\nSubject: Hej\n\nHej.\n",
            check=True, timeout=300,
        )  # fmt: skip
        wait_until(lambda: len(both.inbox(ANNA)) == 2)
        wait_until(both.queue_is_empty)
        copies, none = both.inbox(ANNA), both.inbox(BO)
    assert all(b"List-Unsubscribe: <" in mail for mail in copies)
    assert len(copies) == 2
    assert not none


def test_bounces_that_come_later(tmp_path):
    """Postfix accepts and bounces afterwards; the address is suppressed."""
    gone = "gone@former.example"
    returns, submission = free_port(), free_port()
    (parties,) = in_section(AS_UPSTREAM, "Bounces that come later", "toml")
    start, _, _ = CONFIG.partition("[senders.acme]")
    start = SMTP_TABLE.sub("", start).replace('"newsletter", "receipts", "office"', '"newsletter"')
    parties = parties.replace("2525", str(submission)).replace("2526", str(returns))
    upstream, _ = postfix(
        AS_UPSTREAM, "Bounces that come later", {"2526": returns},
        more={"smtpd_reject_unlisted_recipient": "no"},
        files={"gatepost_transport": "former.example error:5.1.1 mailbox is gone\n"},
        mailboxes=[ANNA],
    )  # fmt: skip
    gateway = Program(tmp_path, upstream_port=upstream.port, config=start, more=parties)
    gateway.smtp_port = submission
    record(gateway, ANNA, gone)

    def suppressed():
        return json.loads(gateway.run("suppression", "list", "--json").stdout)

    with upstream, gateway:
        swaks(submission, f"{ANNA},{gone}")
        wait_until(lambda: upstream.inbox(ANNA))
        wait_until(suppressed)
        (copy,) = upstream.inbox(ANNA)
    (one,) = suppressed()
    assert (one["address"], one["reason"]) == (gone, "hard-bounce")
    assert re.match(rb"Return-Path: <\w+@bounces\.acme\.example>", copy)
