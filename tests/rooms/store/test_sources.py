"""Sources: versioned texts, attestations, pictures."""

import dataclasses
import itertools
from datetime import UTC, datetime

import pytest

from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.tokens import stream_tag
from gatepost.mail.address import parse
from gatepost.store import people, sources
from gatepost.store.sources import Attestations, SourceError
from gatepost.store.streams import (
    KnownStream,
    remember_streams,
    stream_of_tag,
    streams_of_sender,
)

ALL = Attestations(voluntary=True, informed=True, specific=True, states_withdrawal=True)
TEXT = "I want the newsletter. I can leave at any time."


def write(store, function, *arguments, **named):
    return store.write_now(lambda tx: function(tx, *arguments, **named))


def read(store, function, *arguments, **named):
    return store.read_now(lambda tx: function(tx, *arguments, **named))


@pytest.fixture
def shop(store):
    write(store, sources.add_source, "shop", description="The check-out", url="https://s.example")
    return store


def test_a_source_has_no_text_at_first(shop):
    found = read(shop, sources.find_source, "shop")
    assert (found.description, found.url, found.texts, found.current) == (
        "The check-out", "https://s.example", (), None,
    )  # fmt: skip
    assert read(shop, sources.current_text, "shop") is None
    assert read(shop, sources.text_state, "shop") is TextState.NONE
    assert read(shop, sources.text_state, "nowhere") is TextState.NONE
    assert read(shop, sources.find_source, "nowhere") is None


@pytest.mark.parametrize("name", ["", " shop", "a\nb", "x" * 101])
def test_a_name_is_a_name(store, name):
    with pytest.raises(SourceError, match="characters"):
        write(store, sources.add_source, name)


def test_a_name_is_taken_once(shop):
    with pytest.raises(SourceError, match="already"):
        write(shop, sources.add_source, "shop")


def test_sources_are_listed_by_name(shop):
    write(shop, sources.add_source, "fair", reconstructed=True)
    assert [(one.name, one.reconstructed) for one in read(shop, sources.list_sources)] == [
        ("fair", True),
        ("shop", False),
    ]


def test_the_newest_text_is_the_current_one(shop):
    """REQUIREMENTS JU-28: two people may refer to different versions."""
    assert write(shop, sources.add_text, "shop", TEXT, attestations=ALL) == "1"
    assert write(shop, sources.add_text, "shop", TEXT + " Now.", language="sv") == "2"
    current = read(shop, sources.current_text, "shop")
    assert (current.version, current.language, current.active) == ("2", "sv", True)
    assert read(shop, sources.find_text, "shop", "1").body == TEXT
    assert read(shop, sources.text_state, "shop", "1") is TextState.VALID
    assert read(shop, sources.text_state, "shop") is TextState.INVALID
    assert read(shop, sources.text_state, "shop", "3") is TextState.NONE


def test_adding_the_same_text_again_changes_nothing(shop):
    write(shop, sources.add_text, "shop", TEXT, version="spring")
    assert write(shop, sources.add_text, "shop", f"  {TEXT}\r\n", version="spring") == "spring"
    assert len(read(shop, sources.find_source, "shop").texts) == 1
    with pytest.raises(SourceError, match="another text"):
        write(shop, sources.add_text, "shop", "Something else", version="spring")
    with pytest.raises(SourceError, match="empty"):
        write(shop, sources.add_text, "shop", " \n")


def test_a_derived_label_is_a_free_one(shop):
    write(shop, sources.add_text, "shop", TEXT, version="2")
    assert write(shop, sources.add_text, "shop", TEXT + "!") == "1"
    assert write(shop, sources.add_text, "shop", TEXT + "?") == "3"


