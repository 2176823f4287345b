"""What `audience check` says beforehand is what the running program then decides (SO-2 … SO-5)."""

import json
import smtplib
from datetime import UTC, datetime, timedelta

from gatepost.consent.bases import BUILT_IN
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.store.tables import mail as tables
from support.consents import complained, granted, suppressed, withdrawn
from support.program import CONFIG, Program
from support.submissions import rows_of
from support.upstream import UpstreamThread

NOW = datetime.now(UTC)
# How many reasons at least are met on each stream, so that the comparison is one.
REASONS = {"newsletter": 10, "club": 10, "loose": 10, "seen": 5, "receipts": 2}
STREAMS = tuple(REASONS)
MORE = """
[streams.club]
kind = "bulk"
title = "Letter to members"
sender = "acme"
double_opt_in = true
on_ineligible = "quarantine"

[streams.loose]
kind = "bulk"
title = "Everything about shoes"
sender = "acme"
requires = "implied"
soft_opt_in = true
categories = ["shoes"]
max_inactive = "18 months"
role_addresses = "allow"

[streams.seen]
kind = "bulk"
title = "Only observed"
sender = "acme"
mode = "observe"
"""


def ago(days):
    return NOW - timedelta(days=days)


def of(stream, kind, at, **more):
    return Fact(kind=kind, at=at, sender="acme", stream=stream, source="website", **more)


def acts(stream):
    """People of every kind, as far as one stream is concerned: name to facts."""
    told = {"bought": True, "informed": True, "could_decline": True}
    people = {
        f"{basis.name}-{days}-{state}": [
            granted(basis=basis.name, stream=stream, at=ago(days), text_state=state)
        ]
        for basis in BUILT_IN
        for days, state in ((1, TextState.VALID), (1000, TextState.VALID), (1, TextState.NONE))
    }
    yes = granted(stream=stream, at=ago(90))
    left = withdrawn(stream=stream, at=ago(60))
    again = {"basis": "written", "text_state": TextState.VALID, "explanation": "signed at the till"}
    return people | {
        "stranger": [],
        "invalid": [granted(stream=stream, at=ago(9), text_state=TextState.INVALID)],
        "customer-told": [granted(basis="customer", stream=stream, at=ago(9), **told)],
        "asked": [of(stream, EventKind.REQUESTED, ago(9), text_state=TextState.VALID)],
        "confirmed": [
            of(stream, EventKind.REQUESTED, ago(9), text_state=TextState.VALID),
            of(stream, EventKind.CONFIRMED, ago(8), actor="recipient"),
        ],
        "unwelcomed": [granted(stream=stream, at=ago(9), welcome_due=True)],
        "sms": [granted(stream=stream, at=ago(9), channels="sms")],
        "hats": [granted(stream=stream, at=ago(9), categories=("hats",))],
        "shoes": [granted(stream=stream, at=ago(9), categories=("Shoes",))],
        "ahead": [granted(stream=stream, at=NOW + timedelta(days=2))],
        "long-ago-active": [
            granted(stream=stream, at=ago(2000)), of(stream, EventKind.ENGAGED, ago(5)),
        ],
        "left": [yes, left],
        "left-everything": [yes, withdrawn(stream="", at=ago(60))],
        "back": [yes, left, of(stream, EventKind.RESUBSCRIBED, ago(5), actor="recipient")],
        "brought-back": [yes, left, of(stream, EventKind.RESUBSCRIBED, ago(5), actor="staff",
                                       **again)],
        "brought-back-weakly": [yes, left, of(stream, EventKind.RESUBSCRIBED, ago(5),
                                              actor="staff", **again | {"basis": "purchase"})],
        "complained": [yes, complained(at=ago(60))],
        "complained-back": [yes, complained(at=ago(60)),
                            of(stream, EventKind.RESUBSCRIBED, ago(5), actor="recipient")],
        "bounced": [yes, suppressed(reason="hard-bounce", at=ago(60))],
        "by-hand": [yes, suppressed(scope="bulk", at=ago(60))],
        "of-others": [yes, suppressed(sender="other", at=ago(60))],
        "of-all": [yes, suppressed(sender="", at=ago(60))],
        "erased": [yes, Fact(kind=EventKind.ERASED, at=ago(5), rule="request", extent="all")],
        "erased-rest": [yes, Fact(kind=EventKind.ERASED, at=ago(5), rule="request", extent="rest")],
        "erased-back": [yes, Fact(kind=EventKind.ERASED, at=ago(5), rule="request", extent="all"),
                        granted(stream=stream, at=ago(1))],
        "info": [yes],
        "sales": [granted(basis="double-opt-in", stream=stream, at=ago(9))],
    }  # fmt: skip


def mail(gateway, stream, listed):
    message = (
        f"From: news@acme.example\r\nX-Gatepost-Stream: {stream}\r\nSubject: Hi\r\n\r\nHello\r\n"
    )
    with smtplib.SMTP("127.0.0.1", gateway.smtp_port) as client:
        client.sendmail("news@acme.example", listed, message.encode())


def checked(gateway, stream, listed):
    answer = gateway.run(
        "audience", "check", "--stream", stream, "-", "--json", check=False, text="\n".join(listed)
    )
    return {one["address"]: (one["verdict"], one["reason"]) for one in json.loads(answer.stdout)}


def recorded(gateway, stream):
    with gateway.store() as store:
        ids = {row["id"] for row in rows_of(store, tables.submission, stream=stream)}
        rows = [row for row in rows_of(store, tables.recipient) if row["submission"] in ids]
    return {row["address"]: (row["verdict"], row["reason"]) for row in rows}


def test_the_check_and_the_mailing_decide_alike(tmp_path, store_url):
    people = {
        stream: {f"{name}@{stream}.example": facts for name, facts in acts(stream).items()}
        for stream in STREAMS
    }
    config = CONFIG.replace('"office"]', '"office", "club", "loose", "seen"]')
    with (
        UpstreamThread() as upstream,
        Program(tmp_path, upstream_port=upstream.port, more=MORE, config=config,
                store_url=store_url) as gateway,
    ):  # fmt: skip
        gateway.record({who: facts for all_of in people.values() for who, facts in all_of.items()})
        for stream, of_stream in people.items():
            before = checked(gateway, stream, of_stream)
            mail(gateway, stream, list(of_stream))
            assert len(before) == len(of_stream)
            assert recorded(gateway, stream) == before
            reasons = {reason for _, reason in before.values()}
            assert len(reasons) >= REASONS[stream], reasons
