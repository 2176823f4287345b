"""Composing: what is said of the copies of a submission holds for each of them."""

import os
from dataclasses import replace

import pytest

from gatepost.app.composing import Composer
from gatepost.app.texts import Texts
from gatepost.app.wiring import wire
from gatepost.config import load
from gatepost.consent.tokens import Ring
from gatepost.flow.decide.policy import NotConfiguredError
from gatepost.flow.transmit.commands import dotless, whole_lines
from gatepost.mail.message import scan
from gatepost.mail.stream import Kind
from support.claimed import AT, rows, submission
from support.dkim_keys import PEM
from support.private import write_private
from support.program import CONFIG

ACME = CONFIG[CONFIG.index("[senders.acme]") : CONFIG.index("[streams.newsletter]")]
GONE = {
    "stream": [("newsletter", "letters")],
    "sender": [("senders.acme]", "senders.beta]"), ('sender = "acme"', 'sender = "beta"')],
    "stream to another sender": [
        (ACME, ACME + ACME.replace("acme", "beta")),
        ('sender = "acme"', 'sender = "beta"'),
    ],
    "kind": [('kind = "bulk"\ntitle = "Monthly newsletter"', 'kind = "transactional"')],
}

KEYS = (
    '[[senders.acme.dkim]]\ndomain = "acme.example"\nselector = "gp1"\nkey = "acme.pem"\n\n'
    "[streams.newsletter]"
)
KEY = "[streams.newsletter]", KEYS
HEADER = b"From: Acme <news@acme.example>\r\nTo: news@acme.example\r\nSubject: Spring\r\n\r\n"


@pytest.fixture
def configuration(tmp_path):
    path = tmp_path / "config.toml"

    def write(title="Monthly newsletter", *changes):
        text = CONFIG.format(
            smtp_port=2525, http_port=8025, admin_port=8026, upstream_port=25,
            connections=1, store_url="",
        )  # fmt: skip
        for old, new in (("Monthly newsletter", title), *changes):
            text = text.replace(old, new)
        path.write_text(text)
        return wire(load(path, os.environ))

    return write


def composer(wiring):
    texts, ring = Texts(), Ring({1: b"k" * 32}, 1)
    current = [wiring]
    made = Composer(lambda: current[0], texts, lambda: ring)
    return made, current


@pytest.mark.parametrize(
    ("body", "whole", "without_dots"),
    [
        (b"Hello\r\n", True, True),
        (b"Hello\n", False, True),
        (b"Hel\rlo\r\n", False, True),
        (b"Hello\r\n.\r\n", True, False),
        (b".Hello\r\n", True, False),
    ],
)
def test_what_is_said_of_a_copys_lines_is_true_of_each(configuration, body, whole, without_dots):
    make, _ = composer(configuration())
    given = submission()
    copies = make(given, scan(HEADER + body)).copies(rows(given, 3), AT)
    assert len({copy.content for copy in copies}) == 3
    for copy in copies:
        assert copy.whole_lines is whole
        assert (whole_lines(copy.content) is copy.content) is whole
        assert copy.dotless is dotless(copy.content) is without_dots


def test_a_new_configuration_gives_new_footers(configuration):
    make, current = composer(configuration())
    given = submission()

    def footer_says(text):
        (copy,) = make(given, scan(HEADER + b"Hello\r\n")).copies(rows(given, 1), AT)
        return text in copy.content

    assert footer_says(b"Monthly newsletter")
    current[0] = configuration("Weekly newsletter")
    assert footer_says(b"Weekly newsletter")
    assert not footer_says(b"Monthly newsletter")


@pytest.mark.parametrize(
    ("config", "copy"),
    [
        ("leave@ö.example", b"leave@xn--nda.example"),
        ("a%b&c?d@b.example", b"a%25b%26c%3Fd@b.example"),
    ],
)
def test_an_address_to_leave_by_stands_in_a_url(configuration, config, copy):
    mailbox = f'unsubscribe_mailto = "{config}"\n\n[[smtp]]\nport = 2526\nrole = "returns"\n'
    changes = (ACME, ACME + mailbox), ("127.0.0.1:8025", "[::1]:8025")
    make, _ = composer(configuration("Monthly newsletter", *changes))
    given = submission()
    (made,) = make(given, scan(HEADER + b"Hello\r\n")).copies(rows(given, 1), AT)
    assert b">, <mailto:" + copy + b"?subject=" in made.content
    assert b"List-Id: <newsletter.localhost>\r\n" in made.content


def test_links_of_another_sender_become_those_of_whoever_gets_the_copy(configuration):
    other = '[senders.beta]\nfrom = ["@beta.example"]\npublic_url = "https://beta.example/way"\n\n'
    make, _ = composer(configuration("Monthly newsletter", (ACME, other + ACME)))
    token = b"t" * 49
    links = [b"https://beta.example/way/u/", b"https://beta.example/way/p/"]
    body = b" ".join(link + token for link in [*links, b"https://else.example/u/"]) + b"\r\n"
    given = submission()
    (made,) = make(given, scan(HEADER + body)).copies(rows(given, 1), AT)
    assert b"beta.example" not in made.content
    assert made.content.count(token) == 1
    assert b" https://else.example/u/" + token in made.content


@pytest.mark.parametrize("gone", GONE)
def test_bulk_mail_goes_with_the_words_of_its_stream_and_sender_or_not_at_all(configuration, gone):
    """It was decided before a reload: without them it would be mail that nobody can leave."""
    make, current = composer(configuration())
    current[0] = configuration("Monthly newsletter", *GONE[gone])
    with pytest.raises(NotConfiguredError):
        make(submission(), scan(HEADER + b"Hello\r\n"))


def test_a_sender_that_was_renamed_signs_what_is_queued(configuration, tmp_path):
    """Unsigned, it would be refused by whoever has a policy for its domain."""
    write_private(tmp_path / "acme.pem", PEM)
    make, current = composer(configuration("Monthly newsletter", KEY))
    given = replace(submission(kind=Kind.TRANSACTIONAL), stream="receipts")
    renamed = ("senders.acme", "senders.beta"), ('sender = "acme"', 'sender = "beta"')
    for changes in ((KEY,), (KEY, *renamed)):
        current[0] = configuration("Monthly newsletter", *changes)
        (copy,) = make(given, scan(HEADER + b"Hello\r\n")).copies(rows(given, 1), AT)
        assert b"DKIM-Signature: " in copy.content


def test_other_mail_does_not_become_bulk_on_its_way(configuration):
    """Its recipients are nobody that a link could stand for."""
    make, current = composer(configuration())
    given = replace(submission(kind=Kind.TRANSACTIONAL), stream="receipts")
    mail = scan(HEADER + b"Hello\r\n")
    make(given, mail)
    kind = ('[streams.receipts]\nkind = "transactional"', '[streams.receipts]\nkind = "bulk"')
    current[0] = configuration("Monthly newsletter", kind)
    with pytest.raises(NotConfiguredError):
        make(given, mail)
