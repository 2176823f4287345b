"""From settings to nouns: every setting of a party arrives in its noun."""

from datetime import timedelta
from ipaddress import ip_network

import pytest

from gatepost.config import load, to_bases, to_clients, to_placeholders, to_senders, to_streams
from gatepost.mail.address import parse
from gatepost.mail.duration import Duration
from gatepost.mail.placeholder import FOREIGN
from gatepost.mail.stream import Kind, Stream, Unmodifiable
from gatepost.mail.verdict import Disposition

HASH = "$scrypt$ln=15,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
TEXT = f"""
[server]
public_url = "https://mail.example.org/"

[[smtp]]
role = "returns"

[upstreams.fast]

[clients.crm]
networks = ["192.0.2.0/24", "2001:db8::1"]
username = "crm"
password_hash = "{HASH}"
streams = ["news", "plain"]
default_stream = "news"
trust_headers = true
may_override = true
keep_dkim = true
rate = "20000/h"

[senders.acme]
name = "Acme AB"
postal_address = "Storgatan 1, 111 22 Stockholm, Sweden"
registration = "556000-0000"
contact = "kontakt@acme.example"
privacy_url = "https://acme.example/privacy"
from = ["@acme.example", "@*.acme.example", "Boss@Other.example"]
from_names = ["Acme AB", "Acme"]
public_url = "https://mail.acme.example"
upstream = "fast"
bounce_domain = "bounce.acme.example"
unsubscribe_mailto = "leave@acme.example"

[senders.beta]
from = ["@beta.example"]
unsubscribe_mailto = "Leave%us@bokhandlarförening.example"

[streams.news]
kind = "bulk"
title = {{ sv = "Nyhetsbrev", en = "Newsletter" }}
description = "News"
sender = "acme"
language = "sv"
requires = "implied"
soft_opt_in = true
double_opt_in = true
categories = ["tools", "toys"]
max_inactive = "18 months"
role_addresses = "allow"
on_ineligible = "quarantine"
release_within = "1 h"
unmodifiable = "reject"
footer = "always"
return_path = "verp"
mode = "observe"
upstream = "fast"

[streams.plain]
kind = "personal"

[placeholders]
systems = ["postmark", "ses"]
unsubscribe_url = ["%%leave%%"]
sender_identity = ["%%us%%", "[we]"]

[consent]
implied_lifetime = "1 year"
[consent.bases]
purchase = {{ lifetime = "6 months" }}
"""


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    return load(path, {})


def test_streams(settings):
    streams = to_streams(settings)
    news = streams["news"]
    assert news == Stream(
        name="news",
        kind=Kind.BULK,
        sender="acme",
        title={"sv": "Nyhetsbrev", "en": "Newsletter"},
        description={"": "News"},
        language="sv",
        requires_explicit=False,
        soft_opt_in=True,
        double_opt_in=True,
        categories=frozenset({"tools", "toys"}),
        max_inactive=Duration(months=18),
        allow_role_addresses=True,
        on_ineligible=Disposition.QUARANTINE,
        release_within=timedelta(hours=1),
        unmodifiable=Unmodifiable.REJECT,
        footer_always=True,
        verp=True,
        observe=True,
        upstream="fast",
    )
    assert news.title_in("sv") == "Nyhetsbrev"
    assert streams["plain"] == Stream(name="plain", kind=Kind.PERSONAL)


def test_senders(settings):
    acme, beta = to_senders(settings).values()
    assert acme.legal_name == "Acme AB"
    assert acme.registration == "556000-0000"
    assert acme.public_url == "https://mail.acme.example"
    assert (acme.upstream, acme.bounce_domain) == ("fast", "bounce.acme.example")
    assert acme.unsubscribe_mailto == "leave@acme.example"
    assert beta.unsubscribe_mailto == "Leave%us@xn--bokhandlarfrening-9zb.example"
    assert (acme.contact, acme.privacy_url) == (
        "kontakt@acme.example",
        "https://acme.example/privacy",
    )
    assert acme.may_send_as(parse("anybody@ACME.example"))
    assert acme.may_send_as(parse("news@lists.acme.example"))
    assert acme.may_send_as(parse("boss@other.example"))
    assert not acme.may_send_as(parse("else@other.example"))
    assert not acme.may_call_itself("Club Vista")
    assert beta.public_url == "https://mail.example.org"


def test_clients(settings):
    (crm,) = to_clients(settings).values()
    assert crm.networks == (ip_network("192.0.2.0/24"), ip_network("2001:db8::1/128"))
    assert (crm.username, crm.password_hash) == ("crm", HASH)
    assert (crm.streams, crm.default_stream) == (("news", "plain"), "news")
    assert crm.trust_headers
    assert crm.may_override
    assert crm.keep_dkim
    assert crm.rate == (20000, 3600.0)


def test_placeholders(settings):
    assert to_placeholders(settings) == (
        ("{{{ pm:unsubscribe }}}", "unsubscribe_url"),
        ("{{{ pm:unsubscribe_url }}}", "unsubscribe_url"),
        ("{{amazonSESUnsubscribeUrl}}", "unsubscribe_url"),
        ("%%leave%%", "unsubscribe_url"),
        ("%%us%%", "sender_identity"),
        ("[we]", "sender_identity"),
    )


def test_every_system_can_be_named(tmp_path):
    systems = ", ".join(f'"{name}"' for name in FOREIGN)
    text = f'[server]\npublic_url = "https://a.example"\n[placeholders]\nsystems = [{systems}]\n'
    (tmp_path / "config.toml").write_text(text)
    assert len(to_placeholders(load(tmp_path / "config.toml", {}))) >= len(FOREIGN)


def test_bases(settings):
    bases = to_bases(settings)
    assert bases.find("purchase").lifetime == Duration(months=6)
    assert bases.find("contract").lifetime == Duration(months=12)
    assert bases.find("form-checkbox").lifetime is None
