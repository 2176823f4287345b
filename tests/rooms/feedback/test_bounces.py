"""Bounces: reports in several servers' words, and what each says about the address (RA-5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.feedback.bounces import (
    Bounce,
    Severity,
    _without_gaps,
    find_bounces,
    judge,
    judge_all,
    judge_reply,
)
from gatepost.mail.message import scan
from gatepost.mail.notices import Action, Fate, delivery_failure
from gatepost.mail.reply import Reply, parse_reply
from gatepost.store.times import from_ms
from support import reports


def judged(content):
    return judge_all(find_bounces(scan(content)))[0]


def failed(status, diagnostic=""):
    return Bounce("anna@example.org", "failed", status, diagnostic)


def test_a_report_of_postfix():
    (bounce,) = find_bounces(scan(reports.dsn()))
    assert (bounce.recipient, bounce.action, bounce.status) == (reports.TO, "failed", "5.1.1")
    assert bounce.diagnostic.startswith("550 5.1.1 <anna@example.org>")
    assert judge(bounce) is Severity.HARD


def test_the_record_names_no_address():
    (bounce,) = find_bounces(scan(reports.dsn()))
    assert str(bounce) == (
        "5.1.1 550 5.1.1 (address): Recipient address rejected: User unknown"
    )  # fmt: skip
    assert "\x1b" not in str(failed("5.1.1", "\x1b[31mred"))


def test_a_report_of_exchange():
    (bounce,) = find_bounces(scan(reports.EXCHANGE))
    assert bounce.recipient == reports.TO
    assert bounce.diagnostic.endswith("not found by SMTP address lookup")
    assert judge(bounce) is Severity.HARD


def test_a_report_of_qmail_in_its_own_words():
    """The copy below the report has a code in its subject that says nothing."""
    (bounce,) = find_bounces(scan(reports.QMAIL))
    assert (bounce.recipient, bounce.status) == (reports.TO, "5.1.1")
    assert judge(bounce) is Severity.HARD


def test_our_own_reports_are_read_back():
    from gatepost.mail.address import parse
    from gatepost.mail.envelope import Recipient

    moment = from_ms(1_772_000_000_000)
    mail = delivery_failure(
        host="relay.example.org",
        to="news@acme.example",
        fates=[
            Fate(
                recipient=Recipient(parse("ännä@example.org")),
                action=Action.FAILED,
                reply=Reply(550, "5.1.1", "nobody"),
                remote="mx.example",
            )
        ],
        original_header=b"Subject: x\r\n",
        arrived=moment,
        date=moment,
        message_id="<1@relay.example.org>",
    )
    assert judged(mail) is Severity.HARD


@pytest.mark.parametrize("content", [reports.ABSENCE, reports.LETTER, b"", b"\r\n", b"\xff\x00"])
def test_what_is_no_report(content):
    assert find_bounces(scan(content)) == ()


@pytest.mark.parametrize("action", ["delayed", "relayed", "delivered", "expanded"])
def test_what_did_not_fail_says_nothing(action):
    """RFC 3464 §2.3.3."""
    assert judged(reports.dsn(action=action, status="4.1.1")) is Severity.NONE


def test_action_may_have_a_comment_and_any_case():
    (bounce,) = find_bounces(scan(reports.dsn(action="Failed (really)")))
    assert bounce.action == "failed"


@pytest.mark.parametrize(
    ("status", "severity"),
    [
        ("5.1.1", Severity.HARD),
        ("5.1.2", Severity.HARD),
        ("5.1.3", Severity.HARD),
        ("5.1.6", Severity.HARD),
        ("5.1.10", Severity.HARD),
        ("5.2.1", Severity.HARD),
        ("5.2.2", Severity.SOFT),
        ("4.2.2", Severity.SOFT),  # expired: action and status disagree by design
        ("4.1.1", Severity.SOFT),
        ("5.1.0", Severity.SOFT),
        ("5.3.0", Severity.SOFT),
        ("5.0.0", Severity.SOFT),
        ("", Severity.SOFT),
        ("nonsense", Severity.SOFT),
        ("5.7.1", Severity.POLICY),
        ("5.7.26", Severity.POLICY),
        ("4.7.0", Severity.POLICY),
        ("5.3.4", Severity.POLICY),
        ("5.2.3", Severity.POLICY),
        ("5.6.0", Severity.POLICY),
        ("5.6.7", Severity.POLICY),
        ("5.4.1", Severity.POLICY),
        ("4.4.7", Severity.POLICY),
        ("5.4.6", Severity.POLICY),
        ("5.1.8", Severity.POLICY),
        ("5.5.2", Severity.POLICY),
    ],
)
def test_the_table(status, severity):
    """RA-5."""
    assert judge(failed(status)) is severity


@pytest.mark.parametrize(
    ("status", "diagnostic", "severity"),
    [
        ("5.0.0", "550 5.1.1 unknown", Severity.HARD),
        ("5.0.0", "550 unknown", Severity.SOFT),
        ("5.0.0", "550 Administrative prohibition", Severity.POLICY),  # Exim's usual words
        ("", "550 Spam detected", Severity.POLICY),
        ("5.0.0", "550 relaying denied", Severity.POLICY),
        ("5.0.0", "550 <policy@spam.example>: User unknown", Severity.SOFT),  # only their name
        ("5.1.1", "550 5.1.1 unknown, see our policy", Severity.HARD),  # a code says what it is
        ("5.2.2", "552 full, see our policy", Severity.SOFT),
        ("5.1.1", "550 5.7.1 blocked", Severity.POLICY),
        ("5.2.2", "550 5.1.1 gone", Severity.SOFT),
        ("5.0.0", "host 5.1.1.9 said no", Severity.SOFT),  # an address of the network, no code
        ("", "#< #5.1.1 smtp;550 gone> #SMTP#", Severity.HARD),
    ],
)
def test_status_and_diagnostic(status, diagnostic, severity):
    assert judge(failed(status, diagnostic)) is severity


@pytest.mark.parametrize(
    ("reply", "severity"),
    [
        (Reply(550, "5.1.1", "gone"), Severity.HARD),
        (Reply(556, "5.1.10", "null MX"), Severity.HARD),
        (Reply(556, "", "null MX"), Severity.HARD),
        (Reply(552, "5.2.2", "full"), Severity.SOFT),
        (Reply(452, "4.2.2", "full"), Severity.SOFT),
        (Reply(550, "", "no"), Severity.SOFT),
        (Reply(550, "", "Blocked by our DNSBL"), Severity.POLICY),
        (Reply(550, "5.7.1", "no"), Severity.POLICY),
        (Reply(554, "", "no"), Severity.POLICY),
        (Reply(554, "5.4.7", "expired"), Severity.POLICY),
        (Reply(500, "5.5.2", "what?"), Severity.POLICY),
        (Reply(250, "2.1.5", "ok"), Severity.NONE),
    ],
)
def test_replies_of_upstream(reply, severity):
    assert judge_reply(reply) is severity


def test_the_gravest_of_several_counts_unless_somebody_got_it():
    soft, hard = failed("5.2.2"), failed("5.1.1")
    policy = failed("5.7.1")
    assert judge_all([soft, hard, policy]) == (Severity.HARD, "5.1.1")
    assert judge_all([policy, soft])[0] is Severity.SOFT
    assert judge_all([hard, Bounce("b@example.org", "delivered", "2.0.0", "")])[0] is Severity.NONE
    assert judge_all([]) == (Severity.NONE, "")


def test_a_report_in_own_words_without_a_sender_is_read():
    content = reports.QMAIL.replace(b"From: MAILER-DAEMON@qmail.example\r\n", b"")
    assert judged(content) is Severity.HARD


def test_a_value_without_end_is_cut():
    more = "Diagnostic-Code: smtp; 550 5.1.1 no" + "\n and no" * 20_000
    content = reports.dsn(status="5.0.0", diagnostic="smtp; 550 no", more=more)
    (bounce,) = find_bounces(scan(content))
    assert len(str(bounce)) <= 500


def test_groups_that_run_into_each_other_are_still_read():
    """Some servers leave the empty line between the groups out."""
    content = reports.dsn().replace(b"(UTC)\r\n\r\nFinal", b"(UTC)\r\nFinal")
    assert judged(content) is Severity.HARD


@given(st.binary(max_size=600))
def test_any_octets_for_a_report(octets):
    head = b"Content-Type: message/delivery-status\r\n\r\n"
    assert judged(head + octets) in set(Severity)


@given(st.binary(max_size=400))
def test_any_octets(octets):
    assert judged(reports.QMAIL[:200] + octets) in set(Severity)


EXIM_DELAY = b"""From: Mail Delivery System <Mailer-Daemon@mx.example>
Subject: Warning: message 1vAbCd-00 delayed 24 hours

