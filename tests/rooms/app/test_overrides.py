"""Templates of one's own: they win, and what is wrong with them is said at once."""

import pytest

from gatepost.app.texts import Texts
from gatepost.app.trouble import TextsError

PAGE = '{% extends "pages/page.html" %}{% block title %}T{% endblock %}{% block main %}'


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_file_of_one_s_own_wins(tmp_path):
    write(tmp_path, "pages/unsubscribed.txt", "Bye from {{ name }}, {{ title }}")
    texts = Texts(tmp_path)
    assert texts.render("pages/unsubscribed.txt", "sv", name="A", title="B") == "Bye from A, B"


def test_a_sentence_of_one_s_own_is_translated(tmp_path):
    write(tmp_path, "pages/unsubscribed.txt", "{% trans %}Farewell{% endtrans %}")
    write(tmp_path, "locale/sv.po", 'msgid "Farewell"\nmsgstr "Adjö"\n')
    texts = Texts(tmp_path)
    assert texts.render("pages/unsubscribed.txt", "sv") == "Adjö"
    assert texts.render("pages/unsubscribed.txt", "de") == "Farewell"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("pages/unsubscribe.html", PAGE + "{{ tittle }}{% endblock %}", "tittle is not known"),
        ("pages/unsubscribe.html", PAGE + "{% if %}{% endblock %}", "unsubscribe.html"),
        ("pages/page.html", "{{ secret }}", "secret is not known"),
        ("mail/manage-link.txt", "{{ address }}", "address is not known"),
        ("other/thing.html", "hello", "no file in it has the name"),
        ("pages/style.css", "{{ colour }}", "colour is not known"),
    ],
)
def test_what_is_wrong_is_said_with_its_file(tmp_path, name, text, said):
    write(tmp_path, name, text)
    with pytest.raises(TextsError, match=said):
        Texts(tmp_path)


def test_what_a_page_knows_may_be_used(tmp_path):
    inside = "{{ title }} {{ name }} {{ sender.legal_name }} {{ root }} {{ preferences_path }}"
    write(tmp_path, "pages/unsubscribe.html", PAGE + inside + "{% endblock %}")
    Texts(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(TextsError, match="no such folder"):
        Texts(tmp_path / "absent")


def test_a_reload_that_fails_leaves_the_old_ones(tmp_path):
    write(tmp_path, "pages/unsubscribed.txt", "one")
    texts = Texts(tmp_path)
    write(tmp_path, "pages/unsubscribed.txt", "{{ nobody_knows }}")
    with pytest.raises(TextsError, match="nobody_knows"):
        texts.load(tmp_path)
    assert texts.render("pages/unsubscribed.txt", "en") == "one"
    write(tmp_path, "pages/unsubscribed.txt", "two")
    texts.load(tmp_path)
    assert texts.render("pages/unsubscribed.txt", "en") == "two"
