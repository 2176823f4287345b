"""A text that comes again is edited as it was the first time, wherever it stands."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings

from gatepost.flow.edit import alike
from gatepost.flow.edit.alike import Alike
from gatepost.flow.edit.leaf import edit_anew, edit_leaf
from gatepost.flow.edit.leaves import body_leaves
from gatepost.flow.edit.planning import _slot_sizes
from gatepost.mail.message import normalize, scan
from support.mime_trees import HOSTILE, messages
from support.treatments import BULK, HEAD, POLISH

slow = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe same words.\r\n"


def edits(raw, bulk, edit):
    message = scan(raw)
    return [edit(message, leaf, bulk, _slot_sizes(bulk)) for leaf in body_leaves(message)]


@slow
@given(raw=messages() | HOSTILE.map(normalize))
def test_what_is_kept_is_what_would_be_made(raw):
    for octets in (raw, b"X-Count: 1\r\n" + raw, raw):
        assert edits(octets, BULK, edit_leaf) == edits(octets, BULK, edit_anew)


def test_another_treatment_is_another_edit():
    other = replace(BULK, footer=POLISH)
    first, second = (edits(HEAD + TEXT, bulk, edit_leaf) for bulk in (BULK, other))
    assert first == edits(HEAD + TEXT, BULK, edit_anew)
    assert second == edits(HEAD + TEXT, other, edit_anew)
    assert first != second


def test_the_same_octets_under_another_header_are_another_text():
    flowed = TEXT.replace(b"utf-8", b"utf-8; format=flowed")
    html = TEXT.replace(b"text/plain", b"text/html")
    for octets in (TEXT, flowed, html):
        assert edits(HEAD + octets, BULK, edit_leaf) == edits(HEAD + octets, BULK, edit_anew)


def test_only_so_many_texts_are_kept_the_last_ones_asked_for(monkeypatch):
    monkeypatch.setattr(alike, "MOST_TEXTS", 2)
    known = Alike()
    for key in "abc":
        known.keep(key, key)
    assert known.find("a") == "a"  # asked for, and so it stays
    for key in "de":
        known.keep(key, key)
    assert [known.find(key) for key in "ab"] == ["a", None]
