"""RX-9: what is told of mail that goes to an upstream without DSN, and in whose words."""

from email import message_from_bytes

import pytest
from sqlalchemy import text

from support.consents import granted
from support.ports import free_port
from support.program import Program
from support.upstream import Script, UpstreamThread
from support.watching import mail, send, wait_until

MORE = """
[[smtp]]
port = {returns_port}
role = "returns"

[clients.club]
networks = ["127.0.0.6"]
streams = ["club"]

[senders.club]
name = "The Club"
postal_address = "1 High Street, London"
from = ["@club.example"]
bounce_domain = "bounce.club.example"

[streams.club]
kind = "bulk"
sender = "club"
return_path = "verp"
"""
OFFICE = "X-Gatepost-Stream: office"
SUCCESS = ["NOTIFY=SUCCESS,FAILURE"]


@pytest.fixture(scope="module")
def world(each_engine, tmp_path_factory):
    script = Script(
        extensions=("PIPELINING", "SIZE 20000"),
        recipients={"nobody@example.org": "550 5.1.1 nobody of that name"},
    )
    with UpstreamThread(script) as upstream:
        gateway = Program(
            tmp_path_factory.mktemp("relayed"),
            upstream_port=upstream.port,
            more=MORE.format(returns_port=free_port()),
        )
        gateway.record({"anna@example.org": [granted(), granted(stream="club", sender="club")]})
        with gateway:
            yield gateway, upstream


def report_after(world, *arguments, **more):
    """What is told of a submission: the report's text and its fields for each recipient."""
    gateway, upstream = world
    before = len(upstream.messages)
    code, said = send(gateway, *arguments, **more)
    assert code == 250, said
    settled(gateway)
    (report,) = reports_since(upstream, before)
    assert report.recipients == ["news@acme.example"]
    assert report.recipient_parameters == [""]
    message = message_from_bytes(report.content)
    words, status, original = message.get_payload()
    assert b"Message-ID: <spring@acme.example>" in original.get_payload(decode=True)
    text = " ".join(words.get_payload(decode=True).decode().split())
    return message["Subject"], text, status.get_payload()


def reports_since(upstream, before):
    return [m for m in list(upstream.messages)[before:] if m.mail_from == ""]


def settled(gateway):
    """Waits until nothing is left to send or to tell."""
    query = text(
        "SELECT count(*) FROM recipient WHERE finished_ms IS NULL"
        " OR ((state = 'failed' OR relayed_ms IS NOT NULL) AND reported_ms IS NULL)"
    )

    def is_settled():
        with gateway.store() as store:
            return not store.read_now(lambda tx: tx.connection.execute(query).scalar_one())

    wait_until(is_settled, gateway)


def test_success_that_upstream_will_not_tell_of_is_told_as_relayed(world):
    subject, words, (whole, one) = report_after(
        world, ["anna@example.org"], mail("Success", OFFICE),
        mail_options=["ENVID=e1", "RET=FULL"],
        rcpt_options=[*SUCCESS, "ORCPT=rfc822;Ann@old.example"],
    )  # fmt: skip
    assert subject == "Your mail was handed on"
    assert "<anna@example.org>: relayed" in words
    assert whole["Original-Envelope-Id"] == "e1"
    assert one["Original-Recipient"] == "rfc822; Ann@old.example"
    assert one["Final-Recipient"] == "rfc822; anna@example.org"
    assert (one["Action"], one["Status"][0]) == ("relayed", "2")
    assert one["Remote-MTA"] == "dns; 127.0.0.1"


def test_one_report_tells_of_all_recipients(world):
    people = ["anna@example.org", "nobody@example.org", "bo@example.org"]
    subject, words, (_, *each) = report_after(
        world, people, mail("Both", OFFICE), rcpt_options=SUCCESS
    )
    assert subject == "Undelivered mail returned to sender"
    assert [(one["Final-Recipient"], one["Action"]) for one in each] == [
        ("rfc822; anna@example.org", "relayed"),
        ("rfc822; nobody@example.org", "failed"),
        ("rfc822; bo@example.org", "relayed"),
    ]
    assert "127.0.0.1 said: 550 5.1.1 nobody of that name" in words


def test_bulk_mail_that_keeps_its_return_path_is_told_of_too(world):
    _, _, (_, one) = report_after(
        world, ["anna@example.org"], mail("Bulk"), rcpt_options=["NOTIFY=SUCCESS"]
    )
    assert one["Action"] == "relayed"


def test_nobody_is_told_who_did_not_ask(world):
    gateway, upstream = world
    before = len(upstream.messages)
    for mail_from, options in (
        ("", SUCCESS),
        ("news@acme.example", []),
        ("news@acme.example", ["NOTIFY=NEVER"]),
        ("news@acme.example", ["NOTIFY=FAILURE,DELAY"]),
    ):
        code, said = send(
            gateway, ["anna@example.org"], mail("Quiet", OFFICE),
            mail_from=mail_from, rcpt_options=options,
        )  # fmt: skip
        assert code == 250, said
    club = mail("Club").replace(b"acme.example", b"club.example")
    code, said = send(
        gateway, ["anna@example.org"], club, mail_from="news@club.example", source="127.0.0.6",
        rcpt_options=SUCCESS,
    )  # fmt: skip
    assert code == 250, said
    settled(gateway)
    assert [message.recipients for message in upstream.messages[before:]] == [
        ["anna@example.org"]
    ] * 5


@pytest.mark.parametrize(
    ("recipient", "octets", "options", "status"),
    [
        ("anna@example.org", 30_000, (), "5.3.4"),
        ("åsa@example.org", 10, ("SMTPUTF8",), "5.6.7"),
    ],
)
def test_rd_2_our_own_words_are_not_put_into_upstreams_mouth(
    world, recipient, octets, options, status
):
    content = mail("Own", OFFICE) + (b"x" * 70 + b"\r\n") * (octets // 72)
    _, words, (_, one) = report_after(world, [recipient], content, mail_options=options)
    assert (one["Action"], one["Status"]) == ("failed", status)
    assert one["Remote-MTA"] is None
    assert one["Diagnostic-Code"].startswith("X-Gatepost; 5")
    assert " said" not in words
