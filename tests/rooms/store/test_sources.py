"""Sources: versioned texts, attestations, pictures."""

import itertools
from datetime import UTC, datetime

import pytest

from gatepost.consent.attestations import SPOILING, WARRANTED, lacks
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.tokens import stream_tag
from gatepost.mail.address import parse
from gatepost.store import people, sources
from gatepost.store.sources import Attestations, Found, SourceError, Stage
from gatepost.store.streams import (
    KnownStream,
    changed_hands,
    remember_streams,
    stream_of_tag,
    streams_of_sender,
)

ALL = Attestations(voluntary=True, informed=True, specific=True, states_withdrawal=True)
TEXT = "I want the newsletter. I can leave at any time."
RECONSTRUCTED = {
    "reconstructed": True,
    "attested_by": "B. Berg",
    "attested_why": "the old form is on paper",
}


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
    write(shop, sources.add_source, "fair", **RECONSTRUCTED)
    assert [(one.name, one.reconstructed) for one in read(shop, sources.list_sources)] == [
        ("fair", True),
        ("shop", False),
    ]
    fair = read(shop, sources.find_source, "fair")
    assert (fair.attested_by, fair.attested_why) == ("B. Berg", "the old form is on paper")
    assert fair.marks == ("no text", "reconstructed")


@pytest.mark.parametrize("left_out", ["attested_by", "attested_why"])
def test_somebody_vouches_for_what_was_reconstructed(store, left_out):
    with pytest.raises(SourceError, match="who put"):
        write(store, sources.add_source, "old", **RECONSTRUCTED | {left_out: " "})


def test_a_source_says_what_it_collects_for(store):
    """REQUIREMENTS JU-13, JU-14."""
    write(store, sources.add_source, "sms", channels=("sms", "push"), categories=("shoes", "hats"))
    found = read(store, sources.find_source, "sms")
    assert (found.channel, found.channels) == ("sms,push", ("sms", "push"))
    assert found.categories == ("shoes", "hats")
    origin = sources.as_origin(found)
    assert (origin.channels, origin.categories) == ("sms,push", ("shoes", "hats"))
    assert "not for e-mail" in found.marks
    write(store, sources.add_source, "both", channels=("e-mail", "sms"))
    assert sources.as_origin(read(store, sources.find_source, "both")).channels == ""
    for channels in ((), ("pigeon",)):
        with pytest.raises(SourceError, match="channels"):
            write(store, sources.add_source, "x", channels=channels)


def test_a_version_succeeds_another_which_stays_valid(shop):
    """REQUIREMENTS JU-28: two people may refer to different versions."""
    assert write(shop, sources.add_text, "shop", TEXT, attestations=ALL) == "1"
    assert write(shop, sources.add_text, "shop", TEXT + " Now.", language="sv",
                 attestations=ALL) == "2"  # fmt: skip
    current = read(shop, sources.current_text, "shop")
    assert (current.version, current.language, current.active) == ("2", "sv", True)
    first = read(shop, sources.find_text, "shop", "1")
    assert (first.body, first.stage, first.state) == (TEXT, Stage.SUCCEEDED, TextState.VALID)
    assert read(shop, sources.text_state, "shop") is TextState.VALID
    assert read(shop, sources.text_state, "shop", "3") is TextState.NONE
    write(shop, sources.activate, "shop", "1")  # the old form is back
    assert read(shop, sources.current_text, "shop").version == "1"


def test_a_version_without_its_attestations_is_a_draft(shop):
    """REQUIREMENTS JU-2, JU-4."""
    write(shop, sources.add_text, "shop", TEXT, attestations=Attestations(voluntary=True))
    found = read(shop, sources.find_source, "shop")
    assert found.current is None
    assert (found.referred.version, found.referred.stage) == ("1", Stage.DRAFT)
    assert found.referred.lacks == ("informed", "specific", "states-withdrawal")
    assert read(shop, sources.current_text, "shop") is None
    assert read(shop, sources.text_state, "shop") is TextState.INVALID
    assert sources.as_origin(found).current == "1"
    with pytest.raises(SourceError, match="informed, specific, states-withdrawal"):
        write(shop, sources.activate, "shop", "1")
    write(shop, sources.attest, "shop", "1", ALL)
    assert read(shop, sources.text_state, "shop") is TextState.INVALID  # not put to use yet
    write(shop, sources.activate, "shop", "1")
    assert read(shop, sources.text_state, "shop") is TextState.VALID