This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its
recipients after more than 24 hours on the queue on mx.example.

The address to which the message has not yet been delivered is:

  anna@example.org
    Delay reason: SMTP error from remote mail server after RCPT TO:<anna@example.org>:
    450 4.2.2 mailbox full

No action is required on your part. Delivery attempts will continue for
some time. Eventually the mail delivery software will give up,
and when that happens, the message will be returned to you.
"""
SENDMAIL_DELAY = b"""From: Mail Delivery Subsystem <MAILER-DAEMON@mx.example>
Subject: Warning: could not send message for past 4 hours

    **      THIS IS A WARNING MESSAGE ONLY      **

   ----- The following addresses had transient non-fatal errors -----
<anna@example.org>
"""


@pytest.mark.parametrize("mail", [EXIM_DELAY, SENDMAIL_DELAY])
def test_a_warning_in_a_servers_own_words_is_no_failure(mail):
    found = find_bounces(scan(mail.replace(b"\n", b"\r\n")))
    assert [(one.recipient, one.action) for one in found] == [("anna@example.org", "delayed")]
    assert judge_all(found)[0] is Severity.NONE


ASKED = (
    "550 5.1.1 <anna@example.org>: Recipient address rejected: undeliverable address: "
    "host mx.example[192.0.2.1] said: 550 5.7.1 Client host blocked"
)


def test_a_refusal_of_us_that_another_server_passes_on_is_policy():
    """RA-5: a server that asks the next one about an address says 5.1.1 whatever the answer."""
    assert judge_reply(parse_reply(ASKED)) is Severity.POLICY
    assert judge(Bounce("", "failed", "5.1.1", ASKED)) is Severity.POLICY
    assert judge_reply(parse_reply("550 5.1.1 No such user (4.2.2)")) is Severity.HARD


def test_detectors_never_see_a_line_that_is_too_long_for_mail():
    """One of them takes two seconds over 16 KB of a letter."""
    said = b"Your message\n  Subject: x\ndid not reach the following recipient(s):\n"
    lines = _without_gaps(said + b"<" * 16_000 + b"\n" + b"." * 998).splitlines()
    assert [len(line) for line in lines[-2:]] == [998, 998]
