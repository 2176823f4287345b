"""/subscribe/{source}: the form, what it records, and who is asked again."""

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.mail.address import parse
from gatepost.store import clock, people, sources
from gatepost.store.sources import Attestations
from gatepost.store.tables import mail as tables
from gatepost.store.tables.signups import signup, welcome
from support.signups import (
    TEXT,
    VALID,
    add_form,
    boxes,
    filled,
    hidden,
    letters,
    path_in,
    token_of,
    words,
)
from support.site import STREAMS, served
from support.submissions import rows_of
from support.visiting import visiting

ANNA = parse("anna@example.org")


async def known(site, address=ANNA):
    return await site.store.read(lambda tx: people.history(tx, address))


async def facts(site, address=ANNA):
    found = await known(site, address)
    return [event.fact for event in found.events] if found else []


async def suppress(site, scope, reason):
    stop = Fact(
        kind=EventKind.SUPPRESSED, at=site.store.now() - timedelta(hours=2), sender="acme",
        scope=scope, suppression=reason, actor="system",
    )  # fmt: skip
    await site.store.write(lambda tx: people.record(tx, ANNA, [stop]))


async def test_the_form_shows_the_streams_of_the_source_and_its_text(tmp_path):
    """HR-6, JU-9: exactly those streams, none ticked, and the text as it is on record."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        answer = await client.get("/subscribe/web?stream=newsletter&club=1")
        assert answer.status_code == 200
        assert boxes(answer.text) == {"newsletter": False, "club": False}
        assert TEXT in answer.text
        assert "<h1>Sign up with Acme AB</h1>" in answer.text
        assert 'href="https://acme.example/privacy"' in answer.text
        assert "<script" not in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert "set-cookie" not in answer.headers
        swedish = (await client.get("/subscribe/web?lang=sv")).text
        assert 'lang="sv"' in swedish
        assert "Månadsbrevet" in swedish
        assert f'<p id="text" class="lines" lang="en">{TEXT}</p>' in swedish


async def test_single_opt_in_holds_at_once_and_gets_its_welcome(tmp_path):
    """JU-18, HS-11: granted at sign-up, with all that the evidence needs."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        answer = await client.post(
            "/subscribe/web", data=await filled(site, "newsletter"), headers={"User-Agent": "B"}
        )
        assert answer.status_code == 200
        assert "anna@example.org" in answer.text
        (granted,) = await facts(site)
        assert granted.kind is EventKind.GRANTED
        assert (granted.stream, granted.sender, granted.basis) == (
            "newsletter", "acme", "newsletter-form",
        )  # fmt: skip
        assert (granted.source, granted.text_version, granted.text_state) == (
            "web", "1", TextState.VALID,
        )  # fmt: skip
        assert (granted.ip, granted.user_agent) == ("127.0.0.1", "B")
        assert (granted.actor, granted.method) == ("recipient", "form")
        assert granted.url == "https://mail.example.org/subscribe/web"
        assert granted.welcome_due
        (letter,) = letters(site.store)
        assert letter["Subject"] == "You are signed up: Monthly newsletter"
        assert "Storgatan 1, 111 22 Stockholm, Sweden" in words(letter)
        leave = letter["List-Unsubscribe"].strip("<>").removeprefix("https://mail.example.org")
        assert leave in words(letter)
        assert (await client.post(leave)).status_code == 200
        assert (await facts(site))[-1].kind is EventKind.WITHDRAWN