def test_a_draft_leaves_the_version_in_use_alone(shop):
    write(shop, sources.add_text, "shop", TEXT, attestations=ALL)
    write(shop, sources.add_text, "shop", TEXT + "!")
    found = read(shop, sources.find_source, "shop")
    assert (found.current.version, found.referred.version) == ("1", "1")
    assert read(shop, sources.text_state, "shop", "2") is TextState.INVALID


def test_an_attestation_taken_back_makes_a_draft_again(shop):
    write(shop, sources.add_text, "shop", TEXT, attestations=ALL)
    write(shop, sources.attest, "shop", "1", ALL.also(["pre-ticked"]))
    assert read(shop, sources.find_text, "shop", "1").stage is Stage.DRAFT
    assert read(shop, sources.current_text, "shop") is None


def test_a_draft_that_consents_refer_to_is_succeeded(shop):
    """REQUIREMENTS JU-30: what did not count is not made to count behind people's backs."""
    write(shop, sources.add_text, "shop", TEXT)
    use(shop, "1")
    with pytest.raises(SourceError, match="in use"):
        write(shop, sources.attest, "shop", "1", ALL)
    write(shop, sources.add_text, "shop", TEXT, attestations=ALL, version="again")
    assert read(shop, sources.current_text, "shop").version == "again"


@pytest.mark.parametrize(
    ("found", "lacks"),
    [
        (Found(names_sender=False), ("names-company",)),
        (Found(lint=("promises-free",)), ("promises-free",)),
        (Found(lint=("promises-free",), accepted_lint="it is about leaving"), ()),
        (Found(), ()),
    ],
)
def test_what_the_words_lack_keeps_a_text_from_being_used(shop, found, lacks):
    write(shop, sources.add_text, "shop", TEXT, attestations=ALL, found=found)
    text = read(shop, sources.find_text, "shop", "1")
    assert (text.lacks, text.active) == (lacks, not lacks)
    assert text.found == found


def test_a_picture_may_show_the_name_that_the_text_does_not_say(shop):
    """REQUIREMENTS JU-12."""
    attested = ALL.also(["names-company"])
    write(
        shop, sources.add_text, "shop", TEXT, attestations=attested, found=Found(names_sender=False)
    )
    assert read(shop, sources.current_text, "shop").state is TextState.VALID


def test_a_competition_needs_prominence_and_a_picture(store):
    """REQUIREMENTS JU-11."""
    write(store, sources.add_source, "prize", kind="competition")
    write(store, sources.add_text, "prize", TEXT, attestations=ALL)
    assert read(store, sources.find_text, "prize", "1").lacks == ("prominent", "picture")
    write(store, sources.attest, "prize", "1", ALL.also(["prominent"]))
    write(store, sources.add_picture, "prize", "1", name="p", media_type="image/png", content=b"p")
    write(store, sources.activate, "prize", "1")
    assert read(store, sources.text_state, "prize") is TextState.VALID


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


@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=7)))
def test_a_text_lacks_nothing_only_with_all_attestations_and_nothing_against_it(flags):
    """REQUIREMENTS JU-2, JU-4, JU-5, JU-9, JU-10."""
    words = (*WARRANTED, *SPOILING)
    attested = Attestations().also([word for word, on in zip(words, flags, strict=True) if on])
    valid = flags == (True, True, True, True, False, False, False)
    assert (lacks(attested, Found(), "form", 0) == ()) is valid


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
    with pytest.raises(SourceError, match="lacks"):
        write(shop, sources.activate, "shop", "1")
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
    (found,) = read(shop, sources.find_text, "shop", "1").pictures
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
    assert read(
        store, changed_hands, [KnownStream("news", "beta"), KnownStream("new", "beta")]
    ) == [KnownStream("news", "acme")]
    write(store, remember_streams, [KnownStream("news", "beta")])
    assert read(store, changed_hands, [KnownStream("news", "beta")]) == []
    assert read(store, stream_of_tag, stream_tag("news")) == KnownStream("news", "beta")
    assert read(store, stream_of_tag, stream_tag("old")) == KnownStream("old", "acme")
    assert read(store, stream_of_tag, stream_tag("never")) is None
    assert read(store, streams_of_sender, "acme") == ["old"]


def test_two_streams_with_one_tag_are_refused(store, monkeypatch):
    monkeypatch.setattr("gatepost.store.streams.stream_tag", lambda _name: 7)
    with pytest.raises(ValueError, match="same tag"):
        write(store, remember_streams, [KnownStream("a", "acme"), KnownStream("b", "acme")])
