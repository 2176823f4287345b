"""Which stream a message belongs to (DESIGN, "Which stream")."""

from datetime import UTC, datetime

import pytest

from gatepost.flow.classify import (
    Choice,
    How,
    Refusal,
    Rule,
    bound_stream,
    choose_stream,
    header_names,
    override_reason,
    read_traits,
)
from gatepost.mail.client import Client
from gatepost.mail.envelope import Arrival
from gatepost.mail.message import scan

STREAMS = {"news", "offers", "receipts", "office"}
OURS = ("news", "receipts", "office")


def message(*lines, body="Hello.\r\n"):
    return scan(("\r\n".join(lines) + "\r\n\r\n" + body).encode())


def choose(
    *lines,
    client=None,
    listener="",
    rules=(),
    recipients=1,
    streams=OURS,
    default="",
    trusted=False,
):
    client = client or Client(
        name="crm", streams=streams, default_stream=default, trust_headers=trusted
    )
    arrival = Arrival(
        client=client, peer="192.0.2.1", port=25, ehlo="c", protocol="ESMTP",
        at=datetime(2026, 1, 1, tzinfo=UTC), stream=listener,
    )  # fmt: skip
    traits = read_traits(message(*lines), header_names(rules))
    return choose_stream(traits, arrival, rules, STREAMS, recipients)


HEADER = "X-Gatepost-Stream: receipts"


@pytest.mark.parametrize(
    ("settings", "stream", "how"),
    [
        ({"streams": ("news",)}, "news", How.CLIENT),
        ({"listener": "news"}, "news", How.LISTENER),
        ({"listener": "news", "streams": ()}, "news", How.LISTENER),
        ({"listener": "news", "streams": ("news",)}, "news", How.LISTENER),
        ({"default": "office"}, "office", How.DEFAULT),
        ({"default": "office", "rules": [Rule(stream="news")]}, "news", How.RULE),
        (
            {"default": "office", "rules": [Rule(stream="offers")]},
            "office",
            How.DEFAULT,
        ),  # not ours
        ({"rules": [Rule(stream="news"), Rule(stream="receipts")]}, "news", How.RULE),  # first wins
    ],
)
def test_what_decides(settings, stream, how):
    assert choose("From: a@a.example", **settings) == Choice(stream, how)


@pytest.mark.parametrize(
    ("settings", "stream", "how"),
    [
        ({"trusted": True}, "receipts", How.HEADER),
        ({"trusted": True, "default": "office"}, "receipts", How.HEADER),
        ({"trusted": True, "rules": [Rule(stream="news")]}, "receipts", How.HEADER),
        ({"default": "office"}, "office", How.DEFAULT),  # not trusted
        ({"streams": ("news",)}, "news", How.CLIENT),
        ({"trusted": True, "streams": ("receipts",)}, "receipts", How.CLIENT),
    ],
)
def test_the_header_counts_from_trusted_clients(settings, stream, how):
    assert choose(HEADER, **settings) == Choice(stream, how)


@pytest.mark.parametrize(
    ("lines", "settings", "says"),
    [
        ([], {}, "no stream"),  # SO-3
        ([], {"streams": ()}, "no stream"),
        ([], {"streams": (), "default": "news"}, "no stream"),
        ([], {"streams": ("removed",)}, "not configured"),
        ([], {"listener": "offers"}, "of this port"),
        (["X-Gatepost-Stream: offers"], {"trusted": True}, '"offers" that this client may not'),
        (["X-Gatepost-Stream: unknown"], {"trusted": True, "default": "news"}, '"unknown"'),
        (["X-Gatepost-Stream: a\tb\x07"], {"trusted": True}, "names a stream that"),
        ([HEADER, "X-Gatepost-Stream: news"], {"trusted": True}, "more than one"),
        ([HEADER], {"trusted": True, "streams": ("news",)}, '"receipts"'),
        ([HEADER], {"trusted": True, "listener": "news"}, '"receipts"'),
    ],
)
def test_what_is_refused(lines, settings, says):
    refusal = choose(*lines, **settings)
    assert isinstance(refusal, Refusal)
    assert says in refusal.text
    assert refusal.text.isprintable()


def test_a_header_said_twice_alike_is_one():
    assert choose(HEADER, HEADER, trusted=True) == Choice("receipts", How.HEADER)


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({"client": "crm"}, True),
        ({"client": "c*"}, True),
        ({"client": "shop"}, False),
        ({"header": {"Precedence": "bulk"}}, True),
        ({"header": {"precedence": "B?lk"}}, True),
        ({"header": {"Precedence": "list"}}, False),
        ({"header": {"X-Missing": "*"}}, False),
        ({"header": {"Precedence": "bulk", "X-Mailer": "*press*"}}, True),
        ({"header": {"Precedence": "bulk", "X-Mailer": "press"}}, False),
        ({"header": {"X-Tag": "second"}}, True),  # any of several
        ({"from_": "*@news.acme.example"}, True),
        ({"from_": "NEWS@*"}, True),
        ({"from_": "Acme*"}, False),  # the address, not the name
        ({"subject": "[Acme] våren *"}, True),  # brackets are themselves
        ({"subject": "*2026"}, True),
        ({"subject": "Våren"}, False),
        ({"recipients_at_least": 50}, True),
        ({"recipients_at_least": 51}, False),
        ({"client": "crm", "subject": "*", "recipients_at_least": 51}, False),
    ],
)
def test_rules(rule, matches):
    choice = choose(
        "From: Acme <News@news.acme.example>",
        "Subject: =?utf-8?q?=5BAcme=5D_V=C3=A5ren?=\r\n 2026",
        "Precedence: bulk",
        "X-Mailer: Letterpress 3",
        "X-Tag: first",
        "X-Tag: second",
        rules=[Rule(stream="news", **rule)],
        default="office",
        recipients=50,
    )
    assert choice == (Choice("news", How.RULE) if matches else Choice("office", How.DEFAULT))


def test_globs_take_linear_time():
    """This would take for ever, were it not so."""
    rule = Rule(stream="news", subject="*a" * 40 + "b")
    assert choose("Subject: " + "a" * 900, rules=[rule], default="office").how is How.DEFAULT


def test_a_stream_is_known_at_rcpt_where_it_is_bound():
    def known(**settings):
        client = Client(name="c", streams=settings.get("streams", OURS))
        return bound_stream(Arrival(
            client=client, peer="", port=0, ehlo="", protocol="",
            at=datetime(2026, 1, 1, tzinfo=UTC), stream=settings.get("listener", ""),
        ))  # fmt: skip

    assert known() is None
    assert known(streams=("news",)) == Choice("news", How.CLIENT)
    assert known(listener="office") == Choice("office", How.LISTENER)
    assert isinstance(known(listener="offers"), Refusal)


@pytest.mark.parametrize(
    ("trusted", "may", "reason"),
    [(True, True, "recall of pumps"), (True, False, ""), (False, True, ""), (False, False, "")],
)
def test_an_override_needs_both_rights(trusted, may, reason):  # SO-7
    client = Client(name="c", trust_headers=trusted, may_override=may)
    traits = read_traits(message("X-Gatepost-Override: recall\r\n of pumps"))
    assert override_reason(traits, client) == reason
