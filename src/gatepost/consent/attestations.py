"""What a controller warrants about a consent text, and what that text then lacks.

A text makes a consent only with everything that the law wants of it warranted: that agreeing
was voluntary, informed and specific and that the text says how to withdraw (JU-2, JU-4), that
it names the company (JU-12); and never when the box was ticked beforehand (JU-9), the purchase
depended on it (JU-5), or it was hidden in terms (JU-10). At a competition it must have been as
prominent as the prize, which a picture has to show (JU-11).

In: attestations, and what was found in the text itself. Out: the words for what is missing,
nothing when the text is valid.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields, replace

COMPETITION = "competition"

# The words of the command line and of texts for people, each an attestation below.
WARRANTED = ("voluntary", "informed", "specific", "states-withdrawal")
EXTRA = ("names-company", "prominent")
SPOILING = ("pre-ticked", "conditional", "in-terms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestations:
    """What the controller warrants about a consent text, and what speaks against it.

    `names_company` is only needed where the text itself does not name the sender, because a
    picture shows the name beside it; `prominent` only for a competition.
    """

    voluntary: bool = False
    informed: bool = False
    specific: bool = False
    states_withdrawal: bool = False
    pre_ticked: bool = False
    conditional: bool = False
    in_terms: bool = False
    names_company: bool = False
    prominent: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """The words of what keeps any text from being valid, whatever it says."""
        return tuple(
            [word for word in WARRANTED if not self.has(word)]
            + [word for word in SPOILING if self.has(word)]
        )

    def has(self, word: str) -> bool:
        """Whether `word`, one of those above, is attested."""
        return bool(getattr(self, _field(word)))

    def also(self, words: Collection[str]) -> "Attestations":
        """With `words` attested, too. Raises `ValueError` for a word that is none."""
        return replace(self, **dict.fromkeys(map(_field, words), True))

    def without(self, words: Collection[str]) -> "Attestations":
        """With `words` taken back. Raises `ValueError` for a word that is none."""
        return replace(self, **dict.fromkeys(map(_field, words), False))


NOTHING_ATTESTED = Attestations()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a check of the text found (`texts.check`).

    `lint` are the codes of errors; `accepted_lint` says why they are none after all.
    """

    names_sender: bool = True
    lint: tuple[str, ...] = ()
    accepted_lint: str = ""


NOTHING_FOUND = Found()


def lacks(attested: Attestations, found: Found, kind: str, pictures: int) -> tuple[str, ...]:
    """What keeps a text of a source of that kind from being valid; nothing if it is.

    `pictures` is how many of them show the text.
    """
    missing = list(attested.missing)
    if not (found.names_sender or attested.names_company):
        missing.append("names-company")
    if kind == COMPETITION and not attested.prominent:
        missing.append("prominent")
    if kind == COMPETITION and not pictures:
        missing.append("picture")
    if not found.accepted_lint:
        missing.extend(found.lint)
    return tuple(missing)


_FIELDS = frozenset(spec.name for spec in fields(Attestations))


def _field(word: str) -> str:
    name = word.replace("-", "_")
    if name not in _FIELDS:
        known = ", ".join((*WARRANTED, *EXTRA, *SPOILING))
        raise ValueError(f"nothing called {word} can be attested: {known}")
    return name
