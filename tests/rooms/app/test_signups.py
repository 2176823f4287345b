"""From the form to the newsletter: a gateway with its pages, its spool and an upstream."""

from contextlib import asynccontextmanager
from datetime import timedelta
from email import message_from_bytes, policy
from urllib.parse import urlsplit

import pytest

from gatepost.app.gateway import Gateway
from gatepost.config import load
from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import parse
from gatepost.store import people
from gatepost.store.tables import mail as tables
from gatepost.store.tables.signups import welcome
from gatepost.store.times import to_ms
from support.dkim_keys import PEM, verify
from support.private import write_private
from support.program import CONFIG
from support.signups import add_form, filled, path_in
from support.smtp_talk import connected, until
from support.submissions import change, rows_of
from support.upstream import Script, Upstream
from support.visiting import visiting

ANNA = "anna@example.org"
NEWS = b"From: news@acme.example\r\nTo: news@acme.example\r\nSubject: Spring\r\n\r\nGood news.\r\n"
KEY = '[[senders.acme.dkim]]\ndomain = "acme.example"\nselector = "gp1"\nkey = "acme.pem"\n'


class Running:
    """A gateway in this process, as the form's helpers see it (`store`, `ring`)."""

    def __init__(self, gateway, upstream, client):
        self.gateway, self.upstream, self.client = gateway, upstream, client
        self.store, self.ring = gateway.store, gateway._ring()

    async def sign_up(self, *streams):
        return await self.client.post("/subscribe/web", data=await filled(self, *streams))

    async def send(self, *recipients):
        async with connected(self.gateway.smtp[0].port) as talk:
            return (await talk.mail(NEWS, *(recipients or (ANNA,)))).status

    def mailed(self):
        """Subjects of what upstream took, in order."""
        taken = [message_from_bytes(one.content, policy=policy.default) for one in self.taken]
        return [one["Subject"] for one in taken]

    @property
    def taken(self):
        return self.upstream.taken

    def letter(self, number=0):
        return message_from_bytes(self.taken[number].content, policy=policy.default)

    def news(self):
        """(state, reason, rule) of every newsletter recipient."""
        bulk = {row["id"] for row in rows_of(self.store, tables.submission) if row["stream"]}
        rows = rows_of(self.store, tables.recipient)
        return [
            (row["state"], row["reason"], row["rule"]) for row in rows if row["submission"] in bulk
        ]

    async def kinds(self):
        found = await self.store.read(lambda tx: people.history(tx, parse(ANNA)))
        return [event.kind.value for event in found.events]


@asynccontextmanager
async def running(folder, *, script=None, double=False, more=""):
    write_private(folder / "acme.pem", PEM)
    async with Upstream(script) as upstream:
        text = CONFIG.format(
            smtp_port=0, http_port=0, admin_port=0, upstream_port=upstream.port, connections=2,
            store_url="",
        )  # fmt: skip
        text = text.replace("http://127.0.0.1:0", "http://127.0.0.1:8025")
        policy_ = 'title = "Monthly newsletter"\non_ineligible = "quarantine"\n'
        policy_ += "double_opt_in = true\n" if double else ""
        text = text.replace('title = "Monthly newsletter"\n', policy_ + more)
        path = folder / "config.toml"
        path.write_text(text.replace("[streams.newsletter]", f"{KEY}\n[streams.newsletter]", 1))
        gateway = Gateway(load(path, {}))
        await gateway.start()
        url = f"http://127.0.0.1:{gateway.pages.port}"
        try:
            await gateway.store.write(lambda tx: add_form(tx, streams=("newsletter",)))
            async with visiting(url) as client:
                yield Running(gateway, upstream, client)
        finally:
            await gateway.stop()


