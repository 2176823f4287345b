"""What an authority, a complaint or the person asks about a consent, and what the record says.

One table, `QUESTIONS`: a question's name, the requirements that ask it, and the function that
answers it from a `Consent` and the `Dossier` around it. Out: `Answer`, made of parts. A part's
value is `None` where nothing is recorded, a `Code` where words are translated, and otherwise
what was recorded: text, a time, a number, yes or no.

The questions are those of complaint procedures (when and how the address was collected, on which
page, from which IP, by single or double opt-in, under which terms), of those who must prove
a consent (time, circumstances, what was shown), and of whoever has to judge a customer relation.

*Fails:* never.
*Known limits:* whether a lottery or a questionnaire stood behind a source is known only as far
as the source's owner, kind and basis say it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from gatepost.consent.bases import BUILT_IN, Strength
from gatepost.consent.dossier import Consent, Dossier, Entry
from gatepost.consent.evidence import EventKind

_STRENGTHS = {row.name: row.strength for row in BUILT_IN}
_BOUGHT = frozenset({"customer", "purchase", "contract"})
_RELATIONS = _BOUGHT | {"donation", "volunteering", "membership", "merger"}
_OFFLINE = frozenset({"paper-form", "written", "business-card", "badge-scan", "in-person"})
_THIRD_PARTIES = frozenset({
    "purchased-list", "rented-list", "borrowed-list", "third-party-list", "member-list",
    "former-company", "other-brand-form", "lead-vendor", "enrichment", "organiser-list",
    "employer-list",
})  # fmt: skip


class Code(str):
    """A word of ours, which is translated; any other `str` is what somebody wrote."""

    __slots__ = ()


Value = Code | str | datetime | bool | int | tuple[str, ...] | None


class Part(NamedTuple):
    """One line of an answer; `label` names what it is, "" where the question says it."""

    value: Value
    label: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A question and what is on record; no parts at all mean that it does not apply."""

    question: str
    asked_by: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def applies(self) -> bool:
        """Whether the question makes sense for this consent."""
        return bool(self.parts)

    @property
    def is_missing(self) -> bool:
        """Whether nothing of what is asked is on record."""
        return self.applies and all(part.value in (None, "", ()) for part in self.parts)


def answers(consent: Consent, dossier: Dossier) -> tuple[Answer, ...]:
    """Every question about `consent`, answered."""
    return tuple(
        Answer(name, asked_by, tuple(answer(consent, dossier)))
        for name, asked_by, answer in QUESTIONS
    )


def _when(consent: Consent, _: Dossier) -> Sequence[Part]:
    return (
        Part(consent.fact.at, "act"),
        Part(consent.entry.recorded_at, "recorded"),
    )


def _how(consent: Consent, _: Dossier) -> Sequence[Part]:
    fact, place = consent.fact, consent.place
    parts = [
        Part(_code("source-", place.kind) if place else None, "source-kind"),
        Part(fact.source or None, "source"),
        Part((place.description if place else "") or None, "description"),
        Part(_code("actor-", fact.actor), "actor"),
        Part(_code("method-", fact.method), "method"),
    ]
    if place and place.reconstructed:
        parts += [
            Part(place.attested_by or None, "reconstructed-by"),
            Part(place.attested_why or None, "reconstructed-why"),
        ]
    return parts


def _act(consent: Consent, _: Dossier) -> Sequence[Part]:
    fact = consent.fact
    basis = fact.basis or (fact.kind.value if fact.kind is not EventKind.GRANTED else "")
    parts = [Part(_code("basis-", basis))]
    if fact.explanation:
        parts.append(Part(fact.explanation, "explanation"))
    return parts


def _third_party(consent: Consent, _: Dossier) -> Sequence[Part]:
    fact, place = consent.fact, consent.place
    if fact.basis in _THIRD_PARTIES:
        return (Part(True), Part(_code("basis-", fact.basis), "basis"))
    if place is None or not place.sender or place.kind in ("", "import"):
        return (Part(None),)
    if place.sender != fact.sender:
        return (Part(True), Part(place.sender, "sender"))
    return (Part(False), Part(Code("own-source")))


