"""The notice to who left by mail: to the person, once, in place of the answer to the same address."""

import re
from dataclasses import replace
from email import message_from_bytes
from email.policy import default

import pytest

from gatepost.consent.tokens import Purpose
from support.reports import leaving
from support.returning import ACME, station

LEAVE = "leave@acme.example"


@pytest.fixture
async def here(tmp_path):
    senders = {"acme": replace(ACME, unsubscribe_notice=True)}
    async with station(tmp_path, senders=senders) as opened:
        yield opened


async def send(here, anna, mail_from, header=""):
    mail = leaving(here.token(anna, Purpose.MAILTO), header=header)
    assert (await here.send(mail, LEAVE, mail_from=mail_from)).status == "250 2.0.0"


def texts(here):
    found = []
    for to, content in here.letters():
        letter = message_from_bytes(content, policy=default)
        found.append((to, letter["Auto-Submitted"], letter.get_body(("plain",)).get_content()))
    return found


async def test_one_letter_with_a_way_back(here):
    anna = here.person()
    for _ in range(2):
        await send(here, anna, "anna@example.org")
    ((to, auto, text),) = texts(here)
    assert (to, auto) == ("anna@example.org", "auto-replied")  # RD-5: it is the reply
    token = re.search(r"https://mail\.example\.org/u/([\w-]{49})\?lang=en", text).group(1)
    assert here.ring.open(Purpose.UNSUBSCRIBE, token).subject == anna


async def test_who_wrote_from_elsewhere_is_answered_and_the_person_told(here):
    """Whoever holds a copy can leave by it: so the person hears of it."""
    anna = here.person()
    await send(here, anna, "assistant@example.org")
    told = {to: auto for to, auto, _ in texts(here)}
    assert told == {
        "anna@example.org": "auto-generated",
        "assistant@example.org": "auto-replied",
    }


@pytest.mark.parametrize(
    ("header", "mail_from"),
    [("Auto-Submitted: auto-generated\n", "anna@example.org"), ("", "")],
)
async def test_a_mail_program_that_leaves_by_itself_tells_nobody(here, header, mail_from):
    """It is its user's one click (RD-6)."""
    anna = here.person()
    await send(here, anna, mail_from, header)
    assert len(here.facts(anna)) == 1
    assert here.letters() == []


async def test_without_the_setting_there_is_the_answer_only(here):
    here.senders["acme"] = ACME
    await send(here, here.person(), "anna@example.org")
    ((to, auto, _),) = texts(here)
    assert (to, auto) == ("anna@example.org", "auto-replied")
