"""`/c/{token}`: confirming what somebody asked for, with one button (JU-17).

Opening the page changes nothing. The button records, per stream, that whoever reads the mail of
that address confirms: time, address and browser of this act, and the text of the first. It
confirms the sign-up that the letter was for, and those that were asked for while that letter
was the latest; the page names all of them, and only what it showed is confirmed. Held mail of
these streams is let go in the same transaction.

Pressing the button again changes nothing, also after the person has left again: the latest act
holds.

*Fails:* `StoreUnavailable`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from gatepost import maillog
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.fold import DOUBLE_OPT_IN
from gatepost.consent.tokens import Claim, Purpose, stream_tag
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream
from gatepost.store import ids, people, signups, sources
from gatepost.store.signups import SignUp
from gatepost.store.spool.quarantine import release_by_confirmation
from gatepost.store.transaction import Tx
from gatepost.web import body, counters, visits, words
from gatepost.web.answer import Answer
from gatepost.web.body import Receive
from gatepost.web.page import Pages
from gatepost.web.site import Site
from gatepost.web.visitor import Scope, Visitor, visitor
from gatepost.web.withdrawal import PAGE, token_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a link stands for. `is_over` where it is too late, or the person was erased since."""

    sign_up: SignUp
    waiting: Sequence[SignUp]
    sender: Sender
    streams: Sequence[Stream]
    is_over: bool