def _newsletter(consent: Consent, _: Dossier) -> Sequence[Part]:
    fact = consent.fact
    if fact.kind in (EventKind.REQUESTED, EventKind.RESUBSCRIBED) and not fact.basis:
        return (Part(True),)
    return (Part(_STRENGTHS.get(fact.basis) is Strength.EXPLICIT),)


def _customer(consent: Consent, dossier: Dossier) -> Sequence[Part]:
    relations = [
        one.fact
        for one in dossier.consents
        if one.fact.basis in _RELATIONS and one.fact.sender == consent.fact.sender
    ]
    if not relations:
        return (Part(None),)
    return tuple(
        part
        for fact in relations
        for part in (Part(_code("basis-", fact.basis), "relation"), Part(fact.at, "act"))
    )


def _page(consent: Consent, _: Dossier) -> Sequence[Part]:
    if _is_offline(consent):
        return ()
    given = consent.fact.url
    of_source = consent.place.url if consent.place else ""
    parts = [Part(given or None, "page-of-act")]
    if of_source:
        parts.append(Part(of_source, "page-of-source"))
    return parts


def _ip(consent: Consent, _: Dossier) -> Sequence[Part]:
    if _is_offline(consent):
        return ()
    return (
        Part(consent.fact.ip or None, "ip"),
        Part(consent.fact.user_agent or None, "user-agent"),
    )


def _type(consent: Consent, _: Dossier) -> Sequence[Part]:
    if _STRENGTHS.get(consent.fact.basis, Strength.EXPLICIT) is not Strength.EXPLICIT:
        return ()
    if consent.confirmed_at is not None:
        return (Part(Code("double-opt-in")),)
    if consent.fact.kind is EventKind.REQUESTED:
        return (Part(Code("double-opt-in-open")),)
    return (Part(Code("single-opt-in")),)


def _confirmed(consent: Consent, _: Dossier) -> Sequence[Part]:
    if consent.confirmed_at is None:
        return (Part(None),) if consent.fact.kind is EventKind.REQUESTED else ()
    if not consent.confirmations:
        return (
            Part(consent.confirmed_at),
            Part(None, "ip"),
            Part(None, "user-agent"),
        )
    return tuple(part for one in consent.confirmations for part in _confirmation(one))


def _confirmation(entry: Entry) -> Sequence[Part]:
    fact = entry.fact
    if fact is None:
        return ()
    return (
        Part(fact.at),
        Part(fact.ip or None, "ip"),
        Part(fact.user_agent or None, "user-agent"),
    )


def _form(consent: Consent, _: Dossier) -> Sequence[Part]:
    fact = consent.fact
    if _STRENGTHS.get(fact.basis) is not Strength.EXPLICIT and fact.basis not in ("", "form"):
        return (Part(False),)
    if not fact.source:
        return (Part(None),)
    return (Part(True), Part(fact.source, "source"), Part(consent.entry.id, "event"))


def _terms(consent: Consent, _: Dossier) -> Sequence[Part]:
    wording = consent.wording
    if wording is None:
        return (Part(None),)
    return (
        Part(wording.body),
        Part(wording.version, "text-version"),
        Part(wording.language, "language"),
        Part(wording.sha256, "sha256"),
    )


def _picture(consent: Consent, _: Dossier) -> Sequence[Part]:
    if consent.wording is None or not consent.wording.pictures:
        return (Part(None),)
    return tuple(Part(picture.name, "picture") for picture in consent.wording.pictures)


def _attested(consent: Consent, _: Dossier) -> Sequence[Part]:
    if consent.wording is None:
        return (Part(None),)
    parts = [Part(said, f"attested-{name}") for name, said in consent.wording.attested]
    if consent.wording.accepted_lint:
        parts.append(Part(consent.wording.accepted_lint, "accepted-lint"))
    return parts


