"""Letters: nothing that came in breaks out of its field, whatever it is."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.mail.letters import confirmation, forwarded

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def answer(name="Acme AB", subject="Done", reply_to="<1@example.org>"):
    return confirmation(
        name=name,
        address="leave@acme.example",
        to="anna@example.org",
        subject=subject,
        text="Good bye.",
        in_reply_to=reply_to,
        date=AT,
        message_id="<2@relay.example.org>",
    )


FIELDS = {
    "From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted",
    "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
}  # fmt: skip


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300))
def test_an_answer_has_its_fields_and_no_others(name, subject, reply_to):
    content = answer(name, subject, reply_to)
    message = message_from_bytes(content)
    assert set(message.keys()) <= FIELDS
    assert content.isascii()
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    assert b"\n" not in content.replace(b"\r\n", b"")


@pytest.mark.parametrize(
    "name", ["Acme AB", 'Acme "the best", Inc.', "Förlag, (Östra) AB", "a" * 200]
)
def test_the_name_is_read_back(name):
    sender = message_from_bytes(answer(name), policy=default)["From"].addresses[0]
    assert (sender.display_name, sender.addr_spec) == (name, "leave@acme.example")


@pytest.mark.parametrize(
    "reply_to", ["", "no id", "<a b@example.org>", "<1@x>\r\nBcc: b@example.org"]
)
def test_what_is_no_message_id_is_left_out(reply_to):
    message = message_from_bytes(answer(reply_to=reply_to))
    assert "In-Reply-To" not in message
    assert "Bcc" not in message


@given(st.binary(max_size=300))
def test_whatever_is_handed_on_is_attached_whole(octets):
    original = b"Subject: x\r\n\r\n" + octets
    content = forwarded(
        host="relay.example.org",
        to="kontakt@acme.example",
        mailbox="abuse@bounce.acme.example",
        mail_from="",
        original=original,
        date=AT,
        message_id="<2@relay.example.org>",
    )
    attached = message_from_bytes(content).get_payload()[1]
    if attached.get_content_type() == "message/rfc822":
        assert b"\r\n\r\n" + original + b"\r\n--" in content
    else:
        assert attached.get_payload(decode=True) == original