async def test_double_opt_in_is_asked_for_with_one_neutral_letter(tmp_path):
    """JU-17, L-DE-5: requested, not granted; the letter offers nothing and can be ignored."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        answer = await client.post("/subscribe/web", data=await filled(site, "club"))
        assert "only then are you signed up" in answer.text
        (asked,) = await facts(site)
        assert asked.kind is EventKind.REQUESTED
        assert (asked.stream, asked.source, asked.text_version) == ("club", "web", "1")
        assert (asked.ip, asked.text_state) == ("127.0.0.1", TextState.VALID)
        (letter,) = letters(site.store)
        assert letter["Subject"] == "Please confirm: e-mail from Acme AB"
        assert letter["List-Unsubscribe"] is None
        assert letter["Auto-Submitted"] == "auto-generated"
        said = words(letter)
        assert "- Letter to members" in said
        assert "do nothing" in said
        assert "127.0.0.1" not in said  # where it came from is for the records
        assert "offer" not in said
        links = [word for word in said.split() if word.startswith("http")]
        assert [link.split("/")[3] for link in links] == ["c", "privacy"]


async def test_exactly_what_is_ticked_becomes_subscribed(tmp_path):
    """HR-7, E2: after leaving everything the rest stays off."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(lambda tx: add_form(tx, streams=("newsletter", "events")))
        subject = await site.subscribe("anna@example.org", "newsletter", "events")
        await client.post(f"/p/{site.token(subject, purpose='p')}", data={"action": "nothing"})
        await client.post("/subscribe/web", data=await filled(site, "events"))
        back = (await facts(site))[-1]
        assert (back.kind, back.stream) == (EventKind.RESUBSCRIBED, "events")
        page = (await client.get(f"/p/{site.token(subject, purpose='p')}")).text
        assert 'value="events" checked' in page
        assert 'value="newsletter" checked' not in page


@pytest.mark.parametrize("reason", ["complaint", "hard-bounce", "soft-bounces"])
async def test_after_a_complaint_or_a_bounce_one_must_confirm(tmp_path, reason):
    """E4: a form shows only that somebody knows the address."""
    scope = "bulk" if reason == "complaint" else "all"
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        await suppress(site, scope, reason)
        stranger = await client.post(
            "/subscribe/web", data=await filled(site, "newsletter", address="bo@example.org")
        )
        answer = await client.post("/subscribe/web", data=await filled(site, "newsletter"))
        assert (await facts(site))[-1].kind is EventKind.REQUESTED
        confirm = letters(site.store)[-1]
        assert confirm["Subject"] == "Please confirm: e-mail from Acme AB"
        assert answer.text == stranger.text.replace("bo@example.org", "anna@example.org")


@pytest.mark.parametrize("extent", ["rest", "all"])
async def test_after_an_erasure_one_must_confirm(tmp_path, extent):
    """Whoever knows the address of somebody erased does not bring mail to them."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        await site.subscribe(ANNA.given, "newsletter")
        gone = Fact(kind=EventKind.ERASED, at=site.store.now(), rule="request", extent=extent)
        await site.store.write(lambda tx: people.record(tx, ANNA, [gone]))
        await client.post("/subscribe/web", data=await filled(site, "newsletter"))
        assert (await facts(site))[-1].kind is EventKind.REQUESTED
        (confirm,) = letters(site.store)
        await client.post(path_in(confirm, "c"))
        assert (await facts(site))[-1].kind is EventKind.CONFIRMED


async def test_the_same_answer_whoever_it_is(tmp_path):
    """Known, unknown, suppressed by hand: one page, one status (SO-14)."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        await suppress(site, "all", "manual")
        await site.subscribe("carl@example.org", "newsletter", "club")
        pages = set()
        for address in ("anna@example.org", "carl@example.org", "dora@example.org"):
            for _ in range(2):
                sent = await filled(site, "newsletter", "club", address=address)
                answer = await client.post("/subscribe/web", data=sent)
                pages.add((answer.status_code, answer.text.replace(address, "A")))
        assert len(pages) == 1
        rows = rows_of(site.store, tables.recipient)
        anna = [row["verdict"] for row in rows if row["address"] == "anna@example.org"]
        assert set(anna) == {"drop"}


