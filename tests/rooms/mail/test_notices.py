"""Delivery status notifications and campaign summaries, read back by the standard library."""

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.mail import notices
from gatepost.mail.address import parse
from gatepost.mail.envelope import Recipient
from gatepost.mail.notices import Action, Fate
from gatepost.mail.reply import Reply
from gatepost.mail.verdict import Disposition, Reason

NOW = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
THEN = datetime(2027, 2, 27, 8, 30, tzinfo=UTC)
HEADER = b"From: crm@acme.example\r\nSubject: Hello\r\nMessage-ID: <1@acme.example>\r\n\r\n"
NOBODY = Reply(550, "5.1.1", "no such user here")


def fate(address="a@one.example", action=Action.FAILED, reply=NOBODY, orcpt="", **more):
    recipient = Recipient(parse(address), orcpt=orcpt)
    return Fate(recipient=recipient, action=action, reply=reply, **more)


def report(*fates, to="crm@acme.example", header=HEADER, envid=""):
    return notices.delivery_failure(
        host="relay.example.org",
        to=to,
        fates=fates,
        original_header=header,
        arrived=THEN,
        date=NOW,
        message_id="<n1@relay.example.org>",
        envid=envid,
    )


def read(raw: bytes) -> EmailMessage:
    assert raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert not message.defects
    return message


def blocks(raw: bytes) -> list[dict[str, str]]:
    status = read(raw).get_payload()[1]
    return [dict(block.items()) for block in status.get_payload()]


def test_rd_1_the_three_parts_of_a_report():
    message = read(report(fate(remote="mx.one.example")))
    assert message.get_content_type() == "multipart/report"
    assert message["Content-Type"].params["report-type"] == "delivery-status"
    kinds = [part.get_content_type() for part in message.iter_parts()]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    text = message.get_payload()[0].get_content()
    assert "a@one.example" in text
    assert "no such user here" in text
    assert message.get_payload()[2].get_payload(decode=True) == HEADER[:-2]


def test_rd_2_required_fields():
    per_message, recipient = blocks(report(fate(remote="mx.one.example", last_attempt=NOW)))
    assert per_message["Reporting-MTA"] == "dns; relay.example.org"
    assert per_message["Arrival-Date"] == "Sat, 27 Feb 2027 08:30:00 +0000"
    assert recipient == {
        "Final-Recipient": "rfc822; a@one.example",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.one.example",
        "Diagnostic-Code": "smtp; 550 5.1.1 no such user here",
        "Last-Attempt-Date": "Mon, 01 Mar 2027 12:00:00 +0000",
    }


def test_rd_2_original_recipient_and_envelope_id_only_if_they_came():
    per_message, recipient = blocks(report(fate()))
    assert "Original-Recipient" not in recipient
    assert "Original-Envelope-ID" not in per_message
    raw = report(fate(orcpt="rfc822;Bob+2Btag@One.example"), envid="Order+3D17")
    per_message, recipient = blocks(raw)
    assert recipient["Original-Recipient"] == "rfc822; Bob+tag@One.example"
    assert per_message["Original-Envelope-ID"] == "Order=17"


def test_rd_2_will_retry_until_only_when_delayed():
    later = datetime(2027, 3, 4, tzinfo=UTC)
    greylisted = Reply(450, "4.7.1", "come back")
    delayed = fate(action=Action.DELAYED, reply=greylisted, will_retry_until=later)
    assert blocks(report(delayed))[1]["Will-Retry-Until"] == "Thu, 04 Mar 2027 00:00:00 +0000"
    assert "Will-Retry-Until" not in blocks(report(fate(will_retry_until=later)))[1]


def test_rd_3_rd_5_rd_7_header():
    message = read(report(fate()))
    assert message["To"].addresses[0].addr_spec == "crm@acme.example"
    assert message["From"].addresses[0].addr_spec == "postmaster@relay.example.org"
    assert message.get_all("Auto-Submitted") == ["auto-replied"]
    assert message["Message-ID"] == "<n1@relay.example.org>"
    assert message["Date"].datetime == NOW
    assert "Return-Path" not in message


def test_rd_4_one_report_lists_all_recipients():
    raw = report(fate("a@one.example"), fate("b@two.example", reply=Reply(553, "", "no")))
    assert [block["Final-Recipient"] for block in blocks(raw)[1:]] == [
        "rfc822; a@one.example",
        "rfc822; b@two.example",
    ]
    assert blocks(raw)[2]["Status"] == "5.0.0"


@pytest.mark.parametrize("action", list(Action))
def test_subject_follows_the_gravest_action(action):
    message = read(report(fate(action=Action.RELAYED), fate("b@two.example", action)))
    assert message["Subject"] == notices._SUBJECTS[action]


