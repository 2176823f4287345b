"""Undeclared mass mail: the fingerprint of a text, and the judgement on numbers."""

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.flow.classify import Suspicion, fingerprint, personal_words, read_traits
from gatepost.mail.address import parse
from gatepost.mail.message import scan

TEXT = """Hello {name},

Welcome to the spring collection of garden furniture, this year with benches made of
recycled timber. Everything is delivered within {days} working days, and whoever orders before
Easter gets cushions at half the price. See https://shop.example/spring?c={token} for pictures.

You read this at {address}, customer number {number}.
"""
ANNA = {"name": "Anna", "days": 3, "token": "x1Ab", "address": "anna@x.example", "number": 1}
MAXI = {
    "name": "Maximilian",
    "days": 12,
    "token": "QQ/z9/é",
    "address": "max@y.example",
    "number": 4711,
}


def mail(text, to="anna@x.example", media="text/plain", encoding="8bit", charset="utf-8"):
    octets = text.replace("\n", "\r\n").encode(charset)
    if encoding == "base64":
        octets = base64.encodebytes(octets)
    if encoding == "quoted-printable":
        octets = quopri.encodestring(octets)
    head = (
        f"From: s@s.example\r\nTo: {to}\r\nContent-Type: {media}; charset={charset}\r\n"
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return scan(head.encode() + octets)


def printed(message):
    return fingerprint(message, personal_words(read_traits(message)))


def personal(values, **rest):
    return mail(TEXT.format(**values), to=f"{values['name']} <{values['address']}>", **rest)


def test_copies_of_one_mailing_share_it():
    assert printed(personal(ANNA)) == printed(personal(MAXI)) != b""


@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1"])
def test_encodings_do_not_matter(encoding, charset):
    assert printed(personal(MAXI, encoding=encoding, charset=charset)) == printed(personal(ANNA))


def test_layout_does_not_matter():
    text = TEXT.format(**ANNA)
    assert printed(mail("\n\n".join(text.upper().split()))) == printed(mail(" ".join(text.split())))


def test_other_texts_have_another():
    other = TEXT.replace("garden furniture", "woollen clothing")
    assert printed(mail(other.format(**ANNA))) != printed(personal(ANNA))


def test_html_is_read_as_text():
    body = TEXT.format(**ANNA).replace("\n\n", "</p><p title='x'>")
    page = (
        "<html><head><style>p { color: invisible }</style></head><!-- hidden words here -->"
        f"<script>var nothing;</script><body><P>{body}</p></body></html>"
    )
    assert printed(mail(page, media="text/html")) == printed(mail(TEXT.format(**ANNA)))


def test_quotations_and_signatures_do_not_count():
    text = TEXT.format(**ANNA)
    more = (
        text + "> an earlier message with other words\n-- \nThe undersigned and many disclaimers\n"
    )
    assert printed(mail(more)) == printed(mail(text))


@pytest.mark.parametrize("text", ["", "Your code is 123456.", "ok thanks", "1 2 3 " * 99])
def test_short_texts_have_none(text):
    assert printed(mail(text)) == b""


def test_the_readable_alternative_counts():
    rich = "<p>" + TEXT.format(**ANNA) + "</p>"
    parts = (
        "To: anna@x.example\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\n{plain}\r\n"
        "--b\r\nContent-Type: text/html\r\n\r\n{rich}\r\n--b--\r\n"
    )
    expected = printed(mail(TEXT.format(**ANNA)))
    stub = scan(parts.format(plain="Please see the HTML part.", rich=rich).encode())
    both = scan(parts.format(plain=TEXT.format(**ANNA), rich="<p>x</p>").encode())
    assert printed(stub) == printed(both) == expected


@given(st.binary(max_size=300))
def test_any_message_has_a_fingerprint_or_none(raw):
    assert len(fingerprint(scan(raw))) in {0, 16}


def test_hostile_html_takes_linear_time():
    """These would take for ever, were it not so."""
    for piece in ("<script", "<!--", "<p ", "<", "a@", "http://", "</script "):
        fingerprint(mail(piece * 30_000, media="text/html"))


def test_internal_recipients_do_not_count():
    suspicion = Suspicion(recipients=2, internal_domains=frozenset({"acme.example"}))
    recipients = [parse(text) for text in ("a@acme.example", "b@Acme.Example", "c@x.example")]
    assert suspicion.count(recipients) == 1


@pytest.mark.parametrize(
    ("recipients", "seen", "suspect"),
    [
        (99, 0, False),
        (100, 0, True),
        (1, 198, False),
        (1, 199, True),
        (0, 500, False),  # only internal ones now
    ],
)
def test_judgement(recipients, seen, suspect):
    assert Suspicion(recipients=100, same_content=200).judge(recipients, seen) is suspect


def test_a_limit_of_none():
    assert not Suspicion(recipients=0, same_content=0).judge(10_000, 10_000)