async def test_the_same_again_is_recorded_once_and_mailed_once(tmp_path):
    """JU-19: exactly one confirmation mail; two presses of a button are one act."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        for _ in range(3):
            await client.post("/subscribe/web", data=await filled(site, "newsletter", "club"))
        assert len(await facts(site)) == 2
        assert len(letters(site.store)) == 2
        assert len(rows_of(site.store, signup)) == len(rows_of(site.store, welcome)) == 1


async def test_asking_for_more_is_recorded_but_sends_no_second_letter(tmp_path):
    both = {name: replace(stream, double_opt_in=True) for name, stream in STREAMS.items()}
    async with (
        served(tmp_path, letters=True, streams=both) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        await client.post("/subscribe/web", data=await filled(site, "club"))
        await client.post("/subscribe/web", data=await filled(site, "newsletter"))
        assert [fact.stream for fact in await facts(site)] == ["club", "newsletter"]
        assert len(letters(site.store)) == 1
        rows = sorted(rows_of(site.store, signup), key=lambda row: row["requested_ms"])
        assert [row["submission"] is None for row in rows] == [False, True]


async def test_the_text_that_was_shown_is_the_one_recorded(tmp_path):
    """JU-30: also where a newer one became active between showing and sending."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        sent = await filled(site, "newsletter")
        await site.store.write(
            lambda tx: sources.add_text(tx, "web", TEXT + " New words.", attestations=VALID)
        )
        await client.post("/subscribe/web", data=sent)
        (granted,) = await facts(site)
        assert granted.text_version == "1"
        assert "New words." in (await client.get("/subscribe/web")).text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"address": "anna"}, "not complete"),
        ({"address": "anna@localhost"}, "not complete"),
        ({"address": "anna@[192.0.2.1]"}, "not complete"),
        ({"address": ""}, "not complete"),
        ({"address": "Info+news@acme.example"}, "own e-mail address"),  # HS-25
        ({"stream": []}, "at least one"),
        ({"stream": ["foreign", "receipts", "events"]}, "at least one"),
        ({"homepage": "http://spam.example"}, "has to stay empty"),
        ({"form": "x" * 49}, "open for a long time"),
        ({"form": ""}, "open for a long time"),
    ],
)
async def test_who_is_asked_again_loses_nothing(tmp_path, change, says):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        sent = {**await filled(site, "club"), **change}
        answer = await client.post("/subscribe/web", data=sent)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
        assert says in answer.text
        assert f'name="address" value="{sent["address"]}"' in answer.text
        if "form" not in change:
            assert boxes(answer.text)["club"] is ("club" in sent["stream"])
        assert await facts(site) == []
        assert letters(site.store) == []


async def test_errors_are_told_beside_their_fields(tmp_path):
    """WCAG 3.3.1: each field points at what is wrong with it, the summary at the fields."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        page = (await client.post("/subscribe/web", data=await filled(site, address="a@"))).text
        assert 'aria-invalid="true" aria-describedby="address-wrong"' in page
        assert 'id="address-wrong"' in page
        assert 'aria-describedby="text streams-wrong"' in page
        assert '<a href="#stream-1">' in page
        assert '<a href="#address">' in page


@pytest.mark.parametrize(
    ("age", "taken"), [(0, False), (1, False), (5, True), (86000, True), (86500, False)]
)
async def test_forms_come_back_neither_at_once_nor_after_a_day(tmp_path, monkeypatch, age, taken):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        now = site.store.now()  # and it stays: who fills in slowly is no robot
        monkeypatch.setattr(clock.Clock, "now", lambda _self: now)
        token = await token_of(site, age=timedelta(seconds=age - 0.5))
        answer = await client.post("/subscribe/web", data=await filled(site, "club", token=token))
        assert bool(await facts(site)) is taken
        assert answer.status_code == (200 if taken else 422)
        if not taken:
            (again,) = hidden(answer.text, "form")
            assert (again == token) is (age < 10)  # who was too quick waits no longer for it


async def test_boxes_are_not_kept_for_a_text_that_was_not_shown(tmp_path):
    """JU-9: nobody agrees to new words by a tick beside the old ones."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        token = await token_of(site, age=timedelta(days=2))
        await site.store.write(
            lambda tx: sources.add_text(tx, "web", TEXT + " New words.", attestations=VALID)
        )
        page = (
            await client.post("/subscribe/web", data=await filled(site, "club", token=token))
        ).text
        assert "New words." in page
        assert boxes(page) == {"newsletter": False, "club": False}


