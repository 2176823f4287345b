"""What is attested of a text, and what it lacks."""

import pytest

from gatepost.consent.attestations import (
    COMPETITION,
    EXTRA,
    SPOILING,
    WARRANTED,
    Attestations,
    Found,
    lacks,
)

ALL = Attestations().also(WARRANTED)


@pytest.mark.parametrize("word", [*WARRANTED, *EXTRA, *SPOILING])
def test_a_word_is_attested_and_taken_back(word):
    attested = Attestations().also([word])
    assert attested.has(word)
    assert attested.without([word]) == Attestations()


def test_what_is_none_of_the_words():
    for change in (ALL.also, ALL.without):
        with pytest.raises(ValueError, match="nothing called beautiful"):
            change(["beautiful"])


@pytest.mark.parametrize("word", WARRANTED)
def test_every_attestation_is_needed(word):  # JU-2, JU-4
    assert lacks(ALL.without([word]), Found(), "form", 1) == (word,)


@pytest.mark.parametrize("word", SPOILING)
def test_what_spoils_a_text(word):  # JU-5, JU-9, JU-10
    assert lacks(ALL.also([word]), Found(), "form", 1) == (word,)


@pytest.mark.parametrize(
    ("words", "found", "kind", "pictures", "expected"),
    [
        ((), Found(), "form", 0, ()),
        ((), Found(names_sender=False), "form", 0, ("names-company",)),
        (("names-company",), Found(names_sender=False), "form", 0, ()),
        ((), Found(), COMPETITION, 0, ("prominent", "picture")),
        (("prominent",), Found(), COMPETITION, 1, ()),
        ((), Found(lint=("a", "b")), "form", 0, ("a", "b")),
        ((), Found(lint=("a", "b"), accepted_lint="why"), "form", 0, ()),
        ((), Found(names_sender=False, accepted_lint="why"), "form", 0, ("names-company",)),
    ],
)
def test_what_else_a_text_lacks(words, found, kind, pictures, expected):  # JU-6, JU-11, JU-12
    assert lacks(ALL.also(words), found, kind, pictures) == expected
