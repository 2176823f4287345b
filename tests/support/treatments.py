"""A treatment to edit with, the tokens of one recipient, and what a reader sees of a copy."""

from collections.abc import Mapping
from dataclasses import replace
from email import message_from_bytes
from email.message import Message

from gatepost.flow.edit import BulkTreatment, Footer, Plan, Slot, Treatment, apply, plan, undo
from gatepost.mail.message import normalize, scan
from gatepost.mail.placeholder import FOREIGN

UNSUBSCRIBE = "u" * 24 + "-_" + "U" * 23
PREFERENCES = "p" * 24 + "_-" + "P" * 23
TOKENS = {
    Slot.UNSUBSCRIBE: UNSUBSCRIBE.encode(),
    Slot.PREFERENCES: PREFERENCES.encode(),
    Slot.MAILTO: b"m" * 49,
}
LEAVE = "https://mail.example.org/u/" + UNSUBSCRIBE
CHOOSE = "https://mail.example.org/p/" + PREFERENCES
IDENTITY = "Acme AB, Storgatan 1, 111 22 Stockholm"
FOOTER = Footer(
    "-- \nAcme AB\nStorgatan 1, 111 22 Stockholm\nLeave: {{unsubscribe_url}}\n"
    "Choose: {{preferences_url}}\n",
    '<p>Acme AB, Storgatan 1 <a href="{{unsubscribe_url}}">Leave</a>\n'
    '<a href="{{preferences_url}}">Choose</a></p>',
)
SWEDISH = Footer(
    "Du får det här för att du är med.\nSäg upp: {{unsubscribe_url}}",
    '<p>Du får det här för att du är med. <a href="{{unsubscribe_url}}">Säg upp</a></p>',
)
POLISH = Footer("Wypisz się: {{unsubscribe_url}}", '<a href="{{unsubscribe_url}}">Wypisz się</a>')

BULK = BulkTreatment(
    list_id="Monthly <newsletter.acme.example>",
    unsubscribe_base="https://mail.example.org/u/",
    preferences_base="https://mail.example.org/p/",
    footer=FOOTER,
    identity_text=IDENTITY,
    identity_html="Acme AB, <b>Storgatan 1</b>",
    legal_name="Acme AB",
    postal_address="Storgatan 1, 111 22 Stockholm",
    mailto="leave@acme.example",
)
TRACE = (
    b"Received: from crm.example ([192.0.2.7]) by relay.example.org with ESMTP id 1;\r\n"
    b"\tSat, 1 Jan 2028 10:00:00 +0000\r\n"
)
NOT_BULK = Treatment(
    received=TRACE,
    date=b"Sat, 1 Jan 2028 10:00:00 +0000",
    message_id=b"<1@relay.example.org>",
)
TREATMENT = replace(NOT_BULK, bulk=BULK)

HEAD = (
    b"From: Acme <news@acme.example>\r\nTo: ada@example.org\r\nSubject: News\r\n"
    b"Date: Sat, 1 Jan 2028 09:00:00 +0000\r\nMessage-ID: <n1@acme.example>\r\n"
    b"MIME-Version: 1.0\r\n"
)


