"""The mailer's own List-Unsubscribe: who is told, and who is not."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from gatepost.app.onward.mailers import Allowed, Mailers
from gatepost.app.onward.sending import Line
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.flow.decide.policy import Policy
from gatepost.mail.address import parse
from gatepost.mail.sender import Sender as Identity
from gatepost.store import ledger, onward, people
from gatepost.store.ids import new_id, to_text
from gatepost.store.spool import PUT, Heading
from gatepost.store.tables import mail as tables
from support.listening import listening
from support.submissions import rows_of, submission

ANNA, BO = "anna@kund.example", "bo@kund.example"
ACME = Identity(name="acme", legal_name="Acme AB", postal_address="Storgatan 1",
                public_url="https://mail.example.org", contact="kontakt@acme.example",
                mail_from="news@acme.example")  # fmt: skip
WAIT = timedelta(minutes=5)


class Desk:
    """A store with a line to the mailers, and a clock that can be turned forward."""

    def __init__(self, store, there, *, hosts=("localhost", "lists.example")):
        self.store, self.there, self.ahead = store, there, timedelta(0)
        wiring = SimpleNamespace(
            policy=Policy(streams={}, senders={"acme": ACME}, bases=None),
            hostname="relay.example.org",
        )
        allowed = Allowed(hosts, WAIT, allow_private=True, authority=there.authority)
        mailers = Mailers(self, lambda: wiring, allowed)
        self.line = Line(self, mailers, lambda: timedelta(days=3), "gw-0", lambda: 0.5)

    def now(self):
        return self.store.now() + self.ahead

    def read(self, op):
        return self.store.read(op)

    def survey(self, op):
        return self.store.survey(op)

    def write(self, op):
        return self.store.write(op)

    async def work(self):
        while await self.line.turn():
            pass

    async def leave(self, replaced, *recipients, kind=EventKind.WITHDRAWN, actor="recipient"):
        """Somebody gets a copy and leaves; the first of `recipients`."""
        number = new_id()
        job = submission(*recipients, id=number, heading=Heading(replaced=replaced))
        await self.store.batch(PUT, job)
        await self.record(recipients[0], kind, number, actor=actor)

    async def record(self, address, kind, number=0, **more):
        fact = Fact(
            kind=kind, at=self.store.now(), sender="acme",
            stream="" if kind is EventKind.COMPLAINED else "newsletter",
            submission=to_text(number) if number else "", **more,
        )  # fmt: skip
        await self.store.write(lambda tx: people.record(tx, parse(address), [fact]))
        await self.store.write(ledger.seal)

    async def later(self):
        await self.work()
        assert self.there.heard == [], "not before the wait is over"
        self.ahead += WAIT + timedelta(seconds=1)
        await self.work()
        return [heard.path for heard in self.there.heard]

    def waiting(self):
        return self.store.read_now(lambda tx: onward.waiting(tx, "@mailers"))

    def letters(self):
        return [row["address"] for row in rows_of(self.store, tables.recipient)]


@pytest.fixture
async def there(tmp_path):
    async with listening(tmp_path) as found:
        yield found


@pytest.fixture
async def desk(store, there):
    made = Desk(store, there)
    await made.work()
    return made


def one_click(there, path="leave"):
    return (f"list-unsubscribe: <https://localhost:{there.port}/{path}>\n"
            "list-unsubscribe-post: List-Unsubscribe=One-Click")  # fmt: skip


@pytest.mark.parametrize("kind", [EventKind.WITHDRAWN, EventKind.COMPLAINED])
async def test_who_leaves_or_complains_is_reported(desk, there, kind):
    await desk.leave(one_click(there), ANNA, kind=kind)
    assert await desk.later() == ["/leave"]
    assert there.heard[0].body == b"List-Unsubscribe=One-Click"
    assert desk.waiting() == []


async def test_of_several_recipients_nobody_is_reported(desk, there):
    await desk.leave(one_click(there), ANNA, BO)
    assert await desk.later() == []


async def test_a_host_that_is_not_allowed_is_not_told(store, there):
    desk = Desk(store, there, hosts=("*.mailer.example",))
    await desk.work()
    await desk.leave(one_click(there), ANNA)
    await desk.leave("list-unsubscribe: <mailto:u+token123@elsewhere.example>", BO)
    assert await desk.later() == []
    assert desk.letters() == [ANNA, BO]
    assert desk.waiting() == []


async def test_who_comes_back_in_time_is_not_reported(desk, there):
    await desk.leave(one_click(there), ANNA)
    await desk.record(ANNA, EventKind.RESUBSCRIBED, basis="newsletter-form",
                      text_state=TextState.VALID, actor="recipient")  # fmt: skip
    assert await desk.later() == []
    assert desk.waiting() == []


async def test_what_the_mailer_itself_reports_is_not_told_back(desk, there):
    await desk.leave(one_click(there), ANNA, actor="mailer")
    assert await desk.later() == []


async def test_a_mail_is_written_once_and_not_in_the_persons_name(desk, store):
    await desk.leave("list-unsubscribe: <mailto:u@lists.example?subject=leave%20tok12345>", ANNA)
    await desk.later()
    await desk.work()
    assert desk.letters() == [ANNA, "u@lists.example"]
    (row,) = [row for row in rows_of(store, tables.submission) if row["client"] == "gatepost"]
    (content,) = [r["data"] for r in rows_of(store, tables.content) if r["submission"] == row["id"]]
    assert b"From: Acme AB <news@acme.example>" in content
    assert b"Subject: leave tok12345" in content
    assert ANNA.encode() not in content
    assert (row["mail_from"], row["sender"]) == ("", "acme")


async def test_a_mailer_that_is_away_is_told_later_and_holds_up_no_other(desk, there):
    there.answer_for = lambda heard: 503 if heard.path == "/down" and len(there.heard) < 3 else 200
    await desk.leave(one_click(there, "down"), ANNA)
    await desk.leave(one_click(there, "up"), BO)
    assert sorted(await desk.later()) == ["/down", "/up"]
    desk.ahead += timedelta(minutes=5)
    await desk.work()
    assert [heard.path for heard in there.heard][2:] == ["/down"]
    assert desk.waiting() == []
