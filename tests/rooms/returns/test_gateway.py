"""The whole way round: a copy goes out, something comes back, the next mailing knows."""

import re
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from gatepost.app.gateway import Gateway
from gatepost.config import load
from gatepost.mail.address import parse
from gatepost.store import complaint_cases, people
from gatepost.store.tables import mail as tables
from gatepost.store.tables.complaints import complaint_case
from gatepost.store.times import to_ms
from support.consents import granted
from support.program import CONFIG
from support.reports import arf, dsn, leaving
from support.smtp_talk import connected, until
from support.submissions import change, rows_of
from support.upstream import Script, Upstream
from support.visiting import visiting

ANNA, BO = "anna@example.org", "bo@example.org"
MAIL = (
    b"From: news@acme.example\r\nTo: readers@acme.example\r\nSubject: News %d\r\n\r\nGood news.\r\n"
)
MORE = """
[[smtp]]
port = 0
role = "returns"

[bounces]
soft_limit = 2

[complaints]
minimum_delivered = 2
freeze_rate = 0.5
"""


def config(upstream):
    text = CONFIG.format(
        smtp_port=0, http_port=0, admin_port=0, upstream_port=upstream, store_url="", connections=2
    )
    text = text.replace("http://127.0.0.1:0", "http://127.0.0.1:8025")
    text = text.replace(
        'from = ["@acme.example"]',
        'from = ["@acme.example"]\nbounce_domain = "bounce.acme.example"\n'
        'unsubscribe_mailto = "leave@acme.example"',
    )
    return text.replace('sender = "acme"', 'sender = "acme"\nreturn_path = "verp"', 1) + MORE


@asynccontextmanager
async def running(folder, script=None, more=""):
    """A gateway in this process and its upstream; both readers have given consent."""
    async with Upstream(script) as upstream:
        path = folder / "config.toml"
        path.write_text(config(upstream.port) + more)
        gateway = Gateway(load(path, {}))
        await gateway.start()
        try:
            for address in (ANNA, BO):
                facts = [granted(at=gateway.store.now())]
                await gateway.store.write(
                    lambda tx, a=address, f=facts: people.record(tx, parse(a), f)
                )
            yield gateway, upstream
        finally:
            await gateway.stop()


async def mail(gateway, number=1, *recipients):
    async with connected(gateway.smtp[0].port) as talk:
        reply = await talk.mail(MAIL % number, *(recipients or (ANNA, BO)))
        assert reply.status == "250 2.0.0"


async def send_back(gateway, content, recipient, mail_from=""):
    async with connected(gateway.smtp[1].port) as talk:
        return (await talk.mail(content, recipient, mail_from=mail_from)).status


def copy_to(upstream, address):
    return next(one for one in upstream.taken if one.recipients == [address])


def verdicts(gateway):
    """(recipient, verdict, reason) of all that was decided, in order."""
    rows = rows_of(gateway.store, tables.recipient)
    return [(row["address"], row["verdict"], row["reason"]) for row in rows]


def is_finished(gateway):
    """Whether the readers have their mail, or will not get it."""
    rows = rows_of(gateway.store, tables.recipient)
    return all(row["finished_ms"] for row in rows if row["address"] in {ANNA, BO})


async def test_a_bounce_to_the_return_path_ends_the_mailing(tmp_path):
    async with running(tmp_path) as (gateway, upstream):
        await mail(gateway)
        await upstream.wait_for(2)
        copy = copy_to(upstream, ANNA)
        return_path = copy.mail_from
        assert re.fullmatch(r"[a-z2-7]{60}@bounce\.acme\.example", return_path)
        assert return_path != copy_to(upstream, BO).mail_from  # one of its own each (R0-5)
        assert await send_back(gateway, dsn(), return_path) == "250 2.0.0"
        await mail(gateway, 2)
        await upstream.wait_for(3)
        assert verdicts(gateway)[2:] == [
            (ANNA, "drop", "suppressed"),
            (BO, "deliver", "consented"),
        ]
        assert [one.recipients for one in upstream.taken[2:]] == [[BO]]


def mailto_of(copy):
    """Address and subject by which a copy says that it can be left."""
    header = copy.content.decode()
    return re.search(r"<mailto:([^?]+)\?subject=([^>]+)>", header).groups()


async def test_leaving_by_the_mailto_of_the_copy(tmp_path):
    async with running(tmp_path) as (gateway, upstream):
        await mail(gateway)
        await upstream.wait_for(2)
        address, subject = mailto_of(copy_to(upstream, ANNA))
        assert await send_back(gateway, leaving(subject), address, ANNA) == "250 2.0.0"
        await upstream.wait_for(3)
        answer = upstream.taken[2]
        assert (answer.mail_from, answer.recipients) == ("", [ANNA])
        assert b"Auto-Submitted: auto-replied\r\n" in answer.content
        assert b"List-Unsubscribe" not in answer.content
        await mail(gateway, 2)
        await upstream.wait_for(4)
        assert (ANNA, "drop", "withdrawn") in verdicts(gateway)


