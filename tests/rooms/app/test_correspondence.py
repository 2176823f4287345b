"""Letters on a sender's behalf: their bytes, their way, and who gets none."""

import os
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest

from gatepost.app.correspondence import Correspondence
from gatepost.app.gateway import Gateway
from gatepost.app.texts import LANGUAGES, Texts
from gatepost.app.wiring import ring_of, wire
from gatepost.config import load
from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.tokens import Claim, Purpose, stream_tag
from gatepost.mail.address import parse
from gatepost.store import people
from gatepost.store.spool.queue import list_queue
from gatepost.store.tables import mail as tables
from support.dkim_keys import PEM, verify
from support.private import write_private
from support.program import CONFIG
from support.submissions import rows_of
from support.upstream import Upstream

ANNA = parse("anna@example.org")
AT = datetime(2027, 3, 1, 9, 5, tzinfo=UTC)
CONFIRM = {
    "titles": ["Monthly newsletter", "Möten & mässor"],
    "asked_on": AT,
    "until": AT + timedelta(days=7),
    "confirm_url": "https://mail.example.org/c/" + "T" * 49,
}
WELCOME = {"asked_on": AT, "description": "Once a month"}


def wired(folder, more="", upstream_port=25):
    text = CONFIG.format(
        smtp_port=0, http_port=0, admin_port=0, upstream_port=upstream_port, connections=1,
        store_url="",
    )  # fmt: skip
    text = text.replace("http://127.0.0.1:0", "http://127.0.0.1:8025")
    path = folder / "config.toml"
    path.write_text(text.replace('from = ["@acme.example"]', f'from = ["@acme.example"]\n{more}'))
    return wire(load(path, os.environ))


def write(store, wiring, template="confirm", language="en", *, to=ANNA, **more):
    """Writes one letter; the submission's id and its bytes."""
    letters = Correspondence(Texts(), lambda: wiring, lambda: ring_of(store.keys))
    sender = more.pop("sender", wiring.policy.senders["acme"])
    number = store.write_now(
        lambda tx: letters.write(
            tx, to=to, sender=sender, template=template, language=language, note="asked to confirm",
            values=more.pop("values", CONFIRM if template == "confirm" else WELCOME), **more,
        )
    )  # fmt: skip
    kept = [row["data"] for row in rows_of(store, tables.content) if row["submission"] == number]
    return number, b"".join(kept)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", ["confirm", "welcome"])
def test_the_bytes_are_mail_in_every_language(store, tmp_path, template, language):
    """RFC 5322 and 5321: 7bit, CRLF only, short lines; both forms say the same (RD-5)."""
    wiring = wired(tmp_path)
    stream = wiring.policy.streams["newsletter"]
    claim = Claim(1, stream_tag("newsletter"), 2) if template == "welcome" else None
    _, mail = write(store, wiring, template, language, stream=stream, one_click=claim)
    assert mail.isascii()
    assert b"\n" not in mail.replace(b"\r\n", b"")
    assert b"\r" not in mail.replace(b"\r\n", b"")
    assert all(len(line) < 200 for line in mail.split(b"\r\n"))
    read = message_from_bytes(mail, policy=policy.default)
    assert not read.defects
    assert read["From"].addresses[0].addr_spec == "kontakt@acme.example"
    assert read["From"].addresses[0].display_name == "Acme AB"
    assert read["To"].addresses[0].addr_spec == "anna@example.org"
    assert read["Auto-Submitted"] == "auto-generated"
    assert read["Content-Language"] == language
    assert read["Message-ID"].endswith("@relay.example.org>")
    plain, html = read.iter_parts()
    assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    for part in (plain, html):
        assert not part.defects
        words = part.get_content()
        assert "Acme AB" in words
        assert "Storgatan 1, 111 22 Stockholm, Sweden" in words
    for remote in ("<img", "<link", "src=", "url("):
        assert remote not in html.get_content()
    assert all(len(line) < 78 for line in plain.get_content().splitlines() if "/" not in line)
    assert "\n\n\n" not in plain.get_content().replace("\r\n", "\n")
    assert plain.get_content().startswith(plain.get_content().lstrip())


def test_only_a_letter_about_a_stream_can_be_left_by_one_click(store, tmp_path):
    """R8058: both headers or none; the links stand for exactly that claim."""
    wiring = wired(tmp_path)
    _, mail = write(store, wiring)
    assert b"List-Unsubscribe" not in mail
    claim = Claim(7, stream_tag("newsletter"), 8)
    stream = wiring.policy.streams["newsletter"]
    _, mail = write(store, wiring, "welcome", stream=stream, one_click=claim)
    read = message_from_bytes(mail, policy=policy.default)
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    base, _, token = read["List-Unsubscribe"].strip("<>").rpartition("/u/")
    assert base == "http://127.0.0.1:8025"
    assert ring_of(store.keys).open(Purpose.UNSUBSCRIBE, token) == claim
    assert f"/u/{token}" in read.get_body(("plain",)).get_content()
    assert f"/u/{token}" in read.get_body(("html",)).get_content()


def test_from_is_mail_from_and_answers_go_to_the_contact(store, tmp_path):
    wiring = wired(tmp_path, 'mail_from = "brev@acme.example"')
    _, mail = write(store, wiring)
    read = message_from_bytes(mail, policy=policy.default)
    assert read["From"] == "Acme AB <brev@acme.example>"
    assert read["Reply-To"].addresses[0].addr_spec == "kontakt@acme.example"


def test_who_has_no_address_writes_as_our_postmaster(store, tmp_path):
    wiring = wired(tmp_path)
    bare = replace(wiring.policy.senders["acme"], contact="", legal_name='Söhne, "A" & Co')
    _, mail = write(store, wiring, sender=bare)
    read = message_from_bytes(mail, policy=policy.default)
    assert read["From"].addresses[0].addr_spec == "postmaster@relay.example.org"
    assert read["From"].addresses[0].display_name == 'Söhne, "A" & Co'


