"""Mail for people has a rate: nobody fills a contact's mailbox through ours."""

from functools import partial
from ipaddress import ip_address

import pytest

from gatepost.consent.tokens import Purpose
from gatepost.flow import returns
from gatepost.flow.accept.pace import Pace
from gatepost.flow.accept.secured import Secured
from gatepost.store import complaint_cases
from gatepost.store.returned import Copy
from support.reports import arf, dsn, original
from support.returning import HOST, station

LETTER = b"From: jo@shop.example\r\nSubject: Hello\r\nMessage-ID: <%d@x>\r\n\r\nA question.\r\n"


@pytest.fixture
def from_peer(monkeypatch):
    """Lets every connection come from the address that the test sets."""
    place = {"peer": "192.0.2.7"}
    seat = Secured.take_seat

    def take_seat(self):
        taken = seat(self)
        self.peer = ip_address(place["peer"])
        return taken

    monkeypatch.setattr(Secured, "take_seat", take_seat)
    return place


async def test_a_network_writes_to_people_twenty_times_an_hour(tmp_path, monkeypatch, from_peer):
    monkeypatch.setattr(returns, "FROM_NETWORK", (3, 3600.0))
    async with station(tmp_path) as here:
        subject = here.person()
        for number, mailbox in enumerate(("abuse", "postmaster", "abuse")):
            reply = await here.send(LETTER % number, f"{mailbox}@{HOST}", mail_from="jo@x.example")
            assert reply.status == "250 2.0.0"
        from_peer["peer"] = "192.0.2.200"  # the same /24
        reply = await here.send(LETTER % 9, f"abuse@{HOST}", mail_from="jo@x.example")
        assert reply.status == "450 4.7.0"
        # what programs understand is not held up
        assert (await here.send(dsn(), here.return_path(subject))).status == "250 2.0.0"
        link = here.token(subject, Purpose.UNSUBSCRIBE)
        report = arf(original(unsubscribe=link))
        assert (await here.send(report, f"abuse@{HOST}")).status == "250 2.0.0"
        assert here.ended == [(subject, "acme", "")] * 2
        from_peer["peer"] = "198.51.100.7"
        reply = await here.send(LETTER % 10, f"abuse@{HOST}", mail_from="jo@x.example")
        assert reply.status == "250 2.0.0"
        letters = [content for _, content in here.letters() if b"A question." in content]
        assert len(letters) == 4


async def test_behind_a_server_of_ours_strangers_do_not_silence_each_other(
    tmp_path, monkeypatch, from_peer
):
    """As in the guide for Postfix: who asks to leave in words would wait for whoever floods."""
    monkeypatch.setattr(returns, "FROM_NETWORK", (1, 3600.0))
    async with station(tmp_path) as here:
        for number, peer in enumerate(("127.0.0.1", "127.0.0.1", "10.1.2.3", "10.1.2.3")):
            from_peer["peer"] = peer
            reply = await here.send(LETTER % number, f"abuse@{HOST}", mail_from="jo@x.example")
            assert reply.status == "250 2.0.0"


async def test_a_contact_is_written_to_so_often_whoever_writes(tmp_path, monkeypatch, from_peer):
    monkeypatch.setattr(returns, "TO_CONTACT", (2, 3600.0))
    async with station(tmp_path) as here:
        answers = []
        for number in range(4):
            from_peer["peer"] = f"198.51.{number}.7"
            reply = await here.send(LETTER % number, f"abuse@{HOST}", mail_from="jo@x.example")
            answers.append(reply.code)
        assert answers == [250, 250, 450, 450]


async def test_malformed_reports_count_without_end_and_are_shown_so_often(
    tmp_path, monkeypatch, from_peer
):
    """Whoever has one copy could mail a contact with it for ever."""
    monkeypatch.setattr(returns, "FROM_NETWORK", (2, 3600.0))
    async with station(tmp_path) as here:
        people = [here.person(f"anna{number}@example.org") for number in range(4)]
        for subject in people:
            here.store.write_now(partial(_tell_already, subject=subject))
            link = here.token(subject, Purpose.UNSUBSCRIBE)
            report = arf(original(unsubscribe=link)).replace(b"Version: 1\r\n", b"")
            assert (await here.send(report, "fbl@bounce.acme.example")).status == "250 2.0.0"
        assert all(here.suppressions(subject) for subject in people)
        assert len(here.letters()) == 2


def _tell_already(tx, subject):
    """The case that more complaints of this person join."""
    copy = Copy(subject, "acme", 0)
    complaint_cases.open_or_join(tx, copy, "newsletter", "abuse")


def test_a_pace_fills_up_again_and_forgets_the_oldest(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("gatepost.flow.accept.pace._MOST_KEYS", 2)
    pace = Pace(2, 100.0, clock=lambda: now[0])
    assert [pace.allows("a") for _ in range(3)] == [True, True, False]
    now[0] = 50.0
    assert [pace.allows("a") for _ in range(2)] == [True, False]
    for key in ("b", "c"):
        assert pace.allows(key)
    assert len(pace._spent) == 2
    assert pace.allows("a")
