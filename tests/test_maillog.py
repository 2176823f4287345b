"""What the log may say, and what it must not."""

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from gatepost import houselog, logfile, maillog

REPLY = "550 5.1.1 <Ann@Shop.example>: no mailbox for ann@shop.example."


@pytest.fixture(autouse=True)
def as_before():
    yield
    logfile.configure("console", "hashed", b"")


def logged_reply(addresses):
    logfile.configure("json", addresses, b"key")
    with capture_logs() as lines:
        maillog.attempt_failed("id", "ann@shop.example", "failed", 1, REPLY)
    return lines[0]["recipient"], lines[0]["reply"]


def test_addresses_that_upstream_quotes_appear_as_recipients_do():
    recipient, reply = logged_reply("hashed")
    assert reply == f"550 5.1.1 <{recipient}>: no mailbox for {recipient}."
    assert "@" not in recipient


def test_no_addresses_means_none_in_replies_either():
    assert logged_reply("none") == ("-", "550 5.1.1 <->: no mailbox for -.")


def test_plain_replies_stay_as_they_are():
    assert logged_reply("plain") == ("ann@shop.example", REPLY)


FORGED = "550 no\n2027-01-01T00:00:00Z [info     ] accepted\r\x1b[2J\x9b31m\u2028\u202eend\0"


@pytest.mark.parametrize("form", ["console", "json"])
def test_nothing_from_the_wire_begins_a_line_or_reaches_a_terminal(form, capsys):
    logfile.configure(form, "plain", b"")
    maillog.attempt_failed(FORGED, FORGED, "failed", 1, FORGED)
    maillog.connection_refused(FORGED, FORGED, FORGED)
    maillog.returned("policy bounce", "alarm", words=FORGED)
    houselog.reload_failed(FORGED)
    logged = capsys.readouterr().err
    assert logged.count("\n") == 4
    assert all(line.isprintable() for line in logged.split("\n"))
    assert "u202eend" in logged  # it is shown, not left out


def test_submissions_of_a_moment_are_counted_once_and_exactly():
    def counted(name, **labels):
        return REGISTRY.get_sample_value(name, labels) or 0

    def accept(recipients):
        maillog.accepted(
            "id", client="counting", peer="192.0.2.1", stream="counting", how="default",
            campaign="", size=1, counts={("deliver", "consented"): recipients},
        )  # fmt: skip

    def numbers():
        recipients = counted(
            "gatepost_recipients_total", stream="counting", verdict="deliver", reason="consented"
        )
        return (
            counted("gatepost_submissions_total", client="counting", answer="accepted"),
            recipients,
        )

    later = []
    logfile.hold_lines(later.append)
    accept(2)
    accept(3)
    assert numbers() == (0, 0)
    for call in later:
        call()
    assert numbers() == (2, 5)
    accept(1)
    logfile.hold_lines(None)
    assert numbers() == (3, 6)
    accept(1)
    assert numbers() == (4, 7)