async def test_a_token_of_one_form_is_none_for_another(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        await site.store.write(lambda tx: add_form(tx, "shop"))
        sent = await filled(site, "club", token=await token_of(site, "shop"))
        assert (await client.post("/subscribe/web", data=sent)).status_code == 422
        subject = await site.subscribe("bo@example.org")
        for purpose in "upcd":
            sent = await filled(site, "club", token=site.token(subject, "club", purpose))
            assert (await client.post("/subscribe/web", data=sent)).status_code == 422
        assert await facts(site) == []


async def test_a_consent_is_limited_as_its_source_is(tmp_path):
    """JU-14: the categories of the source are those of the consent, in both ways of joining."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):

        def make(tx):
            sources.add_source(tx, "web", sender="acme", kind="form", categories=["shoes"])
            sources.add_text(tx, "web", TEXT, attestations=VALID)

        await site.store.write(make)
        assert set(boxes((await client.get("/subscribe/web")).text)) == {
            "newsletter", "events", "club",
        }  # fmt: skip
        await client.post("/subscribe/web", data=await filled(site, "newsletter", "club"))
        confirm = next(one for one in letters(site.store) if "confirm" in one["Subject"])
        await client.post(path_in(confirm, "c"))
        assert {fact.kind.value: fact.categories for fact in await facts(site)} == {
            "requested": ("shoes",), "granted": ("shoes",), "confirmed": ("shoes",),
        }  # fmt: skip


async def test_there_is_no_form_without_a_valid_text(tmp_path):
    bad = Attestations(voluntary=True, informed=True, specific=True)
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):

        def make(tx):
            add_form(tx, "mute", text="")
            add_form(tx, "till", kind="shop")
            add_form(tx, "strange", sender="nobody")
            add_form(tx, "nothing", streams=("receipts",))
            add_form(tx, "lame", attestations=bad)
            sources.add_source(tx, "texts", sender="acme", kind="form", channels=["sms"])
            sources.add_text(tx, "texts", TEXT, attestations=VALID)

        await site.store.write(make)
        for name in (
            "mute",
            "till",
            "strange",
            "nothing",
            "lame",
            "texts",
            "unknown",
            "",
            "x" * 300,
        ):
            for method in ("GET", "HEAD", "POST"):
                answer = await client.request(method, f"/subscribe/{name}")
                assert answer.status_code == 404, (method, name)
        assert "no sign-up form here" in (await client.get("/subscribe/unknown")).text


async def test_safe_methods_change_nothing(tmp_path):
    """R8058-14 for the form: GET, HEAD, OPTIONS and others record nothing."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        query = httpx.QueryParams(await filled(site, "club"))
        for method in ("GET", "HEAD", "OPTIONS", "PROPFIND", "TRACE"):
            await client.request(method, f"/subscribe/web?{query}")
        assert await known(site) is None
        assert letters(site.store) == []


async def test_names_of_sources_may_hold_anything_printable(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        name = "Mässan 2027: monter 4/5 & <b>"
        await site.store.write(lambda tx: add_form(tx, name))
        answer = await client.post(
            "/subscribe/M%C3%A4ssan%202027%3A%20monter%204%2F5%20%26%20%3Cb%3E",
            data=await filled(site, "newsletter", name=name),
        )
        assert answer.status_code == 200
        assert [fact.source for fact in await facts(site)] == [name]


async def test_one_network_cannot_fill_in_forms_without_end(tmp_path):
    """Beyond the rate nothing is recorded, nothing typed is lost, and others go on."""
    async with (
        served(tmp_path, letters=True, proxies=("127.0.0.1/32",)) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        site.let_no_rate_recover()
        statuses = []
        for number in range(40):
            sent = await filled(site, "club", address=f"r{number}@example.org")
            answer = await client.post(
                "/subscribe/web", data=sent, headers={"X-Forwarded-For": "192.0.2.7"}
            )
            statuses.append(answer.status_code)
        assert statuses == [200] * 30 + [429] * 10
        assert 'value="r39@example.org"' in answer.text
        assert boxes(answer.text)["club"]
        other = await client.post(
            "/subscribe/web",
            data=await filled(site, "club"),
            headers={"X-Forwarded-For": "198.51.100.7"},
        )
        assert other.status_code == 200


async def test_a_mailbox_of_several_may_sign_up_where_the_stream_allows_it(tmp_path):
    """HS-25, A5: the stream's policy decides, on the form as at the relay."""
    allowing = {**STREAMS, "club": replace(STREAMS["club"], allow_role_addresses=True)}
    async with (
        served(tmp_path, letters=True, streams=allowing) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(add_form)
        sent = await filled(site, "club", address="info@kund.example")
        assert (await client.post("/subscribe/web", data=sent)).status_code == 200


async def test_without_letters_there_is_no_form(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        await site.store.write(add_form)
        assert (await client.get("/subscribe/web")).status_code == 404