def test_each_action_is_explained_before_its_recipients():
    relayed = fate("b@two.example", Action.RELAYED, Reply(250, "2.0.0", "queued"), remote="mx")
    raw = report(relayed, fate())
    assert [(block["Action"], block["Status"]) for block in blocks(raw)[1:]] == [
        ("relayed", "2.0.0"),
        ("failed", "5.1.1"),
    ]
    text = read(raw).get_payload()[0].get_content()
    places = [
        text.index(words)
        for words in ("could not be", "a@one.example", "handed to", "b@two.example")
    ]
    assert places == sorted(places)


def test_trouble_of_our_own_has_no_remote_mta():
    own = fate(reply=Reply(554, "5.6.3", "upstream takes no 8-bit content"))
    recipient = blocks(report(own))[1]
    assert "Remote-MTA" not in recipient
    assert recipient["Diagnostic-Code"].startswith("X-Gatepost; 554 5.6.3 ")


def test_non_ascii_addresses_are_utf_8_addr_xtext():
    raw = report(fate("åsa@räksmörgås.example"), to="änne@acme.example")
    assert blocks(raw)[1]["Final-Recipient"] == (
        r"utf-8; \x{E5}sa@r\x{E4}ksm\x{F6}rg\x{E5}s.example"
    )
    message = read(raw)
    assert message["To"].addresses == ()
    assert message["To"].groups[0].display_name == "änne@acme.example"
    assert "åsa@räksmörgås.example" in message.get_payload()[0].get_content()


def test_original_header_with_octets_above_127_is_encoded_and_comes_back():
    header = "Subject: Smörgåsbord\r\nX-Long: ".encode() + b"x" * 2000 + b"\r\n"
    part = read(report(fate(), header=header)).get_payload()[2]
    assert part["Content-Transfer-Encoding"] == "quoted-printable"
    assert part.get_payload(decode=True) == header


def test_a_huge_original_header_is_cut_at_a_line():
    header = b"".join(b"X-%05d: %s\r\n" % (n, b"y" * 60) for n in range(3000))
    part = read(report(fate(), header=header)).get_payload()[2]
    kept = part.get_payload(decode=True)
    assert len(kept) <= notices.MAX_HEADER_OCTETS
    assert header.startswith(kept)
    assert kept.endswith(b"y\r\n")


@given(
    text=st.text(max_size=3000),
    envid=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=100),
    orcpt=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=500),
    header=st.binary(max_size=300),
    remote=st.sampled_from(["", "mx.one.example"]),
)
def test_whatever_upstream_said_the_report_is_legal(text, envid, orcpt, header, remote):
    said = Reply(550, "", text.replace("\r", "").replace("\0", ""))
    raw = report(
        fate(reply=said, orcpt=f"rfc822;{orcpt}", remote=remote), header=header, envid=envid
    )
    message = read(raw)
    assert [part.get_content_type() for part in message.iter_parts()] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert len(blocks(raw)) == 2
    assert blocks(raw)[1]["Action"] == "failed"


def summary(**changes):
    arguments = {
        "host": "relay.example.org",
        "to": "kontakt@acme.example",
        "campaign": "spring-2027",
        "stream": "newsletter",
        "started_at": THEN,
        "counts": {
            (Disposition.DELIVER, Reason.CONSENTED): 7,
            (Disposition.DROP, Reason.NO_CONSENT): 2,
            (Disposition.QUARANTINE, Reason.UNCONFIRMED): 1,
        },
        "not_mailed": [
            ("b@one.example", Disposition.DROP, Reason.NO_CONSENT),
            ("c@one.example", Disposition.DROP, Reason.NO_CONSENT),
            ("d@one.example", Disposition.QUARANTINE, Reason.UNCONFIRMED),
        ],
        "date": NOW,
        "message_id": "<s1@relay.example.org>",
    }
    return notices.campaign_summary(**(arguments | changes))


def test_summary_counts_by_verdict_and_reason():
    message = read(summary())
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["To"].addresses[0].addr_spec == "kontakt@acme.example"
    lines = [" ".join(line.split()) for line in message.get_content().splitlines()]
    assert "Campaign: spring-2027" in lines
    assert "Stream: newsletter" in lines
    assert lines[lines.index("10 recipients") :][:3] == [
        "10 recipients", "7 to be mailed", "3 not mailed",
    ]  # fmt: skip
    assert "7 deliver consented" in lines
    assert "2 drop no-consent" in lines
    assert "d@one.example (quarantine, unconfirmed)" in lines


def test_summary_names_so_many_and_counts_the_rest():
    text = read(summary(listed=1)).get_content()
    assert "b@one.example" in text
    assert "c@one.example" not in text
    assert "and 2 more" in text


def test_summary_with_non_ascii_names():
    message = read(summary(campaign="Vårens räkor\r\nBcc: x@evil.example", to="åsa@acme.example"))
    assert message["Subject"].endswith("Vårens räkor Bcc: x@evil.example")
    assert "Bcc" not in message
    assert "Vårens räkor" in message.get_content()