@pytest.mark.parametrize(
    "flags", list(itertools.product([False, True], repeat=len(dataclasses.fields(Attestations))))
)
def test_a_text_is_valid_only_with_all_attestations_and_nothing_against_it(flags):
    """REQUIREMENTS JU-2, JU-4, JU-5."""
    names = [spec.name for spec in dataclasses.fields(Attestations)]
    attestations = Attestations(**dict(zip(names, flags, strict=True)))
    valid = flags == (True, True, True, True, False, False, False)
    assert (attestations.state is TextState.VALID) is valid
    assert (attestations.missing == ()) is valid


def use(store, version):
    fact = Fact(
        kind=EventKind.GRANTED,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        sender="acme",
        stream="news",
        basis="form-checkbox",
        source="shop",
        text_version=version,
    )
    write(store, people.record, parse("kim@example.org"), [fact])


def test_a_version_in_use_cannot_be_changed(shop):
    """REQUIREMENTS JU-30."""
    write(shop, sources.add_text, "shop", TEXT)
    write(shop, sources.add_text, "shop", TEXT + "!")
    write(shop, sources.attest, "shop", "1", Attestations(voluntary=True))
    use(shop, "1")
    with pytest.raises(SourceError, match="in use"):
        write(shop, sources.attest, "shop", "1", ALL)
    write(shop, sources.attest, "shop", "1", Attestations(voluntary=True))  # no change, no harm
    write(shop, sources.attest, "shop", "2", ALL)
    assert [text.used for text in read(shop, sources.find_source, "shop").texts] == [True, False]


def test_evidence_may_name_what_no_source_has(shop):
    use(shop, "unheard-of")
    assert read(shop, sources.find_source, "shop").texts == ()


def test_attesting_what_is_not_there_is_an_error(shop):
    with pytest.raises(SourceError, match="no text version"):
        write(shop, sources.attest, "shop", "1", ALL)
    with pytest.raises(SourceError, match="gatepost source add"):
        write(shop, sources.add_text, "nowhere", TEXT)


def test_pictures_are_kept_as_content(shop):
    """REQUIREMENTS JU-25, JU-27."""
    write(shop, sources.add_text, "shop", TEXT)
    content = b"\x89PNG" + bytes(range(256))
    picture = {"name": "form.png", "media_type": "image/png", "content": content}
    digest = write(shop, sources.add_picture, "shop", "1", **picture)
    assert write(shop, sources.add_picture, "shop", "1", **picture) == digest
    (found,) = read(shop, sources.current_text, "shop").pictures
    assert (found.name, found.media_type, found.sha256, found.size) == (
        "form.png", "image/png", digest, 260,
    )  # fmt: skip
    assert read(shop, sources.picture_content, found.id) == content


@pytest.mark.parametrize(
    ("media_type", "content"),
    [("text/html", b"<a>"), ("text/uri-list", b"https://x"), ("image/png", b"")],
)
def test_a_link_is_no_picture(shop, media_type, content):
    write(shop, sources.add_text, "shop", TEXT)
    with pytest.raises(SourceError, match="picture"):
        write(
            shop, sources.add_picture, "shop", "1", name="x", media_type=media_type, content=content
        )
    with pytest.raises(SourceError):
        read(shop, sources.picture_content, 1)


def test_a_retired_stream_is_still_known_by_its_tag(store):
    write(store, remember_streams, [KnownStream("news", "acme"), KnownStream("old", "acme")])
    write(store, remember_streams, [KnownStream("news", "beta")])
    assert read(store, stream_of_tag, stream_tag("news")) == KnownStream("news", "beta")
    assert read(store, stream_of_tag, stream_tag("old")) == KnownStream("old", "acme")
    assert read(store, stream_of_tag, stream_tag("never")) is None
    assert read(store, streams_of_sender, "acme") == ["old"]


def test_two_streams_with_one_tag_are_refused(store, monkeypatch):
    monkeypatch.setattr("gatepost.store.streams.stream_tag", lambda _name: 7)
    with pytest.raises(ValueError, match="same tag"):
        write(store, remember_streams, [KnownStream("a", "acme"), KnownStream("b", "acme")])
