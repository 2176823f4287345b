"""`/subscribe/{source}`: the hosted sign-up and re-subscribe form of a source (HR-6, HR-7).

Shown are exactly the streams of the source, none ticked (JU-9), and the consent text as it is on
record. The version that was shown is the one that is recorded, also where a newer one became
active meanwhile: the form token says which it was. Looking changes nothing; the POST records
the streams that are ticked, and nothing about the others.

Programs are kept out without puzzles: by a field that nobody sees, by the time between showing
and sending, by a rate per network. Whoever is asked again loses nothing of what was typed. The
answer is the same for every address, known or not.

In: ASGI requests. Out: pages. *Fails:* `StoreUnavailable`.
*Known limits:* a form on another website cannot post here; it links to this page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import quote

from gatepost import maillog
from gatepost.consent.evidence import TextState
from gatepost.consent.scope import MAIL
from gatepost.consent.tokens import Claim, Purpose, stream_tag
from gatepost.mail.address import Address, AddressError, parse
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream
from gatepost.store.sources import SourceRecord, TextRecord, as_origin, find_source
from gatepost.store.transaction import Tx
from gatepost.web import body, counters, visits, words
from gatepost.web.answer import Answer
from gatepost.web.body import Receive
from gatepost.web.joining import Joiner, Wanted
from gatepost.web.limits import FORMS_PER_NETWORK, network_of
from gatepost.web.page import Pages
from gatepost.web.site import Site
from gatepost.web.visitor import Scope, Visitor, visitor

PREFIX = "/subscribe/"
KIND = "form"
METHOD = "form"
TRAP = "homepage"  # nobody sees the field, so a person leaves it empty
QUICKEST = timedelta(seconds=2)
OLDEST = timedelta(days=1)
MOST_OF_AN_ADDRESS = 320
_FIELDS = ("form", "streams", "address", TRAP)


@dataclass(frozen=True, slots=True)
class Form:
    """A source that can be signed up at: whose, for what, and its text in force."""

    source: SourceRecord
    sender: Sender
    streams: Sequence[Stream]
    text: TextRecord


@dataclass(frozen=True, slots=True)
class Filled:
    """What was typed. `wrong` says by field what is wrong with it."""

    address: str = ""
    ticked: frozenset[str] = frozenset()
    token: str = ""
    trap: str = ""
    wrong: Mapping[str, str] | None = None


class SignUpForm:
    """Answers both methods. Without `Site.letters` there is no form."""

    def __init__(self, site: Site, pages: Pages) -> None:
        self._site = site
        self._pages = pages

    async def show(self, scope: Scope) -> Answer:
        """The empty form. Raises `StoreUnavailable`."""
        visits.count("subscribe", scope)
        form = await self._form(scope)
        if form is None:
            return self._closed(scope)
        return self._page(scope, form, Filled())

    async def send(self, scope: Scope, receive: Receive) -> Answer:
        """Records what was filled in, or asks again. Raises `StoreUnavailable`."""
        form = await self._form(scope)
        sent = await body.read(receive)
        if form is None:
            return self._closed(scope)
        filled = _filled(sent.form() or {})
        address = _address(filled.address)
        streams = [one for one in form.streams if one.name in filled.ticked]
        shown, wrong = self._check(form, filled)
        wrong |= _mistakes(address, streams)
        if len(wrong) > 1 and wrong.get("form") == "quick":
            del wrong["form"]  # there is something to correct, which takes its time
        who = visitor(scope, self._site.trusted_proxies())
        if not wrong and not self._pages.limits.allows(FORMS_PER_NETWORK, network_of(who.ip)):
            counters.TURNED_AWAY.labels(FORMS_PER_NETWORK.name).inc()
            wrong = {"form": "many"}
        if wrong or address is None or shown is None:
            counters.SIGN_UPS.labels("asked again").inc()
            return self._page(scope, form, replace(filled, wrong=wrong))
        await self._record(address, self._wanted(scope, form, streams, shown, who))
        return self._done(scope, form, streams, address)

    def _wanted(
        self, scope: Scope, form: Form, streams: Sequence[Stream], shown: TextRecord, who: Visitor
    ) -> Wanted:
        origin = as_origin(form.source)
        return Wanted(
            sender=form.sender,
            streams=streams,
            language=self._language(scope, form),
            visitor=who,
            method=METHOD,
            text_state=shown.state,
            source=form.source.name,
            text_version=shown.version,
            channels=origin.channels,
            categories=origin.categories,
            url=f"{form.sender.public_url}{PREFIX}{quote(form.source.name, safe='')}",
        )

    async def _record(self, address: Address, wanted: Wanted) -> None:
        assert self._site.letters is not None  # noqa: S101  `_form` has looked
        joiner = Joiner(self._site.letters, self._site.ring, self._site.confirming)
        done = await self._site.store.write(lambda tx: joiner.join(tx, address, wanted))
        counters.SIGN_UPS.labels("taken").inc()
        maillog.signed_up(
            address.key,
            source=wanted.source,
            sender=wanted.sender.name,
            asked=[one.name for one in done.asked],
            joined=[one.name for one in done.joined],
        )

    def _check(self, form: Form, filled: Filled) -> tuple[TextRecord | None, dict[str, str]]:
        """The text that was shown, and what speaks against a person having sent the form."""
        if filled.trap:
            return None, {TRAP: "trap"}
        claim = self._site.ring().open(Purpose.FORM, filled.token)
        now = self._site.store.now()
        if claim is None:
            return None, {"form": "old"}
        shown = next((one for one in form.source.texts if tag_of(one) == claim.stream), None)
        age = now - datetime.fromtimestamp(claim.subject, now.tzinfo)
        if shown is None or shown.state is not TextState.VALID or age > OLDEST:
            return None, {"form": "old"}
        return shown, {"form": "quick"} if age < QUICKEST else {}

    async def _form(self, scope: Scope) -> Form | None:
        name = scope["path"][len(PREFIX) :].rstrip("/")
        if self._site.letters is None or not 0 < len(name) <= 100:
            return None
        source = await self._site.store.read(lambda tx: _open_source(tx, name))
        if source is None:
            return None
        sender = self._site.senders().get(source.sender)
        streams = [
            one
            for one in self._site.streams().values()
            if one.is_bulk
            and one.sender == source.sender
            and (not source.streams or one.name in source.streams)
        ]
        texts = [one for one in source.texts if one.active and one.state is TextState.VALID]
        if sender is None or not streams or not texts:
            return None
        language = self._pages.language(scope, streams[0])
        text = next((one for one in reversed(texts) if one.language == language), texts[-1])
        return Form(source, sender, streams, text)

    def _language(self, scope: Scope, form: Form) -> str:
        return self._pages.language(scope, form.streams[0])

    def _page(self, scope: Scope, form: Form, filled: Filled) -> Answer:
        """The form, with what was typed; the boxes only while the text is still the same."""
        wrong = filled.wrong or {}
        claim = self._site.ring().open(Purpose.FORM, filled.token)
        text = form.text
        if claim is not None and wrong.get("form") != "old":
            text = next((one for one in form.source.texts if tag_of(one) == claim.stream), text)
            token = filled.token
        else:
            now = int(self._site.store.now().timestamp())
            token = self._site.ring().seal(Purpose.FORM, Claim(now, tag_of(text), 0))
        same = not filled.token or (claim is not None and claim.stream == tag_of(text))
        language = self._language(scope, form)
        return self._pages.page(
            "subscribe",
            scope,
            language,
            sender=form.sender,
            status=_status(wrong),
            values={
                "name": form.sender.legal_name,
                "streams": [
                    {
                        "name": one.name,
                        "title": words.title(one, language),
                        "description": words.description(one, language),
                        "ticked": same and one.name in filled.ticked,
                    }
                    for one in form.streams
                ],
                "text": text,
                "address": filled.address,
                "token": token,
                "trap": TRAP,
                "wrong": {**dict.fromkeys(_FIELDS, ""), **wrong},
                "anything": bool(wrong),
            },
        )

    def _done(
        self, scope: Scope, form: Form, streams: Sequence[Stream], address: Address
    ) -> Answer:
        """What happens next: by the streams' policy alone, whoever it was."""
        language = self._language(scope, form)
        return self._pages.page(
            "signed_up",
            scope,
            language,
            sender=form.sender,
            values={
                "name": form.sender.legal_name,
                "address": address.given,
                "asked": [words.title(one, language) for one in streams if one.double_opt_in],
                "joined": [words.title(one, language) for one in streams if not one.double_opt_in],
            },
        )

    def _closed(self, scope: Scope) -> Answer:
        return self._pages.page("no_form", scope, self._pages.language(scope), status=404)