def _scope(consent: Consent, _: Dossier) -> Sequence[Part]:
    fact, place = consent.fact, consent.place
    categories = fact.categories or (place.categories if place else ())
    return (
        Part(fact.sender or None, "sender"),
        Part(fact.stream or None, "stream"),
        Part((place.channel if place else "") or None, "channel"),
        Part(categories or Code("all-categories"), "categories"),
    )


def _relation(consent: Consent, _: Dossier) -> Sequence[Part]:
    fact = consent.fact
    if fact.basis not in _RELATIONS:
        return ()
    bought = fact.bought or fact.basis == "purchase"
    return (
        Part(_code("basis-", fact.basis), "relation"),
        Part(bought or None, "bought"),
        Part(fact.informed or None, "informed"),
        Part(fact.could_decline or None, "could-decline"),
    )


def _welcome(consent: Consent, _: Dossier) -> Sequence[Part]:
    if consent.welcomes:
        return tuple(Part(one.fact.at) for one in consent.welcomes if one.fact)
    return (Part(None),) if consent.fact.welcome_due else ()


def _withdrawn(consent: Consent, _: Dossier) -> Sequence[Part]:
    facts = [one.fact for one in consent.withdrawals if one.fact]
    if not facts:
        return (Part(False),)
    return tuple(
        part
        for fact in facts
        for part in (Part(fact.at, "act"), Part(_code("method-", fact.method), "method"))
    )


def _used(consent: Consent, _: Dossier) -> Sequence[Part]:
    if not consent.uses:
        return (Part(Code("never-used")),)
    return (
        Part(sum(use.copies for use in consent.uses), "copies"),
        Part(min(use.first for use in consent.uses), "first-mail"),
        Part(max(use.last for use in consent.uses), "last-mail"),
    )


def _kept_until(consent: Consent, dossier: Dossier) -> Sequence[Part]:
    moments = [consent.fact.at, consent.confirmed_at]
    moments += [one.fact.at for one in (*consent.withdrawals, *consent.returns) if one.fact]
    moments += [use.last for use in consent.uses]
    return (Part(dossier.kept_for.after(max(one for one in moments if one))),)


def _is_offline(consent: Consent) -> bool:
    if consent.fact.url or consent.fact.ip:
        return False
    kind = consent.place.kind if consent.place else ""
    return consent.fact.basis in _OFFLINE or kind in ("paper", "event")


def _code(group: str, word: str) -> Code | None:
    return Code(group + word) if word else None


Answering = Callable[[Consent, Dossier], Sequence[Part]]

# In the order in which they are asked; beside each, the requirements that ask it.
QUESTIONS: tuple[tuple[str, tuple[str, ...], Answering], ...] = (
    ("when", ("WP-6", "JU-21"), _when),
    ("how", ("WP-6", "JU-21"), _how),
    ("act", ("WP-5", "HS-4"), _act),
    ("third-party", ("WP-6",), _third_party),
    ("newsletter", ("WP-6",), _newsletter),
    ("customer", ("WP-6",), _customer),
    ("page", ("WP-7",), _page),
    ("ip", ("WP-7",), _ip),
    ("type", ("WP-7", "C-4"), _type),
    ("confirmed", ("WP-7", "JU-17"), _confirmed),
    ("form", ("WP-7",), _form),
    ("terms", ("WP-7", "JU-21", "JU-28"), _terms),
    ("picture", ("JU-25", "JU-27"), _picture),
    ("attested", ("JU-2", "JU-4", "C-1"), _attested),
    ("scope", ("JU-12", "JU-13", "JU-14"), _scope),
    ("relation", ("WP-8",), _relation),
    ("welcome", ("JU-18",), _welcome),
    ("withdrawn", ("HR-1", "JU-29"), _withdrawn),
    ("used", ("JU-23",), _used),
    ("kept-until", ("JU-23", "JU-24"), _kept_until),
)
