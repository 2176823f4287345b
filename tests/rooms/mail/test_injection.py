"""Nothing that somebody else says becomes a header of mail that we write (R5322-6)."""

import re
from datetime import UTC, datetime

import pytest

from gatepost.flow.edit.trace import received
from gatepost.mail.address import Address
from gatepost.mail.envelope import Recipient
from gatepost.mail.letters import confirmation, forwarded, unsubscribe_request
from gatepost.mail.notices import Action, Fate, campaign_summary, delivery_failure
from gatepost.mail.reply import Reply
from gatepost.mail.verdict import Disposition, Reason

AT = datetime(2027, 3, 1, 9, tzinfo=UTC)
EVIL = "X-Evil: yes"
HOSTILE = [
    f"a\r\n{EVIL}",
    f"a\n{EVIL}",
    f"a\r{EVIL}",
    f"a\r\n\r\n{EVIL}",
    f"a\0\r\n {EVIL}\r\n{EVIL}",
    f"a\x0b{EVIL}\x0c{EVIL}\x85{EVIL}\u2028{EVIL}\u2029{EVIL}",
    f"=?utf-8?q?a=0D=0A{EVIL.replace(' ', '_')}?=",
    f'a" <x@evil.example>\r\nBcc: {EVIL}',
    "a" * 3000 + f"\r\n{EVIL}",
    "å" * 500 + f"\n{EVIL}",
]
MADE = {
    "report": lambda evil: delivery_failure(
        host="relay.example.org", to="a@acme.example", original_header=b"Subject: x\r\n",
        fates=[
            Fate(recipient=Recipient(Address(f"b{evil}@x.example", "b@x.example"), "", f"rfc822;{evil}"),
                 action=Action.FAILED, reply=Reply(550, "5.1.1", evil), remote=evil)
        ],
        arrived=AT, date=AT, message_id="<1@relay.example.org>", envid=evil,
    ),
    "summary": lambda evil: campaign_summary(
        host="relay.example.org", to="kontakt@acme.example", campaign=evil, stream=evil, started_at=AT,
        counts={(Disposition.DROP, Reason.WITHDRAWN): 1},
        not_mailed=[(evil, Disposition.DROP, Reason.WITHDRAWN)], date=AT,
        message_id="<1@relay.example.org>",
    ),
    "confirmation": lambda evil: confirmation(
        name="Acme AB", address="leave@acme.example", to=f"x{evil}@shop.example", subject=evil,
        text="You left.", in_reply_to=evil, date=AT, message_id="<1@relay.example.org>",
    ),
    "forwarded": lambda evil: forwarded(
        host="relay.example.org", to="kontakt@acme.example", mailbox=evil, mail_from=evil,
        original=b"Subject: x\r\n\r\nx\r\n", date=AT,  # the door has made its lines whole
        message_id="<1@relay.example.org>",
    ),
    "request": lambda evil: unsubscribe_request(
        name=evil, address="news@acme.example", to="leave@mailer.example", subject=evil, text=evil,
        date=AT, message_id="<1@relay.example.org>",
    ),
}  # fmt: skip


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_no_letter_of_ours_takes_a_header_from_elsewhere(made, number):
    mail = MADE[made](HOSTILE[number])
    assert mail.count(b"\r\n") == mail.count(b"\n") == mail.count(b"\r")
    assert b"\0" not in mail
    header = mail.partition(b"\r\n\r\n")[0]
    names = re.findall(rb"^([^ \t:\r\n]+):", header, re.MULTILINE)
    assert {b"X-Evil", b"Bcc", b"bcc"}.isdisjoint(names)
    assert len(names) == len(set(names))
    if len(HOSTILE[number]) < 900:  # no address and no configured name is that long
        assert all(len(line) <= 998 for line in header.split(b"\r\n"))


@pytest.mark.parametrize("evil", [*HOSTILE, "a (comment) b", "a; Mon, 01 Jan", "a\tby x", ""])
def test_an_ehlo_name_stays_a_word_in_received(evil):
    field = received(
        ehlo=evil, peer="192.0.2.7", hostname="relay.example.org", protocol="ESMTP", cipher=evil,
        submission="1", at=AT,
    )  # fmt: skip
    assert field.startswith(b"Received: from unknown ([192.0.2.7])\r\n\tby relay.example.org ")
    assert field.count(b"\r\n") == field.count(b"\n") == 3
    assert b"Evil" not in field
