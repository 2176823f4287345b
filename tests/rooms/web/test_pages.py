"""The pages: headers, languages, words, and what they never do."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from structlog.testing import capture_logs

from gatepost.consent.tokens import Claim, Purpose, Ring, stream_tag
from gatepost.web.counters import BAD_LINKS, PAGE_VIEWS, WITHDRAWALS
from support.site import STREAMS, served
from support.visiting import visiting

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
BUTTONS = {
    "en": "Unsubscribe",
    "sv": "Avregistrera dig",
    "da": "Afmeld",
    "de": "Abmelden",
    "nb": "Meld deg av",
}


class Page(HTMLParser):
    """What a page asks the browser for, and what it says."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.text += data

    def values(self, tag, name):
        return [value for one, key, value in self.attributes if (one, key) == (tag, name)]


async def test_every_answer_carries_the_security_headers(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        good = site.token(subject)
        style = re.search(r"static/\w+\.css", (await client.get(f"/u/{good}")).text).group()
        paths = [f"/u/{good}", f"/p/{site.token(subject, purpose='p')}", "/u/x", "/p/x", "/", "/u"]
        paths += ["/nothing", "/healthz", "/readyz", "/robots.txt", "/static/x.css", f"/{style}"]
        paths += ["/docs", "/openapi.json", "/redoc", "/metrics", "/favicon.ico"]
        paths += ["/privacy", "/privacy?sender=acme", "/manage?sender=acme", "/privacy/x"]
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            for path in paths:
                answer = await client.request(method, path)
                headers = answer.headers
                where = (method, path)
                assert answer.status_code in {200, 204, 400, 404, 405}, where
                policy = headers["content-security-policy"]
                assert "default-src 'none'" in policy, where
                assert "frame-ancestors 'none'" in policy
                assert "unsafe" not in policy
                assert headers["referrer-policy"] == "no-referrer"
                assert headers["x-content-type-options"] == "nosniff"
                assert "noindex" in headers["x-robots-tag"]
                assert "date" in headers
                assert ("content-length" in headers) is (answer.status_code != 204)
                assert not {"set-cookie", "server", "location"} & set(headers)
                stored = headers["cache-control"]
                assert stored == "no-store" or (path == f"/{style}" and "immutable" in stored)
        for path in ("/docs", "/openapi.json", "/redoc", "/metrics"):
            assert (await client.get(path)).status_code == 404


async def test_a_page_holds_no_script_and_no_foreign_thing(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("annalena@example.org", "newsletter")
        for path in (f"/u/{site.token(subject)}", f"/p/{site.token(subject, purpose='p')}", "/u/x"):
            answer = await client.get(path, headers={"Host": "evil.example"})
            page = Page(answer.text)
            assert not {"script", "style", "iframe", "object", "img", "base"} & set(page.tags)
            names = {name for _, name, _ in page.attributes}
            assert not any(name.startswith("on") for name in names)
            assert "style" not in names
            assert "evil.example" not in answer.text
            assert "annalena" not in answer.text  # four letters may well be in a token
            links = page.values("a", "href") + page.values("link", "href")
            absolute = {link for link in links if "//" in link}
            assert absolute <= {"https://acme.example/privacy"}
            assert page.values("form", "action") == []


async def test_the_page_says_whose_mail_it_is(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        answer = await client.get(f"/u/{site.token(subject)}")
        page = Page(answer.text)
        for words in ("Acme AB", "556677-8899", "Storgatan 1, 111 22 Stockholm, Sweden"):
            assert words in page.text
        assert "Unsubscribe from “Monthly newsletter”?" in page.text
        assert "News and offers, once a month" in page.text
        assert page.tags.count("h1") == page.tags.count("main") == page.tags.count("button") == 1
        assert page.values("form", "method") == ["post"]
        assert f"../p/{site.token(subject, purpose='p')}?lang=en" in page.values("a", "href")


async def test_after_leaving_the_page_offers_the_way_back_only(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        link = f"/u/{site.token(subject)}"
        await client.post(link)
        page = Page((await client.get(link)).text)
        assert "You are unsubscribed" in page.text
        assert page.values("button", "value") == ["undo"]


@pytest.mark.parametrize(
    ("stream_language", "query", "accept", "language"),
    [
        ("en", "", "", "en"),
        ("sv", "", "de", "sv"),  # the stream's before the browser's
        ("sv", "?lang=da", "de", "da"),  # the link's before the stream's
        ("sv", "?lang=xx", "de", "sv"),
        ("fi", "", "fr, de;q=0.8, nb;q=0.9", "nb"),
        ("fi", "", "fr", "en"),
        ("sv-FI", "?lang=<b>&lang=de", "", "sv"),
    ],
)
async def test_the_language_by_link_then_stream_then_browser(
    tmp_path, stream_language, query, accept, language
):
    spoken = {"newsletter": replace(STREAMS["newsletter"], language=stream_language)}
    async with (
        served(tmp_path, streams=spoken) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        link = f"/u/{site.token(subject)}{query}"
        answer = await client.get(link, headers={"Accept-Language": accept})
        assert answer.headers["content-language"] == language
        page = Page(answer.text)
        assert page.values("html", "lang") == [language]
        assert BUTTONS[language] in page.text
        assert ("Månadsbrevet" if language == "sv" else "Monthly newsletter") in page.text


async def test_every_page_in_every_language(tmp_path):
    """No template asks for what it is not given; nothing of a template shows."""
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        for language in BUTTONS:
            subject = await site.subscribe(f"anna@{language}.example", "newsletter", "club")
            leave, choose = site.token(subject), site.token(subject, purpose="p")
            expired, nobody = (
                site.ring.seal(Purpose.DOSSIER, Claim(subject, stream_tag("sender:acme"), until))
                for until in (1, 2**40)
            )
            asked = [
                ("GET", f"/u/{leave}", None),
                ("GET", f"/p/{choose}", None),
                ("POST", f"/u/{leave}", {"page": "1"}),
                ("GET", f"/u/{leave}", None),
                ("POST", f"/p/{choose}", {"action": "nothing"}),
                ("POST", f"/p/{choose}", {"action": "undo", "back": ["newsletter"]}),
                ("POST", f"/p/{choose}", {"action": "undo", "back": ["foreign"]}),
                ("POST", f"/p/{choose}", {"action": "bogus"}),
                ("GET", "/privacy", None),
                ("GET", "/manage", None),
                ("POST", "/privacy", {"sender": "acme", "address": f"anna@{language}.example"}),
                ("POST", "/manage", {"sender": "acme", "address": "anna"}),
                ("GET", f"/privacy/{expired}", None),
                ("GET", f"/privacy/{nobody}", None),
                ("GET", "/u/x", None),
                ("GET", "/nothing", None),
            ]
            for method, path, form in asked:
                answer = await client.request(method, f"{path}?lang={language}", data=form)
                page = Page(answer.text)
                assert page.values("html", "lang") == [language]
                assert page.tags.count("h1") == 1
                assert not re.search(r"\{[{%]|%\(|Undefined|None", answer.text)


async def test_odd_names_are_text(tmp_path):
    title = '<script>alert(1)</script> & "100 %"'
    odd = {"newsletter": replace(STREAMS["newsletter"], title={"": title})}
    async with (
        served(tmp_path, streams=odd) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        for path in (f"/u/{site.token(subject)}", f"/p/{site.token(subject, purpose='p')}"):
            page = Page((await client.get(path)).text)
            assert title in page.text
            assert "script" not in page.tags


async def test_a_compromised_key_lets_people_leave_and_nothing_else(tmp_path):
    before, after = Ring({1: OLD}, 1), Ring({1: OLD, 2: NEW}, 2, frozenset({1}))
    async with (
        served(tmp_path, ring=after) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        claim = after.open(Purpose.UNSUBSCRIBE, site.token(subject))
        leave = before.seal(Purpose.UNSUBSCRIBE, claim)
        choose = before.seal(Purpose.PREFERENCES, claim)
        page = Page((await client.get(f"/u/{leave}")).text)
        assert "Unsubscribe from" in page.text
        assert not any("p/" in link for link in page.values("a", "href"))
        for shown in (
            await client.get(f"/p/{choose}"),
            await client.post(f"/p/{choose}", data={"action": "nothing"}),
        ):
            assert shown.status_code == 410
            assert "use the link in a newer mail" in shown.text
        assert await site.facts(subject) == []
        assert (await client.post(f"/u/{leave}")).status_code == 200
        assert len(await site.facts(subject)) == 1
        done = Page((await client.post(f"/u/{leave}", data={"page": "1"})).text)
        assert not any("p/" in link for link in done.values("a", "href"))


async def test_behind_a_proxy_the_visitors_address_is_recorded(tmp_path):
    async with (
        served(tmp_path, proxies=("127.0.0.0/8",)) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        seen = {"X-Forwarded-For": "203.0.113.9, 198.51.100.1", "User-Agent": "Some Mail/1"}
        await client.post(f"/u/{site.token(subject)}", headers=seen)
        (fact,) = await site.facts(subject)
        assert (fact.ip, fact.user_agent) == ("198.51.100.1", "Some Mail/1")


async def test_what_is_counted(tmp_path):
    def counted():
        return (
            PAGE_VIEWS.labels("unsubscribe", "program")._value.get(),
            BAD_LINKS.labels("unsubscribe")._value.get(),
            WITHDRAWALS.labels("one-click")._value.get(),
            WITHDRAWALS.labels("page")._value.get(),
        )

    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        before = counted()
        link = f"/u/{site.token(subject)}"
        await client.get(link)
        await client.get("/u/x")
        await client.post(link)
        await client.post(link, data={"page": "1"})
        # The second withdrawal says the same as the first: it is none.
        assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 1, 1, 0]


async def test_a_link_that_does_not_open_is_logged_without_its_token(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        token = site.token(subject, "newsletter")
        altered = token[:-1] + ("A" if token[-1] != "A" else "B")
        with capture_logs() as logged:
            assert (await client.get(f"/u/{altered}")).status_code == 404
            assert (await client.post(f"/u/{altered}")).status_code == 404
        assert [(one["event"], one["page"], one["visitor"]) for one in logged] == [
            ("link does not open", "unsubscribe", "127.0.0.1")
        ] * 2
        assert altered not in str(logged)
