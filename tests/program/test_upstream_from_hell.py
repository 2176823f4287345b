"""Everything an upstream can do to a mail, played through the running program: one row for each.

All upstreams of `support.trouble_rows` misbehave at the same time, towards one gateway; each row
gets a mail that meets the trouble, and then a second one that need not.
"""

import json
import math
import re
import smtplib
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from email import message_from_bytes
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from support.certificates import make_certificate, server_context
from support.ports import free_port
from support.program import Program
from support.trouble_rows import LATER, NOW, ROWS, SOON
from support.upstream import Script, UpstreamCrowd
from support.watching import wait_until

PATIENCE_SECONDS = 300
# Counted from the attempt, which may take a while by itself.
DUE_SECONDS = {SOON: (14, 90), LATER: (29 * 60, 46 * 60)}
CLIENT = """
[clients.devil]
networks = ["127.0.0.66"]
trust_headers = true
streams = {names}
"""
# One connection: whether the first is at rest when the second mail comes is chance.
ROW = """
[upstreams.{name}]
connections = 1
{settings}

[upstreams.{name}.timeouts]
{timeouts}

[streams.{name}]
kind = "transactional"
sender = "acme"
upstream = "{name}"
"""
QUERY = text(
    "SELECT address, state, attempts, last_reply, next_attempt_ms - last_attempt_ms"
    " FROM recipient ORDER BY id"
)


def addresses(row):
    more = [f"more{n}@{row.name}.example" for n in range(row.extra)]
    return [f"{row.recipient}@{row.name}.example", *more]


def second_address(row):
    return f"second@{row.name}.example"


def body(row, subject):
    text = row.text if subject == "First" else "Hello"
    return f".{text}\r\n..\r\n{subject} for {row.name}\r\n"


def content(row, subject):
    padding = row.octets if subject == "First" else 0
    lines = [
        "From: Acme <news@acme.example>", f"Subject: {subject}",
        f"Message-ID: <{subject}@{row.name}.example>",
        "Date: Mon, 01 Mar 2027 09:00:00 +0000", "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit",
        f"X-Gatepost-Stream: {row.name}", *["X-Padding: " + "x" * 67] * (padding // 80), "", "",
    ]  # fmt: skip
    return ("\r\n".join(lines) + body(row, subject)).encode()


def submit(gateway, row, recipients, subject):
    with smtplib.SMTP("127.0.0.1", gateway.smtp_port, source_address=("127.0.0.66", 0)) as client:
        client.command_encoding = "utf-8"
        client.ehlo("mailer.example")
        plain = all(recipient.isascii() for recipient in recipients)
        client.mail(f"{row.name}@acme.example", ["BODY=8BITMIME", *([] if plain else ["SMTPUTF8"])])
        for recipient in recipients:
            assert client.rcpt(recipient)[0] == 250
        code, said = client.data(content(row, subject))
        assert code == 250, said


class Hell:
    """A gateway among upstreams that misbehave; what became of the mails is in `first` and
    `second`, by row, as it was when they had come to something.
    """

    def __init__(self, gateway, upstreams, store):
        self.gateway, self.upstreams, self.store = gateway, upstreams, store
        self.first, self.second = {}, {}
        self.began = time.monotonic()

    def recipients(self):
        """What is on record, by address."""
        rows = self.store.read_now(lambda tx: tx.connection.execute(QUERY).all())
        names = ("state", "attempts", "reply", "pause_ms")
        return {row[0]: SimpleNamespace(**dict(zip(names, row[1:], strict=True))) for row in rows}

    def play(self):
        """Sends to all; the second mail when the first has come to what it should."""
        with ThreadPoolExecutor(4) as senders, ThreadPoolExecutor(4) as second_senders:
            for row in ROWS:
                senders.submit(submit, self.gateway, row, addresses(row), "First")
            end = time.monotonic() + PATIENCE_SECONDS
            while len(self.second) < len(ROWS) and time.monotonic() < end:
                time.sleep(0.1)
                self.look(second_senders)

    def look(self, senders):
        seen = self.recipients()
        for row in ROWS:
            found, other = seen.get(addresses(row)[0]), seen.get(second_address(row))
            if row.name not in self.first:
                if found and as_told(row, found):
                    self.first[row.name] = found
                    senders.submit(submit, self.gateway, row, [second_address(row)], "Second")
            elif other and other.state == ("delivered" if row.second else "ready"):
                self.second.setdefault(row.name, other)

    def log(self, event):
        lines = (json.loads(line) for line in self.gateway.log().splitlines() if line[:1] == "{")
        return [line for line in lines if line["event"] == event]

    def messages(self):
        return [message for up in self.upstreams.values() for message in list(up.messages)]


def as_told(row, found):
    reply = found.reply.startswith(row.reply)
    return reply and (found.state, found.attempts) == (row.state, int(row.counted))


def settings(row, upstream):
    given = {"port": upstream.port if upstream else free_port()} | row.route
    given.pop("nobody", None)
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in given.items())


