"""Texts: complete in five languages, footers that say what the law wants to read (ME-3)."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from jinja2 import UndefinedError

from gatepost.app.texts import LANGUAGES, Texts, templates_folder
from gatepost.app.trouble import TextsError
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Kind, Stream

ACME = Sender(
    name="acme",
    legal_name="Acme AB",
    postal_address="Storgatan 1, 111 22 Stockholm, Sweden",
    public_url="https://mail.example.org",
    registration="556677-8899",
    privacy_url="https://acme.example/privacy",
)
NEWSLETTER = Stream(
    name="newsletter", kind=Kind.BULK, sender="acme", title={"": "Monthly news", "sv": "Månadsbrev"}
)


@pytest.fixture(scope="module")
def texts():
    return Texts()


def catalogue(language):
    path = templates_folder() / "locale" / f"{language}.po"
    with path.open("rb") as file:
        return {message.id: message for message in read_po(file, locale=language) if message.id}


def sentences():
    ways = [("**.html", "jinja2"), ("**.txt", "jinja2")]
    return {found[2] for found in extract_from_dir(str(templates_folder()), method_map=ways)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_translated_and_none_is_left_over(language):
    messages = catalogue(language)
    assert set(messages) == sentences()
    for message in messages.values():
        assert message.string, message.id
        assert not message.fuzzy, message.id
        assert (message.string == message.id) is (language == "en"), message.id
        fields = re.compile(r"%\(\w+\)s")
        assert sorted(fields.findall(message.string)) == sorted(fields.findall(message.id))


class Links(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.links, self.words = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        assert tag not in {"script", "style", "img", "link"}
        if tag == "a":
            self.links.append(dict(attrs)["href"])

    def handle_data(self, data):
        self.words += data


@pytest.mark.parametrize("language", LANGUAGES)
def test_both_footers_say_who_why_and_how_to_leave(texts, language):
    """ME-3, WP-9, WP-10, WP-11, C-3."""
    footer = texts.footer(NEWSLETTER, ACME, language)
    links = ["{{unsubscribe_url}}", "{{preferences_url}}", ACME.privacy_url]
    html = Links(footer.html)
    assert html.links == links
    assert [line for line in footer.text.splitlines() if line in links] == links
    for words in (footer.text, html.words):
        assert "Acme AB" in words
        assert "556677-8899" in words
        assert "Storgatan 1, 111 22 Stockholm, Sweden" in words
        assert NEWSLETTER.title_in(language) in words
    assert all(len(line) < 78 for line in footer.text.splitlines())
    assert not re.search(r"^-- $", footer.text, re.MULTILINE)  # mail programs fold signatures away
    assert all(len(line) < 990 for line in footer.html.splitlines())


def test_the_english_footer_is_plain_ascii(texts):
    assert texts.footer(NEWSLETTER, ACME, "en").text.isascii()
    assert texts.footer(NEWSLETTER, ACME, "en").html.isascii()


def test_what_a_sender_lacks_leaves_no_trace(texts):
    bare = replace(ACME, registration="", privacy_url="")
    footer = texts.footer(NEWSLETTER, bare, "en")
    assert "protected" not in footer.text
    assert len(Links(footer.html).links) == 2
    assert footer.text.endswith("\nAcme AB\nStorgatan 1, 111 22 Stockholm, Sweden")
    assert "\n\n\n" not in footer.text


def test_the_reason_fits_what_the_stream_demands(texts):
    def why(stream):
        words = texts.footer(stream, ACME, "en").text.split("\n\n")[0]
        return " ".join(words.split())

    assert "because you subscribed to it." in why(NEWSLETTER)
    assert "or are a customer." in why(replace(NEWSLETTER, soft_opt_in=True))
    assert "another dealing" in why(replace(NEWSLETTER, requires_explicit=False))
    assert "on the mailing list" in why(replace(NEWSLETTER, observe=True))


def test_what_config_says_is_text_never_markup(texts):
    odd = replace(ACME, legal_name='<b>"A" & Söhne</b>', postal_address="Gata 1,\n 111 22 Ort\n")
    named = replace(NEWSLETTER, title={"": "100 % <i>%(name)s</i>"})
    footer = texts.footer(named, odd, "sv")
    assert "<b>" not in footer.html
    assert "<i>" not in footer.html
    assert '<b>"A" & Söhne</b>' in Links(footer.html).words
    assert "100 % <i>%(name)s</i>" in footer.text
    assert "Gata 1, 111 22 Ort" in footer.text


def test_the_identity_is_one_line(texts):
    identity = texts.identity(replace(ACME, postal_address="Gata 1\n111 22 Ort"), "de")
    assert identity.text == identity.html == "Acme AB, 556677-8899, Gata 1, 111 22 Ort"


@pytest.mark.parametrize(
    ("tag", "language"),
    [("sv", "sv"), ("sv-FI", "sv"), ("SV_fi", "sv"), ("no", "nb"), ("nn-NO", "nb"), ("fr", ""),
     ("", ""), ("s", ""), ("*", "")],
)  # fmt: skip
def test_language_tags(texts, tag, language):
    assert texts.language(tag) == language


def test_a_missing_value_is_an_error_not_a_gap(texts):
    with pytest.raises(UndefinedError):
        texts.render("footer/footer.txt", "en", sender=ACME)


def test_a_folder_of_your_own_wins(tmp_path):
    (tmp_path / "footer").mkdir()
    (tmp_path / "locale").mkdir()
    own = (
        "{{ sender.legal_name }}: {% trans %}Unsubscribe{% endtrans %} {% trans %}Bye{% endtrans %}"
    )
    (tmp_path / "footer" / "identity.txt").write_text(own)
    words = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n'
    words += 'msgid "Unsubscribe"\nmsgstr "Lämna"\nmsgid "Bye"\nmsgstr "Hej då"\n'
    (tmp_path / "locale" / "sv.po").write_text(words)
    texts = Texts(tmp_path)
    assert texts.identity(ACME, "sv").text == "Acme AB: Lämna Hej då"
    assert texts.identity(ACME, "de").text == "Acme AB: Abmelden Bye"
    assert texts.footer(NEWSLETTER, ACME, "sv").html.count("Lämna") == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [("pages/page.html", "{% if %}"), ("locale/sv.po", 'msgid "a"\nmsgstr "b"\nnonsense\n')],
)
def test_a_broken_file_is_named(tmp_path, name, content):
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(content)
    with pytest.raises(TextsError, match=name):
        Texts(tmp_path)