# The treatment by which the stored copies of the corpus were made: what the configuration in
# `CORPUS_CONFIG` makes of it, so that `gatepost preview` shows the same copies.
CORPUS_FOOTER = Footer(
    "________________________________________\n"
    'Du får "Månadens nyheter" från Acme AB för att du prenumererar på det.\n\n'
    "Avregistrera dig:\n{{unsubscribe_url}}\n\nVälj vad du vill få:\n{{preferences_url}}\n\n"
    "Acme AB\nStorgatan 1, 111 22 Stockholm, Sweden",
    '<div lang="sv" dir="ltr" style="clear:both;max-width:600px;margin:24px auto 0;padding:16px;'
    "border-top:1px solid #c8c8c8;background-color:#ffffff;color:#555555;"
    'font-family:Arial,Helvetica,sans-serif;font-size:13px;line-height:1.5;text-align:left;">\n'
    '<p style="margin:0 0 8px;">\n'
    'Du får "Månadens nyheter" från Acme AB för att du prenumererar på det.\n</p>\n'
    '<p style="margin:0 0 8px;">\n<a href="{{unsubscribe_url}}" '
    'style="color:#1a4f8b;text-decoration:underline;">Avregistrera dig</a> &nbsp;|&nbsp;\n'
    '<a href="{{preferences_url}}" '
    'style="color:#1a4f8b;text-decoration:underline;">Välj vad du vill få</a>\n</p>\n'
    '<p style="margin:0;">\nAcme AB<br>\nStorgatan 1, 111 22 Stockholm, Sweden\n</p>\n</div>',
)
CORPUS_TREATMENT = replace(
    TREATMENT,
    bulk=BulkTreatment(
        list_id="newsletter.mail.example.org",
        unsubscribe_base="https://mail.example.org/u/",
        preferences_base="https://mail.example.org/p/",
        footer=CORPUS_FOOTER,
        identity_text="Acme AB, Storgatan 1, 111 22 Stockholm, Sweden",
        identity_html="Acme AB, Storgatan 1, 111 22 Stockholm, Sweden",
        legal_name="Acme AB",
        postal_address="Storgatan 1, 111 22 Stockholm, Sweden",
        mailto="leave@acme.example",
        mailto_octets=60,
        feedback_id="newsletter:acme:gatepost",
        placeholders=tuple(
            (spelling, meaning)
            for table in FOREIGN.values()
            for meaning, spellings in table.items()
            for spelling in spellings
        ),
    ),
)
CORPUS_TOKENS = {**TOKENS, Slot.MAILTO: b"m" * 60}
CORPUS_CONFIG = """
[server]
hostname = "relay.example.org"
public_url = "https://mail.example.org"

[[smtp]]

[[smtp]]
port = 2526
role = "returns"

[placeholders]
systems = ["mailchimp", "sendgrid", "postmark", "mailgun", "ses", "listmonk"]

[clients.crm]
networks = ["127.0.0.1/32"]
streams = ["newsletter"]

[senders.acme]
name = "Acme AB"
postal_address = "Storgatan 1, 111 22 Stockholm, Sweden"
from = ["@acme.example"]
unsubscribe_mailto = "leave@acme.example"

[streams.newsletter]
kind = "bulk"
title = "Månadens nyheter"
sender = "acme"
language = "sv"
"""


def with_bulk(**changes: object) -> Treatment:
    """The treatment with something in its bulk part changed."""
    return replace(TREATMENT, bulk=replace(BULK, **changes))


def plan_of(raw: bytes, treatment: Treatment = TREATMENT) -> Plan:
    return plan(scan(raw), raw, treatment)


def tokens_for(treatment: Treatment) -> Mapping[Slot, bytes]:
    """Tokens of the sizes that a treatment has slots for."""
    long = treatment.bulk is not None and treatment.bulk.mailto_octets == 60
    return CORPUS_TOKENS if long else TOKENS


def copy_of(
    raw: bytes, treatment: Treatment = TREATMENT, tokens: Mapping[Slot, bytes] | None = None
) -> bytes:
    """One recipient's copy, after the promises that hold for every copy were checked."""
    made = plan_of(raw, treatment)
    copy = apply(made, tokens or tokens_for(treatment))
    assert len(copy) == made.size
    assert undo(made, copy) == raw
    assert made.eight_bit == (not copy.isascii())
    return copy


def read(copy: bytes) -> Message:
    """The copy as an independent parser sees it."""
    return message_from_bytes(copy)


def texts(copy: bytes) -> list[str]:
    """What a reader sees of each text part."""
    return [
        part.get_payload(decode=True).decode(part.get_content_charset("us-ascii"))
        for part in read(copy).walk()
        if part.get_content_maintype() == "text"
    ]


def body_of(copy: bytes) -> bytes:
    return copy.partition(b"\r\n\r\n")[2]


def message(
    body: bytes, content_type: str = "text/plain", encoding: str = "", head: bytes = HEAD
) -> bytes:
    """A message with one part."""
    fields = b"Content-Type: " + content_type.encode() + b"\r\n" if content_type else b""
    if encoding:
        fields += b"Content-Transfer-Encoding: " + encoding.encode() + b"\r\n"
    return normalize(head + fields + b"\r\n" + body)


def multipart(kind: str, *parts: bytes, boundary: str = "=_b", head: bytes = HEAD) -> bytes:
    """A message of parts, each given with its header."""
    return normalize(head + multipart_part(kind, *parts, boundary=boundary) + b"\r\n")


def multipart_part(kind: str, *parts: bytes, boundary: str = "=_b") -> bytes:
    line = b"\r\n--" + boundary.encode()
    opening = f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n'.encode()
    return opening + b"".join(line + b"\r\n" + part for part in parts) + line + b"--"


def part(
    body: bytes, content_type: str = "text/plain", encoding: str = "", more: str = ""
) -> bytes:
    """A part of a multipart; `more` are further header lines, each with its CRLF."""
    fields = f"Content-Type: {content_type}\r\n{more}"
    if encoding:
        fields += f"Content-Transfer-Encoding: {encoding}\r\n"
    return fields.encode() + b"\r\n" + body