def configuration(upstreams):
    return CLIENT.format(names=json.dumps([row.name for row in ROWS])) + "".join(
        ROW.format(
            name=row.name,
            settings=settings(row, upstreams.get(row.name)),
            timeouts="\n".join(f'{limit} = "5 s"' for limit in row.timeouts),
        )
        for row in ROWS
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    made = {}
    for kind, name in (
        ("good", "127.0.0.1"), ("expired", "127.0.0.1"), ("foreign", "other.example"),
        ("unknown", "127.0.0.1"),
    ):  # fmt: skip
        folder = tmp_path_factory.mktemp(kind)
        made[kind] = make_certificate(folder, name, days=-1 if kind == "expired" else 30)
    return made


@pytest.fixture(scope="module")
def hell(tmp_path_factory, certificates):
    folder = tmp_path_factory.mktemp("hell")
    trusted = folder / "trusted.pem"
    vouched = [pair[0] for kind, pair in certificates.items() if kind != "unknown"]
    trusted.write_text("".join(path.read_text() for path in vouched))
    scripts = {
        row.name: Script(
            steps=row.steps,
            context=server_context(*certificates[row.certificate]) if row.certificate else None,
            **row.script,
        )
        for row in ROWS
        if "nobody" not in row.route
    }
    scripts["default"] = Script()  # where delivery reports go
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("SSL_CERT_FILE", str(trusted))
        upstreams = stack.enter_context(UpstreamCrowd(scripts))
        port = upstreams["default"].port
        gateway = Program(folder, upstream_port=port, more=configuration(upstreams))
        stack.enter_context(gateway)
        hell = Hell(gateway, upstreams, stack.enter_context(gateway.store()))
        hell.play()
        yield hell


rows = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])


@rows
def test_the_recipient_and_the_schedule(row, hell):
    found = hell.first.get(row.name)
    assert found, hell.recipients()[addresses(row)[0]]
    if row.due in DUE_SECONDS:
        least, most = DUE_SECONDS[row.due]
        assert least <= found.pause_ms / 1000 <= most


@rows
def test_the_connection_and_the_mail_behind(row, hell):
    assert row.name in hell.second, hell.recipients().get(second_address(row))
    upstream = hell.upstreams.get(row.name)
    came = [m for m in upstream.taken if second_address(row) in m.recipients] if upstream else []
    assert [message.connection for message in came] == ([row.second] if row.second else [])
    assert not came or upstream.violations == []


@rows
def test_the_log(row, hell):
    told = [
        line for line in hell.log("not delivered")
        if line["recipient"] == addresses(row)[0] and line["attempts"] == 1
    ]  # fmt: skip
    if row.state in {"deferred", "failed"} and row.counted:
        (line,) = told
        assert line["state"] == row.state
        assert line["reply"].startswith(row.reply)
    else:
        assert told == []
    away = [line for line in hell.log("upstream is away") if line["upstream"] == row.name]
    assert len(away) == (row.state == "ready")
    assert all(line["reply"].startswith(row.reply) for line in away)


@pytest.mark.parametrize("row", [row for row in ROWS if row.status], ids=lambda row: row.name)
def test_the_delivery_report(row, hell):
    def report():
        to = [f"{row.name}@acme.example"]
        return [m for m in hell.messages() if m.mail_from == "" and m.recipients == to and m.taken]

    (message,) = wait_until(report, hell.gateway)
    (part,) = message_from_bytes(message.content).get_payload()[1].get_payload()[1:]
    assert part["Status"] == row.status
    assert part["Action"] == "failed"


def test_all_that_was_put_off_arrives_and_is_what_it_should_be(hell):
    """Upstream is well again, and every copy it ever took is the right one for its recipient."""
    waiting = [row for row in ROWS if row.state == "deferred"]
    hell.gateway.run("queue", "retry", "--all")
    wait_until(lambda: undelivered(hell, waiting) == [], hell.gateway)
    for row in ROWS:
        copies = list(hell.upstreams[row.name].messages) if row.name in hell.upstreams else []
        for message in copies:
            arrived = message_from_bytes(message.content)
            assert arrived.get_payload(decode=True).decode() == body(row, arrived["Subject"])
            second = second_address(row) in message.recipients
            assert arrived["Subject"] == ("Second" if second else "First")
            assert {r.partition("@")[2] for r in message.recipients} == {f"{row.name}.example"}
        taken = [r for m in copies if m.reply.startswith("2") for r in m.recipients]
        doubled = {r for r in taken if taken.count(r) > 1}
        assert not doubled or row.due == LATER, doubled
        if row.state == "failed":
            assert addresses(row)[0] not in taken


def undelivered(hell, waiting):
    seen = hell.recipients()
    return [row.name for row in waiting if seen[addresses(row)[0]].state != "delivered"]


def test_whoever_went_with_the_troubled_one_has_an_end_of_their_own(hell):
    seen = hell.recipients()
    others = [address for row in ROWS for address in addresses(row)[1:]]
    assert {seen[address].state for address in others} == {"delivered"}
    assert others


def test_no_upstream_was_hammered_at(hell):
    """Those that let nobody in were asked a few times, each after twice the pause before."""
    shut = [row.name for row in ROWS if row.due == NOW and row.name in hell.upstreams]
    doublings = math.log2(1 + time.monotonic() - hell.began)
    assert max(hell.upstreams[name].connections for name in shut) <= 4 + doublings


def test_no_traceback_and_nothing_set_aside(hell):
    log = hell.gateway.log()
    assert not re.search("Traceback|set aside|internal error", log)