def test_it_waits_in_the_queue_like_all_mail(store, tmp_path):
    number, _ = write(store, wired(tmp_path))
    (head,) = rows_of(store, tables.submission)
    assert (head["id"], head["kind"], head["sender"]) == (number, "service", "acme")
    assert (head["mail_from"], head["client"], head["note"]) == ("", "gatepost", "asked to confirm")
    (row,) = store.read_now(list_queue)
    assert (row.recipient, row.state) == ("anna@example.org", "ready")


@pytest.mark.parametrize(
    ("scope", "reason", "confirms", "goes"),
    [
        ("all", "hard-bounce", False, False),
        ("all", "hard-bounce", True, True),  # E4: only a confirmation shows that mail arrives
        ("all", "soft-bounces", True, True),
        ("all", "manual", True, False),
        ("bulk", "complaint", False, True),
        ("bulk", "unsubscribed", False, True),
    ],
)
def test_who_may_not_be_mailed_gets_no_letter(store, tmp_path, *, scope, reason, confirms, goes):
    """ME-13, and the one exception; what was refused is on record (promise 2)."""
    stop = Fact(
        kind=EventKind.SUPPRESSED, at=AT, sender="acme", scope=scope, suppression=reason,
        actor="staff",
    )  # fmt: skip
    store.write_now(lambda tx: people.record(tx, ANNA, [stop]))
    number, _ = write(store, wired(tmp_path), confirms=confirms)
    (row,) = rows_of(store, tables.recipient)
    assert row["submission"] == number
    assert row["verdict"] == ("deliver" if goes else "drop")
    assert row["reason"] == ("service" if goes else "suppressed")
    assert [one.recipient for one in store.read_now(list_queue)] == (
        ["anna@example.org"] if goes else []
    )


def test_a_letter_is_there_only_if_its_reason_is(store, tmp_path):
    """One transaction: what fails behind the letter takes it along."""
    wiring = wired(tmp_path)
    letters = Correspondence(Texts(), lambda: wiring, lambda: ring_of(store.keys))

    def fail(tx):
        letters.write(
            tx, to=ANNA, sender=wiring.policy.senders["acme"], template="confirm", language="sv",
            note="", values=CONFIRM,
        )  # fmt: skip
        raise LookupError("behind the letter")

    with pytest.raises(LookupError):
        store.write_now(fail)
    assert rows_of(store, tables.submission) == []


async def test_who_may_not_be_mailed_any_more_gets_none_that_waits(tmp_path):
    """ME-13: decided again at the claim; whom only a letter can bring back gets that one letter."""
    ways = {"asked@example.org": ("hard-bounce", True), "bounced@example.org": ("hard-bounce", False),
            "manual@example.org": ("manual", True), "plain@example.org": ("", False)}  # fmt: skip
    async with running(tmp_path, "") as (gateway, upstream):
        wiring = gateway.wiring
        letters = Correspondence(gateway.texts, lambda: wiring, lambda: ring_of(gateway.store.keys))

        def write_and_suppress(tx):
            for to, (reason, confirms) in ways.items():
                letters.write(
                    tx, to=parse(to), sender=wiring.policy.senders["acme"], template="confirm",
                    language="sv", note="", values=CONFIRM, confirms=confirms,
                )  # fmt: skip
                stop = Fact(kind=EventKind.SUPPRESSED, at=tx.now, scope="all", suppression=reason)
                people.record(tx, parse(to), [stop] if reason else [])

        await gateway.store.write(write_and_suppress)
        gateway.outbound.wake()
        copies = await upstream.wait_for(2)
        assert sorted(one for copy in copies for one in copy.recipients) == [
            "asked@example.org", "plain@example.org",
        ]  # fmt: skip
        rows = {row["address"]: row for row in rows_of(gateway.store, tables.recipient)}
        for to in ("bounced@example.org", "manual@example.org"):
            told = [rows[to][name] for name in ("state", "reason", "rule", "note")]
            assert told == ["dropped", "suppressed", "suppressed-for-all", ways[to][0]]


@asynccontextmanager
async def running(folder, more):
    async with Upstream() as upstream:
        gateway = Gateway(wired(folder, more, upstream.port).settings)
        await gateway.start()
        try:
            yield gateway, upstream
        finally:
            await gateway.stop()


async def test_it_is_signed_and_sent_as_the_senders_own_mail(tmp_path):
    """DKIM covers the one-click headers (R8058-6); an independent verifier agrees."""
    write_private(tmp_path / "acme.pem", PEM)
    key = '[[senders.acme.dkim]]\ndomain = "acme.example"\nselector = "gp1"\nkey = "acme.pem"\n'
    async with running(tmp_path, key) as (gateway, upstream):
        wiring = gateway.wiring
        letters = Correspondence(gateway.texts, lambda: wiring, lambda: ring_of(gateway.store.keys))
        await gateway.store.write(
            lambda tx: letters.write(
                tx, to=ANNA, sender=wiring.policy.senders["acme"], template="welcome",
                language="sv", note="", stream=wiring.policy.streams["newsletter"],
                values=WELCOME, one_click=Claim(7, stream_tag("newsletter"), 8),
            )
        )  # fmt: skip
        (copy,) = await upstream.wait_for(1)
        assert (copy.mail_from, copy.recipients) == ("", ["anna@example.org"])
        signature = message_from_bytes(copy.content)["DKIM-Signature"]
        assert "list-unsubscribe-post" in signature.lower()
        assert verify(copy.content)