class Confirmation:
    """Answers both methods."""

    def __init__(self, site: Site, pages: Pages) -> None:
        self._site = site
        self._pages = pages

    async def show(self, scope: Scope) -> Answer:
        """The page with the button, or what became of the sign-up. Raises `StoreUnavailable`."""
        visits.count("confirm", scope)
        claim = self._claim(scope)
        if claim is None:
            return self._foreign(scope)
        asked = await self._site.store.read(lambda tx: self._asked(tx, claim))
        return self._page(scope, asked, just_now=False)

    async def confirm(self, scope: Scope, receive: Receive) -> Answer:
        """Records the confirmation. Raises `StoreUnavailable`."""
        claim = self._claim(scope)
        fields = (await body.read(receive)).form() or {}
        if claim is None:
            return self._foreign(scope)
        shown = fields.get("shown")
        who = visitor(scope, self._site.trusted_proxies())

        def confirm(tx: Tx) -> tuple[Asked | None, list[str]]:
            asked = self._asked(tx, claim)
            if asked is None or asked.is_over:
                return asked, []
            # Without our form's list it is a client that presses buttons: the letter's own.
            wanted = {claim.submission} if shown is None else set(_numbers(shown))
            return asked, self._record(tx, asked, wanted, who)

        asked, confirmed = await self._site.store.write(confirm)
        if asked is not None and confirmed:
            counters.CONFIRMATIONS.inc()
            maillog.confirmed(ids.to_text(claim.subject), asked.sender.name, confirmed)
        return self._page(scope, asked, just_now=bool(confirmed))

    def _claim(self, scope: Scope) -> Claim | None:
        return self._site.ring().open(Purpose.CONFIRM, token_in(scope))

    def _foreign(self, scope: Scope) -> Answer:
        if self._site.ring().is_compromised(token_in(scope)):
            return self._page(scope, None, just_now=False)
        return self._pages.foreign(scope)

    def _asked(self, tx: Tx, claim: Claim) -> Asked | None:
        """What the link stands for; `None` where that is no longer on record or configured."""
        sign_up = signups.find(tx, claim.submission)
        if sign_up is None or sign_up.subject != claim.subject:
            return None
        sender = self._site.senders().get(sign_up.sender)
        confirming = self._site.confirming()
        waiting = [
            one
            for one in signups.unconfirmed(
                tx, sign_up.subject, sign_up.sender, confirming.within.before(tx.now)
            )
            if one.requested_at >= sign_up.requested_at
        ]
        names = {name for one in (sign_up, *waiting) for name in one.streams}
        streams = [
            one
            for one in self._site.streams().values()
            if one.name in names and one.is_bulk and one.sender == sign_up.sender
        ]
        if sender is None or not streams:
            return None
        late = confirming.within.after(sign_up.requested_at) <= tx.now
        person = people.look_up_subjects(tx, [sign_up.subject], "", sign_up.sender)
        erased = person[sign_up.subject].erased_at if sign_up.subject in person else None
        gone = erased is not None and erased >= sign_up.requested_at
        return Asked(
            sign_up=sign_up,
            waiting=waiting,
            sender=sender,
            streams=streams,
            is_over=gone or (late and sign_up.confirmed_at is None),
        )

    def _record(self, tx: Tx, asked: Asked, wanted: set[int], who: Visitor) -> list[str]:
        """The streams that are confirmed now: once, however often the button is pressed."""
        new = signups.mark_confirmed(tx, {one.id for one in asked.waiting} & wanted)
        known = {one.name: one for one in asked.streams}
        facts = [
            _confirmed(tx, one, name, who)
            for one in asked.waiting
            if one.id in new
            for name in one.streams
            if name in known
        ]
        if not facts:
            return []
        subject = asked.sign_up.subject
        people.record_for_subject(tx, subject, facts)
        names = sorted({fact.stream for fact in facts})
        for name in names:
            release_by_confirmation(
                tx, subject, name, known[name].release_within, "the sign-up was confirmed"
            )
        return names

    def _page(self, scope: Scope, asked: Asked | None, *, just_now: bool) -> Answer:
        if asked is None:
            language = self._pages.language(scope)
            return self._pages.page(
                "confirm_over", scope, language, status=410, values={"form_path": "", "name": ""}
            )
        sign_up, sender = asked.sign_up, asked.sender
        language = self._pages.language(scope, asked.streams[0])
        name = sender.legal_name
        if asked.is_over:
            path = f"subscribe/{quote(sign_up.source, safe='')}" if sign_up.source else ""
            values = {"form_path": path, "name": name}
            return self._pages.page(
                "confirm_over", scope, language, sender=sender, status=410, values=values
            )
        done = just_now or not asked.waiting
        token = self._site.ring().seal(
            Purpose.PREFERENCES,
            Claim(sign_up.subject, stream_tag(asked.streams[0].name), sign_up.submission or 0),
        )
        return self._pages.page(
            "confirmed" if done else "confirm",
            scope,
            language,
            sender=sender,
            values={
                "name": name,
                "titles": [words.title(one, language) for one in asked.streams],
                "shown": [ids.to_text(one.id) for one in asked.waiting],
                "preferences_path": f"p/{token}",
                "asked_on": sign_up.requested_at,
            },
        )


def _confirmed(tx: Tx, sign_up: SignUp, stream: str, who: Visitor) -> Fact:
    state = TextState.VALID  # our own page's words, which the request keeps
    source = sources.find_source(tx, sign_up.source) if sign_up.source else None
    origin = sources.as_origin(source) if source else None
    if sign_up.source:
        state = sources.text_state(tx, sign_up.source, sign_up.text_version)
    return Fact(
        kind=EventKind.CONFIRMED,
        at=tx.now,
        sender=sign_up.sender,
        stream=stream,
        basis=DOUBLE_OPT_IN,
        source=sign_up.source,
        text_version=sign_up.text_version,
        text_state=state,
        channels=origin.channels if origin else "",
        categories=origin.categories if origin else (),
        actor="recipient",
        method=PAGE,
        ip=who.ip,
        user_agent=who.user_agent,
        note=f"confirms the sign-up {ids.to_text(sign_up.id)} "
        f"of {sign_up.requested_at.isoformat(timespec='seconds')}",
        submission=ids.to_text(sign_up.submission) if sign_up.submission else "",
    )


def _numbers(texts: Sequence[str]) -> list[int]:
    numbers = []
    for text in texts[:100]:
        try:
            numbers.append(ids.from_text(text))
        except ValueError:
            continue
    return numbers
