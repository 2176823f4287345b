"""Every page and state that a recipient can meet, each opened in a browser as a person would.

async with gallery(tmp_path) as place:
    for state in STATES:
        await state.open(place, page, "de")

In: a served site. Out: `STATES`, in the order in which a person could meet them. Each opening
makes a person of its own, so that states do not depend on each other. Time all but stands still
from `NOON` on until `later` moves it: pictures of the pages are the same each time, and the form's
"too quick" is waited out by the clock.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path

from playwright.async_api import Page

from gatepost.app.dossier import Dossiers
from gatepost.app.texts import Texts
from gatepost.app.wiring import wire
from gatepost.config import load
from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.tokens import Claim, Purpose, stream_tag
from gatepost.mail.address import parse
from gatepost.mail.duration import parse as duration
from gatepost.mail.picture import picture
from gatepost.mail.stream import Kind, Stream
from gatepost.store import people, sources
from gatepost.web.by_mail import _tag
from gatepost.web.limits import FORMS_PER_NETWORK, LOOKS_PER_LINK, Rate
from support.signups import VALID, letters, path_in
from support.site import SENDERS, Served, served

LANGUAGES = ("en", "sv", "da", "de", "nb")
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LOGO = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="44" height="44" viewBox="0 0 44 44">'
    b'<rect width="44" height="44" rx="12" fill="#0b6e5f"/>'
    b'<path d="M11 33 22 11l11 22M15.5 25.5h13" fill="none" stroke="#fff" stroke-width="4" '
    b'stroke-linecap="round" stroke-linejoin="round"/></svg>'
)
ACCENT = "#0b6e5f"

CONSENT = {
    "en": "Yes, Acme AB may send me what I have ticked above by e-mail.\n"
    "I can withdraw this at any time, with the link in every mail.",
    "sv": "Ja, Acme AB får skicka mig det jag har kryssat för ovan med e-post.\n"
    "Jag kan ta tillbaka det när som helst, med länken i varje utskick.",
    "da": "Ja, Acme AB må sende mig det, jeg har sat kryds ved ovenfor, på e-mail.\n"
    "Jeg kan til enhver tid trække det tilbage med linket i hver mail.",
    "de": "Ja, Acme AB darf mir das oben Angekreuzte per E-Mail senden.\n"
    "Ich kann das jederzeit widerrufen, mit dem Link in jeder E-Mail.",
    "nb": "Ja, Acme AB kan sende meg det jeg har krysset av for ovenfor, på e-post.\n"
    "Jeg kan når som helst trekke det tilbake, med lenken i hver e-post.",
}

STREAMS = {
    stream.name: stream
    for stream in (
        Stream(
            name="newsletter",
            kind=Kind.BULK,
            sender="acme",
            title={
                "": "Monthly newsletter",
                "sv": "Månadsbrevet",
                "da": "Månedens nyhedsbrev",
                "de": "Monatlicher Kundennewsletter",
                "nb": "Månedens nyhetsbrev",
            },
            description={
                "": "News and offers, once a month",
                "sv": "Nyheter och erbjudanden, en gång i månaden",
                "da": "Nyheder og tilbud, en gang om måneden",
                "de": "Neuigkeiten und Angebote, einmal im Monat",
                "nb": "Nyheter og tilbud, en gang i måneden",
            },
        ),
        Stream(
            name="events",
            kind=Kind.BULK,
            sender="acme",
            title={
                "": "Events and fairs",
                "sv": "Evenemang och mässor",
                "da": "Arrangementer og messer",
                "de": "Veranstaltungsankündigungen und Messetermine",
                "nb": "Arrangementer og messer",
            },
            description={
                "": "Where to meet us, a few times a year",
                "sv": "Var du kan träffa oss, några gånger om året",
                "da": "Hvor du kan møde os, et par gange om året",
                "de": "Wo Sie uns treffen können, einige Male im Jahr",
                "nb": "Hvor du kan møte oss, et par ganger i året",
            },
        ),
        Stream(
            name="club",
            kind=Kind.BULK,
            sender="acme",
            title={
                "": "Letter to members",
                "sv": "Medlemsbrevet",
                "da": "Medlemsbrevet",
                "de": "Mitgliederrundschreiben",
                "nb": "Medlemsbrevet",
            },
            double_opt_in=True,
        ),
        # Never translated: pages in another language have to say which one this is.
        Stream(
            name="svenska",
            kind=Kind.BULK,
            sender="acme",
            title={"": "Öppet hus i Stockholm"},
            description={"": "Inbjudningar, på svenska"},
            language="sv",
        ),
        Stream(name="receipts", kind=Kind.TRANSACTIONAL, sender="acme"),
        Stream(name="foreign", kind=Kind.BULK, sender="other", title={"": "Of somebody else"}),
    )
}
BRANDED = {**SENDERS, "acme": replace(SENDERS["acme"], accent=ACCENT)}


@dataclass
class Gallery:
    """The served site, and what its states need."""

    site: Served
    old: Served  # links of it are past their lifetime, and it writes no letters
    now: datetime = NOON
    _number: "count[int]" = field(default_factory=count)

    def later(self, **by: float) -> None:
        """Moves the clocks of both sites on."""
        self.now += timedelta(**by)
        for site in (self.site, self.old):
            site.store._clock.now = self._tick

    def _tick(self) -> datetime:
        """A moment after the last, so that what happens has an order."""
        self.now += timedelta(milliseconds=1)
        return self.now

    def address(self) -> str:
        """One that nobody had before."""
        return f"anna.{next(self._number)}@kund.example"

    async def person(self, *streams: str, old: bool = False) -> int:
        """Somebody who asked for `streams`; the subject id."""
        return await (self.old if old else self.site).subscribe(self.address(), *streams)

    def link(self, subject: int, purpose: str = "u", *, old: bool = False, stream="newsletter"):
        """The link in a mail to them."""
        site = self.old if old else self.site
        return f"{site.url}/{purpose}/{site.token(subject, stream, purpose)}"

    def dossier(self, subject: int, *, works: timedelta = timedelta(days=1)) -> str:
        """The link to what is stored about them."""
        until = int((self.now + works).timestamp())
        claim = Claim(subject, _tag(SENDERS["acme"]), until)
        return f"{self.site.url}/privacy/{self.site.ring.seal(Purpose.DOSSIER, claim)}"

    def spend(self, rate: Rate, key: bytes | str) -> None:
        """As if somebody had asked as often as anybody may."""
        for site in (self.site, self.old):
            while site.door._pages.limits.allows(rate, key):
                pass


@asynccontextmanager
async def gallery(folder: Path, *, branded: bool = True) -> AsyncIterator[Gallery]:
    """The site of every state; `branded` with a logo and a colour."""
    senders = BRANDED if branded else SENDERS
    logos = {"acme": picture(LOGO)} if branded else {}
    (folder / "old").mkdir()
    config = folder / "wiring.toml"
    config.write_text('[server]\npublic_url = "https://mail.example.org"\n')
    wiring = wire(load(config, {}))
    wiring = replace(wiring, policy=replace(wiring.policy, streams=STREAMS, senders=senders))

    async def dossier(subject: int, sender: str, language: str) -> str | None:
        return await Dossiers(place.site.store, Texts(), lambda: wiring)(subject, sender, language)

    look = {"streams": STREAMS, "senders": senders, "logos": logos}
    async with (
        served(
            folder, letters=True, dossier=dossier, proxies=("127.0.0.0/8",),
            retired={"ended": "gone"}, **look,
        ) as site,
        served(folder / "old", lifetime=duration("60 days"), **look) as old,
    ):  # fmt: skip
        place = Gallery(site, old)
        place.later(seconds=0)
        await site.store.write(_add_forms)
        yield place


def _add_forms(tx) -> None:
    for language, words in CONSENT.items():
        name = f"website-{language}"
        sources.add_source(
            tx, name, sender="acme", kind="form", streams=("newsletter", "events", "club")
        )
        sources.add_text(tx, name, words, language=language, attestations=VALID)
    # The words of this one are Swedish whatever the language of its page.
    sources.add_source(tx, "mässa", sender="acme", kind="form", streams=("newsletter", "svenska"))
    sources.add_text(tx, "mässa", CONSENT["sv"], language="sv", attestations=VALID)


Open = Callable[[Gallery, Page, str], Awaitable[None]]


@dataclass(frozen=True)
class State:
    """One of them. `status` is that of its last answer."""

    name: str
    open: Open
    status: int = 200

    def __str__(self) -> str:
        return self.name


STATES: list[State] = []


def _state(name: str, status: int = 200) -> Callable[[Open], Open]:
    def keep(opens: Open) -> Open:
        STATES.append(State(name, opens, status))
        return opens

    return keep


async def press(page: Page, selector: str = "main form button") -> None:
    """Presses a button, and returns when the page it leads to is there."""
    async with page.expect_navigation():
        await page.locator(selector).first.click()


# signing up


async def form(place: Gallery, page: Page, language: str, source: str = "") -> None:
    await page.goto(f"{place.site.url}/subscribe/{source or f'website-{language}'}?lang={language}")


async def fill(page: Page, address: str, *streams: str) -> None:
    for stream in streams:
        await page.locator(f'input[name="stream"][value="{stream}"]').check()
    await page.locator("#address").fill(address)


@_state("sign-up")
async def _(place, page, language):
    await form(place, page, language)


@_state("sign-up-swedish-text")
async def _(place, page, language):
    await form(place, page, language, "mässa")


@_state("sign-up-nothing-filled-in", 422)
async def _(place, page, language):
    await form(place, page, language)
    await press(page)


@_state("sign-up-role-address", 422)
async def _(place, page, language):
    await form(place, page, language)
    await fill(page, "info@kund.example", "newsletter")
    await press(page)


@_state("sign-up-too-quick", 422)
async def _(place, page, language):
    await form(place, page, language)
    await fill(page, place.address(), "newsletter")
    await press(page)


@_state("sign-up-page-too-old", 422)
async def _(place, page, language):
    await form(place, page, language)
    await fill(page, place.address(), "newsletter")
    place.later(days=2)
    await press(page)


@_state("sign-up-too-many", 429)
async def _(place, page, language):
    await page.set_extra_http_headers({"X-Forwarded-For": "192.0.2.9"})
    await form(place, page, language)
    await fill(page, place.address(), "newsletter")
    place.later(seconds=30)
    place.spend(FORMS_PER_NETWORK, "192.0.2.9")
    await press(page)
    await page.set_extra_http_headers({})


@_state("sign-up-trap", 422)
async def _(place, page, language):
    await form(place, page, language)
    await fill(page, place.address(), "newsletter")
    await page.locator("#trap").fill("https://spam.example", force=True)
    await press(page)


@_state("sign-up-closed", 404)
async def _(place, page, language):
    await form(place, page, language, "nowhere")


async def sign_up(place: Gallery, page: Page, language: str, *streams: str) -> str:
    """Signs up on the form; the address."""
    await form(place, page, language)
    address = place.address()
    await fill(page, address, *streams)
    place.later(seconds=30)
    await press(page)
    return address


@_state("one-more-step")
async def _(place, page, language):
    await sign_up(place, page, language, "club")


@_state("signed-up")
async def _(place, page, language):
    await sign_up(place, page, language, "newsletter", "events")


@_state("signed-up-for-both")
async def _(place, page, language):
    await sign_up(place, page, language, "newsletter", "club")


async def letter_link(place: Gallery, step: str) -> str:
    """The link below `/c/`, `/p/` … in the letter written last."""
    return f"{place.site.url}{path_in(letters(place.site.store)[-1], step)}"


@_state("confirm")
async def confirm(place, page, language):
    await sign_up(place, page, language, "club")
    await page.goto(await letter_link(place, "c"))


@_state("confirmed")
async def confirmed(place, page, language):
    await confirm(place, page, language)
    await press(page)


@_state("confirmed-opened-again")
async def _(place, page, language):
    await confirmed(place, page, language)
    await page.goto(page.url)


@_state("confirmation-expired", 410)
async def _(place, page, language):
    await sign_up(place, page, language, "club")
    place.later(days=8)
    await page.goto(await letter_link(place, "c"))


# leaving


@_state("unsubscribe")
async def unsubscribe(place, page, language, stream="newsletter", **more):
    subject = await place.person("newsletter", "events", **more)
    await page.goto(f"{place.link(subject, stream=stream, **more)}?lang={language}")


@_state("unsubscribe-swedish-stream")
async def _(place, page, language):
    await unsubscribe(place, page, language, "svenska")


@_state("unsubscribe-by-an-old-link")
async def _(place, page, language):
    await unsubscribe(place, page, language, old=True)


@_state("unsubscribe-of-a-sender-that-is-gone")
async def _(place, page, language):
    await unsubscribe(place, page, language, "ended")


@_state("unsubscribed")
async def unsubscribed(place, page, language):
    await unsubscribe(place, page, language)
    await press(page)


@_state("unsubscribed-then-undone")
async def _(place, page, language):
    await unsubscribed(place, page, language)
    await press(page)


@_state("unsubscribed-in-the-mail-program-then-opened")
async def _(place, page, language):
    link = place.link(await place.person("newsletter"))
    await page.request.post(link, form={"List-Unsubscribe": "One-Click"})
    await page.goto(f"{link}?lang={language}")


@_state("unsubscribed-long-ago")
async def _(place, page, language):
    await unsubscribed(place, page, language)
    place.later(days=40)
    await page.goto(page.url)


@_state("undone-too-late")
async def _(place, page, language):
    await unsubscribed(place, page, language)
    place.later(hours=2)
    await press(page)


# choosing


@_state("preferences")
async def preferences(place, page, language, *streams, old=False):
    subject = await place.person(*(streams or ("newsletter", "events")), old=old)
    await page.goto(f"{place.link(subject, 'p', old=old)}?lang={language}")


@_state("preferences-saved")
async def _(place, page, language):
    await preferences(place, page, language)
    await page.locator('input[name="on"][value="events"]').uncheck()
    await press(page)


@_state("preferences-saved-none")
async def _(place, page, language):
    await preferences(place, page, language)
    for stream in ("newsletter", "events"):
        await page.locator(f'input[name="on"][value="{stream}"]').uncheck()
    await press(page)


@_state("preferences-nothing-at-all")
async def _(place, page, language):
    await preferences(place, page, language)
    await press(page, 'button[value="nothing"]')


@_state("preferences-nothing-undone")
async def _(place, page, language):
    await preferences(place, page, language)
    await press(page, 'button[value="nothing"]')
    await press(page, 'button[value="undo"]')


@_state("preferences-asked-by-mail")
async def _(place, page, language):
    await preferences(place, page, language)
    await page.locator('input[name="on"][value="club"]').check()
    await press(page)


@_state("preferences-blocked")
async def _(place, page, language):
    address = place.address()
    subject = await place.site.subscribe(address, "newsletter")
    bounce = Fact(
        kind=EventKind.SUPPRESSED, at=place.now, sender="acme", suppression="hard-bounce",
        scope="all",
    )  # fmt: skip
    await place.site.store.write(lambda tx: people.record(tx, parse(address), [bounce]))
    await page.goto(f"{place.link(subject, 'p')}?lang={language}")


@_state("preferences-locked")
async def _(place, page, language):
    await _without_age(place, page, language)


async def _without_age(place: Gallery, page: Page, language: str) -> None:
    subject = await place.person("newsletter", old=True)
    claim = Claim(subject, stream_tag("newsletter"), 0)  # no submission, so no age
    token = place.old.ring.seal(Purpose.PREFERENCES, claim)
    await page.goto(f"{place.old.url}/p/{token}?lang={language}")


@_state("preferences-nothing-to-choose")
async def _(place, page, language):
    subject = await place.person("newsletter")
    await page.goto(f"{place.link(subject, 'p', stream='ended')}?lang={language}")


# what is stored, and the link by mail


async def by_mail(place, page, language, kind, sender="acme"):
    choice = f"sender={sender}&" if sender else ""
    await page.goto(f"{place.site.url}/{kind}?{choice}lang={language}")


async def _ask(place, page, language, kind, address):
    await by_mail(place, page, language, kind)
    await page.locator("#address").fill(address)
    await page.evaluate("document.querySelector('main form').noValidate = true")
    await press(page)


for _kind in ("privacy", "manage"):
    STATES += [
        State(_kind, partial(by_mail, kind=_kind)),
        State(f"{_kind}-whose", partial(by_mail, kind=_kind, sender="")),
        State(f"{_kind}-wrong-address", partial(_ask, kind=_kind, address="anna"), 400),
        State(f"{_kind}-sent", partial(_ask, kind=_kind, address="anna@kund.example")),
    ]


@_state("dossier")
async def dossier(place, page, language):
    address = await sign_up(place, page, language, "club")
    place.later(minutes=3)
    await page.goto(await letter_link(place, "c"))
    await press(page)
    place.later(days=9)
    found = await place.site.store.read(lambda tx: people.history(tx, parse(address)))
    await page.goto(f"{place.dossier(found.subject)}?lang={language}")


@_state("dossier-link-expired", 410)
async def _(place, page, language):
    link = place.dossier(await place.person("newsletter"), works=timedelta(days=-1))
    await page.goto(f"{link}?lang={language}")


@_state("dossier-of-nobody", 404)
async def _(place, page, language):
    await page.goto(f"{place.dossier(4711)}?lang={language}")


# troubles


@_state("link-altered", 404)
async def _(place, page, language):
    link = place.link(await place.person("newsletter"))
    await page.goto(f"{link[:-4]}AAAA?lang={language}")


@_state("link-of-another-store", 404)
async def _(place, page, language):
    await page.goto(f"{place.link(4711)}?lang={language}")


@_state("link-retired", 410)
async def _(place, page, language):
    await preferences(place, page, language, old=True)


@_state("form-garbled", 400)
async def _(place, page, language):
    await preferences(place, page, language)
    await page.evaluate("document.querySelector('button[value=save]').value = 'other'")
    await press(page)


@_state("too-many", 429)
async def _(place, page, language):
    link = place.link(await place.person("newsletter"), "p")
    place.spend(LOOKS_PER_LINK, link.rpartition("/")[2])
    await page.goto(f"{link}?lang={language}")


@_state("unavailable", 503)
async def _(place, page, language):
    place.site.missing = "the store is out of reach"
    await _ask(place, page, language, "privacy", "anna@kund.example")
    place.site.missing = ""


@_state("no-such-page", 404)
async def _(place, page, language):
    await page.goto(f"{place.site.url}/nowhere?lang={language}")