async def test_leaving_by_the_mailto_of_an_old_copy(tmp_path):
    """HR-5: its address has been another since, and is none now."""
    async with running(tmp_path) as (gateway, upstream):
        await mail(gateway)
        await upstream.wait_for(2)
        address, subject = mailto_of(copy_to(upstream, ANNA))
        path = tmp_path / "config.toml"
        now = path.read_text()
        for new in ('unsubscribe_mailto = "off@acme.example"', ""):
            path.write_text(now.replace(f'unsubscribe_mailto = "{address}"', new))
            await gateway.reload(load(path, {}))
        assert await send_back(gateway, leaving(subject), address, ANNA) == "250 2.0.0"
        await mail(gateway, 2)
        await upstream.wait_for(4)
        assert (ANNA, "drop", "withdrawn") in verdicts(gateway)
        async with connected(gateway.smtp[1].port) as talk:
            assert (await talk.say("MAIL FROM:<>", f"RCPT TO:<x{address}>")).code == 550


async def test_complaints_end_the_mailing_and_too_many_freeze_the_sender(tmp_path):
    """ME-9: 1 of 2 delivered is the rate at which this configuration freezes."""
    async with running(tmp_path) as (gateway, upstream):
        await mail(gateway)
        await upstream.wait_for(2)
        await until(lambda: is_finished(gateway))
        await gateway.housekeeping.watch_complaints()
        assert rows_of(gateway.store, tables.sender_state) == []
        report = arf(copy_to(upstream, ANNA).content.decode().replace("\r\n", "\n"))
        assert await send_back(gateway, report, "fbl@bounce.acme.example") == "250 2.0.0"
        await gateway.housekeeping.watch_complaints()
        (state,) = rows_of(gateway.store, tables.sender_state)
        assert (state["sender"], state["note"]) == ("acme", "1 complaints, 2 delivered in 7 days")


async def test_a_case_nobody_answers_freezes_the_sender(tmp_path):
    """WP-14, C2: the contact gets the report, which starts the clock, and is told of the freeze."""
    async with running(tmp_path) as (gateway, upstream):
        watch = gateway.housekeeping._cases.watch
        await mail(gateway)
        await upstream.wait_for(2)
        await until(lambda: is_finished(gateway))
        report = arf(copy_to(upstream, ANNA).content.decode().replace("\r\n", "\n"))
        assert await send_back(gateway, report, "fbl@bounce.acme.example") == "250 2.0.0"
        await upstream.wait_for(3)
        contact = "kontakt@acme.example"
        await until(lambda: all(r["finished_ms"] for r in rows_of(gateway.store, tables.recipient)))
        await watch()
        (case,) = gateway.store.read_now(complaint_cases.list_cases)
        assert (case.address, case.campaign is None, case.state) == (ANNA, False, "waiting")
        assert report in copy_to(upstream, contact).content
        long_ago = to_ms(gateway.store.now() - timedelta(hours=24))
        change(gateway.store, complaint_case, {"noticed_ms": long_ago})
        await watch()
        (state,) = rows_of(gateway.store, tables.sender_state)
        assert state["note"] == f"not answered in time: complaint case {case.id}"
        await upstream.wait_for(4)
        assert b"gatepost sender thaw acme" in upstream.taken[3].content
        assert upstream.taken[3].recipients == [contact]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [("550 5.1.1 nobody", "suppressed"), ("550 5.7.1 spam", "consented")],
)
async def test_a_refusal_by_upstream_is_a_bounce_of_our_own(tmp_path, reply, reason):
    """RQ-6, RA-5."""
    async with running(tmp_path, Script(recipients={ANNA: reply})) as (gateway, _):
        await mail(gateway)
        await until(lambda: is_finished(gateway))
        for _ in range(2):
            await gateway.housekeeping._notices.report_failures()
        await mail(gateway, 2, ANNA)
        assert [one[2] for one in verdicts(gateway) if one[0] == ANNA][-1] == reason


async def test_soft_refusals_count_until_the_limit(tmp_path):
    script = Script(recipients={ANNA: "550 5.2.2 full"})
    async with running(tmp_path, script) as (gateway, _):
        for number in (1, 2, 3):
            await mail(gateway, number, ANNA)
            await until(lambda: is_finished(gateway))
            await gateway.housekeeping._notices.report_failures()
        reasons = [one[2] for one in verdicts(gateway) if one[0] == ANNA]
        assert reasons == ["consented", "consented", "suppressed"]


async def test_an_old_link_lets_people_leave_and_nothing_else(tmp_path):
    """ME-2: `[links] lifetime`."""
    more = '[links]\nlifetime = "60 days"\n'
    async with running(tmp_path, more=more) as (gateway, upstream):
        await mail(gateway)
        await upstream.wait_for(2)
        text = copy_to(upstream, ANNA).content.decode()
        leave = re.search(r"<https?://[^/]+(/u/[^>]+)>", text).group(1)
        choose = re.search(r"List-Help: <https?://[^/]+(/p/[^>]+)>", text).group(1)
        url = f"http://127.0.0.1:{gateway.pages.port}"
        async with visiting(url) as client:
            assert (await client.get(choose)).status_code == 200
            change(gateway.store, tables.submission, {"received_ms": 1})
            old = await client.get(choose)
            assert old.status_code == 410
            assert "This link is too old" in old.text
            assert re.search(r'href="\.\./u/[A-Za-z0-9_-]{49}\?lang=en"', old.text)
            saved = await client.post(choose, data={"action": "nothing"})
            assert saved.status_code == 410
            page = await client.get(leave)
            assert page.status_code == 200
            assert "/p/" not in page.text
            assert (await client.post(leave)).status_code == 200
        await mail(gateway, 2, ANNA)
        assert verdicts(gateway)[-1] == (ANNA, "drop", "withdrawn")