def _open_source(tx: Tx, name: str) -> SourceRecord | None:
    source = find_source(tx, name)
    if source is None or source.kind != KIND or MAIL not in source.channels:
        return None
    return source


def tag_of(text: TextRecord) -> int:
    """What a form token says of the text that the form showed."""
    return stream_tag(f"{text.source}\n{text.version}\n{text.sha256}")


def _filled(fields: Mapping[str, Sequence[str]]) -> Filled:
    def one(name: str) -> str:
        return fields.get(name, [""])[0]

    return Filled(
        address=one("address").strip()[:MOST_OF_AN_ADDRESS],
        ticked=frozenset(fields.get("stream", ())),
        token=one("form"),
        trap=one(TRAP),
    )


def _address(text: str) -> Address | None:
    """The address, if mail can go there: with a dot in its domain, and no address literal."""
    try:
        address = parse(text)
    except AddressError:
        return None
    plain = "." in address.domain and not address.domain.startswith("[")
    return address if plain and '"' not in address.given else None


def _mistakes(address: Address | None, streams: Sequence[Stream]) -> dict[str, str]:
    """What a person has to correct, by field."""
    wrong = {} if streams else {"streams": "none"}
    if address is None:
        wrong["address"] = "incomplete"
    elif streams and address.is_role and not _takes_roles(streams):
        wrong["address"] = "role"
    return wrong


def _takes_roles(streams: Sequence[Stream]) -> bool:
    """Whether any of them counts the consent of info@ or sales@ (HS-25)."""
    return any(stream.allow_role_addresses for stream in streams)


def _status(wrong: Mapping[str, str]) -> int:
    if not wrong:
        return 200
    return 429 if wrong.get("form") == "many" else 422
