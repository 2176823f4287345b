"""Looks: a sender's colour that can be read, its logo, static files, a prefix in front."""

import re
from dataclasses import replace
from functools import partial

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.app.texts import templates_folder
from gatepost.mail.picture import MAX_OCTETS, picture
from gatepost.web import colours
from gatepost.web.branding import stylesheet
from gatepost.web.limits import Limits, Rate, network_of
from gatepost.web.place import placed, prefixes, root
from support.site import SENDERS, served
from support.visiting import visiting

DRAWING = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><path d="M0 0h2v2z"/></svg>'
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 60
GROUNDS = {
    "light": ("#f4f3f0", "#ffffff", "#eaf2ea", "#fbf1dc"),
    "dark": ("#14161a", "#1d2025", "#1d2b20", "#33291a"),
}


@given(st.integers(0, 0xFFFFFF))
def test_every_colour_can_be_read_by_day_and_by_night(number):
    """WCAG 2.2 §1.4.3: 4.5 to 1, for words on buttons and for links on every ground."""
    accent = f"#{number:06x}"
    for shades, grounds in (
        (colours.light(accent), GROUNDS["light"]),
        (colours.dark(accent), GROUNDS["dark"]),
    ):
        assert colours.contrast(shades.fill, shades.on_fill) >= 4.5
        assert colours.contrast(shades.strong, shades.on_fill) >= 4.5
        assert min(colours.contrast(shades.ink, ground) for ground in grounds) >= 4.5
    assert colours.light(accent).fill == accent


def test_the_grounds_are_those_of_the_style_sheet():
    css = (templates_folder() / "pages" / "style.css").read_text()
    for grounds in GROUNDS.values():
        for ground in grounds:
            assert ground in css
    assert stylesheet("#b3261e").count("--accent-ink") == 2


def test_contrast_is_that_of_the_standard():
    assert colours.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert colours.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


