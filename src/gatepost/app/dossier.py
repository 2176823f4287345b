"""The dossier as people and programs get it: one printable HTML file, or JSON.

In: a transaction and a subject, or a finished `Dossier`. Out: HTML that asks nobody for
anything (its style and its pictures are inside, and its own policy forbids the rest), in one of
the five languages with dates of that language; or values for JSON, in codes.

What came from outside (user agents, notes, file names) is escaped like everything else.

*Fails:* `UnknownSubject`; what the templates raise.
*Known limits:* pictures are shown where a browser shows images; a PDF is offered for saving.
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from babel import Locale
from babel.dates import format_date

from gatepost.app.dates import dates_of
from gatepost.app.wiring import Wiring
from gatepost.consent.dossier import Dossier, Entry, Outlook, Picture, Sent, Use, Wording
from gatepost.consent.evidence import Fact
from gatepost.consent.questions import Answer, Code, answers
from gatepost.flow.decide.policy import Policy
from gatepost.mail.address import Address, AddressError, parse
from gatepost.mail.duration import Duration
from gatepost.store import dossier as gathering
from gatepost.store.engine import Store, Tx
from gatepost.store.recording import UnknownSubject

FALLBACK_LANGUAGE = "en"
_GROUPS = {
    "basis-": "bases", "source-": "sources", "actor-": "actors", "method-": "methods",
}  # fmt: skip


class DossierTexts(Protocol):
    """Templates and translations, as a dossier uses them."""

    def render(self, name: str, language: str, /, **values: object) -> str:
        """The template `name`, filled in."""
        ...

    def language(self, tag: str) -> str:
        """The language that a tag means, "" where there is no translation."""
        ...


class Dossiers:
    """The dossier as the pages show it: for the person behind a link, about one sender."""

    def __init__(self, store: Store, texts: DossierTexts, wiring: Callable[[], Wiring]) -> None:
        self._store, self._texts, self._wiring = store, texts, wiring

    async def __call__(self, subject: int, sender: str, language: str) -> str | None:
        """The page of HTML; `None` where nobody has that id."""
        wiring = self._wiring()
        ask = partial(
            gather,
            of_subject=subject,
            policy=wiring.policy,
            sender=sender,
            kept_for=wiring.settings.retention.evidence,
        )
        try:
            found = await self._store.survey(ask)
        except UnknownSubject:
            return None
        return await asyncio.to_thread(render, found, self._texts, language, wiring.policy)


def gather(
    tx: Tx,
    of_subject: int,
    policy: Policy,
    *,
    address: str = "",
    sender: str = "",
    kept_for: Duration,
) -> Dossier:
    """Everything on record of a person, and what would become of a mail now.

    Raises `UnknownSubject`.
    """
    found = gathering.gather(tx, of_subject, address=address, sender=sender, kept_for=kept_for)
    return replace(found, outlooks=tuple(_outlooks(tx, of_subject, found, policy)))


def render(dossier: Dossier, texts: DossierTexts, language: str, policy: Policy) -> str:
    """The dossier as one HTML document in `language`."""
    language = texts.language(language) or FALLBACK_LANGUAGE
    style = texts.render("dossier/style.css", language)
    places = {(one.source, one.version): n for n, one in enumerate(dossier.wordings, 1)}

    def text_number(wording: Wording) -> int:
        return places[wording.source, wording.version]

    def stream_title(name: str) -> str:
        stream = policy.streams.get(name)
        return stream.title_in(language) if stream else name

    def sender_title(name: str) -> str:
        sender = policy.senders.get(name)
        return sender.legal_name if sender else name

    return texts.render(
        "dossier/dossier.html",
        language,
        dossier=dossier,
        consents=dossier.consents,
        holder=sender_title(dossier.sender),
        style=_Trusted(style),
        policy=_policy(style),
        when=partial(_when, locale=dates_of(language)),
        answers=partial(answers, dossier=dossier),
        word=_word,
        is_code=lambda value: isinstance(value, Code),
        is_time=lambda value: isinstance(value, datetime),
        text_number=text_number,
        stream_title=stream_title,
        sender_title=sender_title,
        data_uri=_data_uri,
    )


def as_json(dossier: Dossier) -> dict[str, Any]:
    """The dossier as values for JSON; times are `datetime`, contents of pictures base64."""
    return {
        "address": dossier.address,
        "subject": dossier.subject,
        "sender": dossier.sender,
        "made_at": dossier.made_at,
        "held": dossier.is_known,
        "known_since": dossier.known_since,
        "erased_at": dossier.erased_at,
        "intact": dossier.is_intact,
        "head": {"block": dossier.head[0], "digest": dossier.head[1]},
        "outlooks": [_plain(one) for one in dossier.outlooks],
        "consents": [
            {
                "event": consent.entry.id,
                "stream": consent.fact.stream,
                "sender": consent.fact.sender,
                "basis": consent.fact.basis,
                "marks": marks,
                "answers": [_answer(one) for one in answers(consent, dossier)],
                "uses": [_plain(use) for use in consent.uses],
                "sent": [_plain(one) for one in consent.sent],
            }
            for consent in dossier.consents
            for marks in [_marks(consent.wording, dossier, consent.fact.source)]
        ],
        "texts": [_text(one) for one in dossier.wordings],
        "sources": [_plain(one) for one in dossier.places],
        "events": [_entry(one) for one in dossier.entries],
        "events_left_out": dossier.left_out,
        "suppressions": [_plain(one) for one in dossier.blocked],
        "other_uses": [_plain(one) for one in dossier.loose_uses],
        "other_mail": [_plain(one) for one in dossier.other_mail],
    }


class _Trusted(str):
    """Markup of our own, which the templates do not escape."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def _policy(style: str) -> str:
    """A content security policy: this style, pictures that are inside, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'none'"


def _outlooks(tx: Tx, of_subject: int, found: Dossier, policy: Policy) -> list[Outlook]:
    try:
        address: Address | None = parse(found.address)
    except AddressError:
        address = None
    outlooks = []
    for name, stream in sorted(policy.streams.items()):
        if not stream.is_bulk or (found.sender and stream.sender != found.sender):
            continue
        person = gathering.person_for(tx, of_subject, name, stream.sender)
        verdict = policy.judge(stream, address or _NOBODY, person, tx.now)
        outlooks.append(
            Outlook(
                stream=name,
                title=stream.title_in(FALLBACK_LANGUAGE),
                disposition=verdict.disposition.value,
                reason=verdict.reason.value,
                since=verdict.since,
            )
        )
    return outlooks


_NOBODY = parse("erased@invalid.invalid")  # an erased person's address is not known any more


def _when(moment: datetime, locale: Locale) -> str:
    """A time as people of that language write it, with the zone it is in."""
    moment = moment.astimezone(UTC)
    return f"{format_date(moment, 'long', locale=locale)}, {moment:%H:%M:%S} UTC"


def _word(code: Code, words: Any) -> str:
    """What a code means; the code itself where there is no word for it."""
    for prefix, group in _GROUPS.items():
        if code.startswith(prefix):
            plain = code.removeprefix(prefix)
            return str(getattr(words, group).get(plain, plain))
    return str(words.types.get(str(code), code))


def _data_uri(picture: Picture) -> str:
    content = base64.b64encode(picture.content).decode("ascii")
    return f"data:{picture.media_type};base64,{content}"


def _marks(wording: Wording | None, dossier: Dossier, source: str) -> list[str]:
    marks = []
    if wording is None:
        marks.append("no-text")
    else:
        marks += ["no-picture"] * (not wording.pictures)
        marks += ["invalid-text"] * (not wording.is_valid)
        marks += ["lint-accepted"] * bool(wording.accepted_lint)
    marks += ["reconstructed"] * any(
        one.reconstructed for one in dossier.places if one.name == source
    )
    return marks


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "question": answer.question,
        "asked_by": answer.asked_by,
        "applies": answer.applies,
        "missing": answer.is_missing,
        "answer": [
            {"what": part.label, "value": part.value} if part.label else {"value": part.value}
            for part in answer.parts
        ],
    }


def _text(wording: Wording) -> dict[str, Any]:
    return {
        **_plain(wording, but=("attested", "pictures")),
        "attested": dict(wording.attested),
        "pictures": [
            {
                **_plain(picture, but=("content",)),
                "content": base64.b64encode(picture.content).decode("ascii"),
            }
            for picture in wording.pictures
        ],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    said = _said(entry.fact) if entry.fact else {"erased": True}
    return {
        "id": entry.id,
        "kind": entry.kind.value,
        "recorded_at": entry.recorded_at,
        "block": entry.block,
        "seal": entry.seal.value,
        **said,
    }


def _said(fact: Fact) -> Mapping[str, Any]:
    """What a fact says, without what it leaves open."""
    values = {spec.name: getattr(fact, spec.name) for spec in fields(Fact) if spec.name != "kind"}
    return {name: value for name, value in values.items() if value not in ("", (), None, False)}


def _plain(one: Use | Sent | Any, but: tuple[str, ...] = ()) -> dict[str, Any]:
    return {spec.name: getattr(one, spec.name) for spec in fields(one) if spec.name not in but}