async def test_double_opt_in_from_the_form_to_the_newsletter(tmp_path):
    """JU-17, JU-19: one signed letter; what waited for the confirmation is let go by it."""
    async with running(tmp_path, double=True) as here:
        assert (await here.sign_up("newsletter")).status_code == 200
        (copy,) = await here.upstream.wait_for(1)
        assert (copy.mail_from, copy.recipients) == ("", [ANNA])
        assert verify(copy.content)
        letter = here.letter()
        assert letter["From"].addresses[0].addr_spec == "kontakt@acme.example"
        assert await here.send() == "250 2.0.0"
        assert here.news() == [("quarantined", "unconfirmed", "consent-lacking")]
        link = path_in(letter, "c")
        assert (await here.client.get(link)).status_code == 200
        assert here.news()[0][0] == "quarantined"
        assert "is confirmed" in (await here.client.post(link)).text
        await here.upstream.wait_for(2)
        await until(lambda: here.news()[0][0] == "delivered")
        assert here.news() == [("delivered", "consented", "confirmed-while-held")]
        assert await here.send() == "250 2.0.0"
        await here.upstream.wait_for(3)
        assert here.mailed() == ["Please confirm: e-mail from Acme AB", "Spring", "Spring"]
        assert await here.kinds() == ["requested", "confirmed"]


async def test_single_opt_in_waits_for_its_welcome(tmp_path):
    """JU-18: what is sent before the welcome has left is held, and follows it."""
    script = Script(recipients={ANNA: ["450 4.2.1 later", None, None]})
    async with running(tmp_path, script=script) as here:
        await here.sign_up("newsletter")
        await until(lambda: rows_of(here.store, tables.recipient)[0]["state"] == "deferred")
        assert await here.send() == "250 2.0.0"
        assert here.news() == [("quarantined", "welcome-pending", "consent-lacking")]
        assert await here.kinds() == ["granted"]
        (letter,) = rows_of(here.store, welcome)
        change(
            here.store, tables.recipient, {"next_attempt_ms": 1, "state": "deferred"},
            submission=letter["submission"],
        )  # fmt: skip
        await here.upstream.wait_for(2)
        await until(lambda: here.news()[0][0] == "delivered")
        assert here.mailed() == ["You are signed up: Monthly newsletter", "Spring"]
        assert here.news() == [("delivered", "consented", "confirmed-while-held")]
        assert await here.kinds() == ["granted", "welcomed"]
        leave = urlsplit(here.letter()["List-Unsubscribe"].strip("<>")).path
        sent = {"List-Unsubscribe": "One-Click"}
        assert (await here.client.post(leave, data=sent)).status_code == 200
        assert await here.send() == "250 2.0.0"
        assert here.news()[-1][1] == "withdrawn"


async def test_a_welcome_that_bounces_leaves_the_consent_waiting(tmp_path):
    script = Script(recipients={ANNA: "550 5.1.1 nobody here"})
    async with running(tmp_path, script=script) as here:
        await here.sign_up("newsletter")
        await until(lambda: rows_of(here.store, welcome)[0]["settled_ms"] is not None)
        assert await here.send() == "250 2.0.0"
        assert here.news() == [("quarantined", "welcome-pending", "consent-lacking")]
        assert EventKind.WELCOMED.value not in await here.kinds()


@pytest.mark.parametrize(("hours", "released"), [(47, True), (49, False)])
async def test_what_was_held_too_long_ago_stays(tmp_path, hours, released):
    """`release_within`: news of three days ago is no news."""
    async with running(tmp_path, double=True) as here:
        await here.sign_up("newsletter")
        await here.upstream.wait_for(1)
        await here.send()
        held = to_ms(here.store.now() - timedelta(hours=hours))
        change(here.store, tables.recipient, {"held_ms": held}, state="quarantined")
        await here.client.post(path_in(here.letter(), "c"))
        assert (here.news()[0][0] != "quarantined") is released


async def test_nothing_is_written_to_whoever_is_suppressed_by_hand(tmp_path):
    async with running(tmp_path, double=True) as here:
        stop = Fact(
            kind=EventKind.SUPPRESSED, at=here.store.now(), sender="acme", scope="all",
            suppression="manual", actor="staff",
        )  # fmt: skip
        await here.store.write(lambda tx: people.record(tx, parse(ANNA), [stop]))
        assert (await here.sign_up("newsletter")).status_code == 200
        (row,) = rows_of(here.store, tables.recipient)
        assert (row["state"], row["reason"]) == ("dropped", "suppressed")