async def test_colour_and_logo_come_from_us_under_a_name_of_their_own(tmp_path):
    senders = {**SENDERS, "acme": replace(SENDERS["acme"], accent="#ffcc00")}
    async with (
        served(tmp_path, senders=senders, logos={"acme": picture(DRAWING)}) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter", "foreign")
        page = await client.get(f"/u/{site.token(subject)}")
        sheets = re.findall(r'rel="stylesheet" href="([^"]+)"', page.text)
        (logo,) = re.findall(r'<img class="logo" src="([^"]+)" alt="">', page.text)
        assert len(sheets) == 2
        for link in (*sheets, logo):
            answer = await client.get(str(page.url.join(link)))
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"] == "image/svg+xml"
        assert answer.headers["content-security-policy"].count("default-src 'none'") == 1
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.content == DRAWING
        other = await client.get(f"/u/{site.token(subject, 'foreign')}")
        assert "<img" not in other.text
        assert other.text.count('rel="stylesheet"') == 1
        assert (await client.get("/static/../../etc/passwd")).status_code == 404


REFUSED = {
    "a script": b"<script>alert(1)</script>",
    "an event": b'<path onload="alert(1)" d="M0 0"/>',
    "HTML": b'<foreignObject><p xmlns="http://www.w3.org/1999/xhtml">x</p></foreignObject>',
    "a picture from elsewhere": b'<image href="https://evil.example/x.png"/>',
    "a reference to elsewhere": b'<use href="https://evil.example/x.svg#a"/>',
    "an old reference": b'<use xmlns:x="http://www.w3.org/1999/xlink" x:href="//evil.example/"/>',
    "a link": b'<a href="#x"><path d="M0 0"/></a>',
    "a style from elsewhere": b"<style>@import 'https://evil.example/x.css';</style>",
    "a fill from elsewhere": b'<path fill="url(https://evil.example/#a)" d="M0 0"/>',
    "a programmed link": b'<use href="javascript:alert(1)"/>',
    "a movement that changes a link": b'<set attributeName="href" to="javascript:alert(1)"/>',
    "a broken tag": b"<path",
}


@pytest.mark.parametrize("inside", REFUSED.values(), ids=REFUSED)
def test_a_drawing_that_could_do_more_is_refused(inside):
    with pytest.raises(ValueError, match=r"holds|refers|well-formed"):
        picture(b'<svg xmlns="http://www.w3.org/2000/svg">' + inside + b"</svg>")


@pytest.mark.parametrize(
    "content",
    [
        b'<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
        b'<?xml-stylesheet href="x.css"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        b"<html><svg/></html>",
        b"GIF89a",
        b"",
        PNG + b"x" * MAX_OCTETS,
    ],
)
def test_what_is_no_logo_is_refused(content):
    with pytest.raises(ValueError, match=r"\w"):
        picture(content)


def test_a_type_is_read_from_the_octets():
    assert picture(PNG).media_type == "image/png"
    assert picture(b"\xff\xd8\xff\xe0").media_type == "image/jpeg"
    assert picture(b"RIFF\0\0\0\0WEBPVP8 ").media_type == "image/webp"
    own = DRAWING.replace(b"<path", b'<style>.a{fill:url(#b)}</style><path class="a"')
    assert picture(own).media_type == "image/svg+xml"


# Where a request goes


def where(path, urls=(), raw=None):
    scope = {"path": path, "raw_path": (raw or path).encode()}
    at = placed(scope, prefixes(urls))
    return at["path"], root(at)


@pytest.mark.parametrize(
    ("path", "urls", "expected"),
    [
        ("/u/token", [], ("/u/token", "../")),
        ("/u/token/", [], ("/u/token/", "../../")),
        ("/", [], ("/", "./")),
        ("/privacy", [], ("/privacy", "./")),
        ("/out/u/token", ["https://a.example/out"], ("/u/token", "../")),
        ("/out/privacy", ["https://a.example/out"], ("/privacy", "./")),
        ("/u/token", ["https://a.example/out"], ("/u/token", "../")),
        ("/out/other", ["https://a.example/out"], ("/out/other", "../")),
        ("/outer/u/x", ["https://a.example/out"], ("/u/x", "../")),
        ("/of/before/u/x", [], ("/u/x", "../")),
        ("/of/before/privacy", ["https://a.example/out"], ("/privacy", "./")),
        ("/of/before/other", ["https://a.example/out"], ("/of/before/other", "../../")),
        ("/p/u/x", [], ("/p/u/x", "../../")),
        ("/a/b/u/x", ["https://a.example/a", "https://b.example/a/b"], ("/u/x", "../")),
        ("/u/token", ["https://a.example/u"], ("/u/token", "../")),
        ("/u/u/token", ["https://a.example/u"], ("/u/token", "../")),
        ("/u/token", ["https://a.example/"], ("/u/token", "../")),
    ],
)
def test_a_prefix_in_front_makes_no_difference(path, urls, expected):
    assert where(path, urls) == expected


async def test_links_work_behind_a_proxy_that_strips_and_one_that_does_not(tmp_path):
    senders = {**SENDERS, "acme": replace(SENDERS["acme"], public_url="https://a.example/out")}
    async with (
        served(tmp_path, senders=senders) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        for seen in ("/u/", "/out/u/"):
            page = await client.get(seen + site.token(subject))
            browser = httpx.URL("https://a.example/out/u/" + site.token(subject))
            links = re.findall(r'(?:href|action|src)="([^"?]+)[^"]*"', page.text)
            own = [str(browser.join(link)) for link in links if "//" not in link]
            assert len(own) >= 2
            assert all(link.startswith("https://a.example/out/") for link in own)
            for link in own:
                below = link.removeprefix("https://a.example")
                for path in (below, below.removeprefix("/out")):
                    assert (await client.get(path)).status_code == 200


async def test_a_link_outlives_the_path_of_its_public_url(tmp_path):
    """HR-5, R8058-15: the sender is gone from the configuration, or its URL has changed."""
    async with (
        served(tmp_path, retired={"old": "gone"}) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        for stream, sender in (("newsletter", "acme"), ("old", "gone")):
            link = f"/of/before/u/{site.token(subject, stream)}"
            page = await client.get(link)
            assert page.status_code == 200
            for found in re.findall(r'(?:href|src)="([^"?]+)[^"]*"', page.text):
                if "//" not in found:
                    assert (await client.get(str(page.url.join(found)))).status_code == 200
            body = {"List-Unsubscribe": "One-Click"}
            assert (await client.post(link, data=body)).status_code == 200
            assert site.withdrawn[-1] == (subject, sender, stream)


async def test_a_page_is_its_token_s_sender_s_whatever_the_host(tmp_path):
    senders = {**SENDERS, "other": replace(SENDERS["other"], public_url="https://b.example")}
    async with (
        served(tmp_path, senders=senders, letters=True) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "foreign")
        for host in ("b.example", "mail.example.org", "evil.example"):
            page = await client.get(f"/u/{site.token(subject, 'foreign')}", headers={"Host": host})
            assert "Other Ltd" in page.text
            assert "Acme" not in page.text
            assert host not in page.text
        asked = await client.get("/privacy", headers={"Host": "b.example"})
        assert 'name="sender" value="other"' in asked.text


# Rates


def test_a_bucket_empties_and_fills_up_again():
    now = [0.0]
    limits = Limits(lambda: now[0])
    rate = Rate("test", 3, 30)
    assert [limits.allows(rate, "a") for _ in range(5)] == [True] * 3 + [False] * 2
    assert limits.allows(rate, "b")
    assert limits.allows(rate, "")
    now[0] = 10.0
    assert [limits.allows(rate, "a") for _ in range(2)] == [True, False]
    now[0] = 1000.0
    assert [limits.allows(rate, "a") for _ in range(4)] == [True] * 3 + [False]


def test_a_flood_of_keys_costs_no_memory():
    limits = Limits(lambda: 0.0, most_keys=100)
    rate = Rate("test", 1, 30)
    for number in range(1000):
        assert limits.allows(rate, str(number))
    assert len(limits) == 100


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3::4", "20010db8000100"),
        ("127.0.0.1", ""),
        ("10.1.2.3", ""),
        ("::1", ""),
        ("fe80::1", ""),
        ("", ""),
        ("unix", ""),
    ],
)
def test_what_a_network_is(ip, network):
    assert network_of(ip) == network


async def until_turned_away(ask):
    """Asks until the answer is 429; what it was before."""
    before = (await ask()).status_code
    for _ in range(1000):
        answer = await ask()
        if answer.status_code == 429:
            assert "retry-after" in answer.headers
            return before
        assert answer.status_code == before
    raise AssertionError("there is no rate")


async def test_a_withdrawal_has_no_rate(tmp_path):
    """Whatever was asked before, and from wherever: a valid POST withdraws, the page shows."""
    proxied = {"X-Forwarded-For": "203.0.113.7"}
    async with (
        served(tmp_path, proxies=("127.0.0.0/8",)) as site,
        visiting(site.url, headers=proxied) as client,
    ):
        site.let_no_rate_recover()
        subject = await site.subscribe("anna@example.org", "newsletter", "club")
        link = f"/u/{site.token(subject)}"
        guess = partial(client.get, "/u/guessed")
        assert await until_turned_away(guess) == 404
        for _ in range(130):
            page = await client.get(link)
        assert "Unsubscribe from" in page.text
        assert (await client.post(link)).status_code == 200
        assert len(await site.facts(subject)) == 1
        choose = f"/p/{site.token(subject, purpose='p')}"

        async def come_and_go():
            without = await client.post(choose, data={"action": "save", "shown": "events"})
            assert without.status_code == 200
            return await client.post(choose, data=with_events)

        with_events = {"action": "save", "shown": ["events", "newsletter"], "on": "events"}
        assert await until_turned_away(come_and_go) == 200
        before = len(await site.facts(subject))
        both = {"action": "save", "shown": ["club", "events"], "on": "events"}
        assert (await client.post(choose, data=both)).status_code == 429
        (left,) = (await site.facts(subject))[before:]
        assert left.stream == "club"  # what takes away was done, what turns on was not
        everything = await client.post(choose, data={"action": "nothing"})
        assert everything.status_code == 200
        assert len(await site.facts(subject)) == before + 2
