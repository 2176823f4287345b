"""POST /u/{token}: RFC 8058 to the letter, and whatever mail clients really send."""

import asyncio

import pytest

from gatepost.app.texts import Texts
from gatepost.consent.evidence import EventKind, Fact
from gatepost.store import ids, people
from gatepost.web.links import Link
from gatepost.web.page import Pages
from gatepost.web.site import Site
from support.site import SENDERS, STREAMS, SUBMISSION, served
from support.visiting import visiting

PAIR = b"List-Unsubscribe=One-Click"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


def _length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def _multipart(boundary: bytes, *, delimiter: bytes = b"--") -> bytes:
    body = (
        delimiter + boundary + b"\r\n"
        b'Content-Disposition: form-data; name="List-Unsubscribe"\r\n'
        b"\r\n"
        b"One-Click\r\n" + delimiter + boundary + b"--\r\n"
    )
    return b"Content-Type: multipart/form-data; boundary=" + boundary + b"\r\n" + _length(body)


# What follows the request line and Host; the note that the evidence keeps, "" for none.
BODIES = {
    "urlencoded, RFC 8058 section 3.2": (FORM + _length(PAIR), ""),
    "multipart, well-formed": (_multipart(b"----FormBoundaryjWmhtjORrn"), ""),
    "multipart, the RFC's own malformed example": (
        _multipart(b"---FormBoundaryjWmhtjORrn", delimiter=b""),
        "",
    ),
    "charset on the type": (
        b"Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n" + _length(PAIR),
        "",
    ),
    "wrong content type": (b"Content-Type: application/json\r\n" + _length(PAIR), ""),
    "no content type": (_length(PAIR), ""),
    "extra fields": (FORM + _length(b"a=1&" + PAIR + b"&email=x%40y.example"), ""),
    "lower case": (FORM + _length(PAIR.lower()), ""),
    "a line end behind it": (FORM + _length(PAIR + b"\r\n"), ""),
    "chunked": (
        FORM + b"Transfer-Encoding: chunked\r\n\r\n"
        b"4\r\nList\r\n16\r\n-Unsubscribe=One-Click\r\n0\r\n\r\n",
        "",
    ),
    "no body, length 0": (b"Content-Length: 0\r\n\r\n", "the body did not say One-Click"),
    "no body, no length": (b"\r\n", "the body did not say One-Click"),
    "JSON": (_length(b'{"unsubscribe": true}'), "the body did not say One-Click"),
    "bytes that are no text": (_length(bytes(range(256))), "the body did not say One-Click"),
    "200 KB": (_length(b"x" * 200_000), "the body did not say One-Click"),
    "cookies and authorisation": (
        b"Cookie: session=1\r\nAuthorization: Basic eDp5\r\n" + FORM + _length(PAIR),
        "",
    ),
    "a foreign origin": (
        b"Origin: https://evil.example\r\nReferer: https://evil.example/\r\n"
        + FORM + _length(PAIR),
        "",
    ),
}  # fmt: skip


def post(token: str, rest: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    return b"POST /u/" + token.encode() + b" " + version + b"\r\nHost: a.example\r\n" + rest


async def exchange(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """One request over a raw socket: status, headers (lower case), body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    writer.close()
    return int(status.split()[1]), headers, body


async def test_whatever_the_body_a_post_withdraws(tmp_path):
    """R8058-6, -8, -11, -12; REQUIREMENTS 4.B 2."""
    async with served(tmp_path) as site:
        for number, (form, (rest, note)) in enumerate(BODIES.items()):
            subject = await site.subscribe(f"anna{number}@example.org", "newsletter", "events")
            status, headers, body = await exchange(site.port, post(site.token(subject), rest))
            assert (form, status) == (form, 200)
            assert b"Acme AB" in body, form
            assert not {"set-cookie", "location", "www-authenticate", "server"} & headers.keys()
            (fact,) = await site.facts(subject)
            assert (fact.stream, fact.sender, fact.actor) == ("newsletter", "acme", "recipient")
            assert (form, fact.method, fact.note) == (form, "one-click", note)
            assert fact.submission == ids.to_text(SUBMISSION)
            assert fact.ip == "127.0.0.1"
            assert site.withdrawn[-1] == (subject, "acme", "newsletter")
            history = await site.history(subject)
            left = {one.stream: one.standing.withdrawn_at for one in history.standings}
            assert left["newsletter"] is not None
            assert left["events"] is None


async def test_http_1_0_will_do(tmp_path):
    async with served(tmp_path) as site:
        for number, (rest, _) in enumerate(
            [BODIES["no body, no length"], (FORM + _length(PAIR), "")]
        ):
            subject = await site.subscribe(f"anna{number}@example.org", "newsletter")
            request = post(site.token(subject), rest, b"HTTP/1.0")
            status, headers, _ = await exchange(site.port, request)
            assert (status, headers["connection"]) == (200, "close")
            assert len(await site.facts(subject)) == 1


async def test_a_body_that_comes_in_drops_is_waited_for(tmp_path):
    async with served(tmp_path) as site:
        subject = await site.subscribe("anna@example.org", "newsletter")
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        head = f"POST /u/{site.token(subject)} HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\n"
        for piece in (head.encode(), PAIR[:9], PAIR[9:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        assert (await site.facts(subject))[0].note == ""


@pytest.mark.both_engines
async def test_who_hangs_up_in_the_middle_has_still_left(tmp_path):
    async with served(tmp_path) as site:
        subject = await site.subscribe("anna@example.org", "newsletter")
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        head = f"POST /u/{site.token(subject)} HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\n"
        writer.write(head.encode() + PAIR[:5])
        await writer.drain()
        writer.close()
        await site.told.wait()
        assert len(await site.facts(subject)) == 1


async def test_expecting_100_continue(tmp_path):
    async with served(tmp_path) as site:
        subject = await site.subscribe("anna@example.org", "newsletter")
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(
            f"POST /u/{site.token(subject)} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            "Content-Length: 26\r\n\r\n".encode()
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(PAIR)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.both_engines
async def test_again_is_the_same_as_once(tmp_path):
    """R8058-13: idempotent, also under a hail of clicks."""
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        link = f"/u/{site.token(subject)}"
        answers = await asyncio.gather(*(client.post(link, content=PAIR) for _ in range(8)))
        answers.append(await client.post(link, content=PAIR))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == 1
        assert len(await site.facts(subject)) == 1


async def test_many_at_once_and_one_of_another_store(tmp_path):
    """Withdrawals share a transaction; the link of a stranger spoils nobody else's."""
    async with served(tmp_path) as site, visiting(site.url) as client:
        people_here = [
            await site.subscribe(f"anna{number}@example.org", "newsletter", "events")
            for number in range(6)
        ]
        links = [
            f"/u/{site.token(subject, stream)}"
            for subject in people_here
            for stream in ("newsletter", "events")
        ]
        links.insert(3, f"/u/{site.token(12345)}")
        answers = await asyncio.gather(*(client.post(link) for link in links))
        codes = [answer.status_code for answer in answers]
        assert codes.pop(3) == 404
        assert set(codes) == {200}
        for subject in people_here:
            assert sorted(fact.stream for fact in await site.facts(subject)) == [
                "events",
                "newsletter",
            ]


@pytest.mark.both_engines
async def test_who_came_back_can_leave_again(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        leave, choose = f"/u/{site.token(subject)}", f"/p/{site.token(subject, purpose='p')}"
        await client.post(leave, content=PAIR)
        back = {"action": "save", "shown": "newsletter", "on": "newsletter"}
        await client.post(choose, data=back)
        await client.post(leave, content=PAIR)
        kinds = [event.kind for event in (await site.history(subject)).events]
        assert kinds[1:] == [EventKind.WITHDRAWN, EventKind.RESUBSCRIBED, EventKind.WITHDRAWN]


async def test_no_other_method_changes_anything(tmp_path):
    """R8058-9, R8058-14, REQUIREMENTS 4.B 1: scanners open every link."""
    expected = {"GET": 200, "HEAD": 200, "OPTIONS": 204}
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        before = await site.history(subject)
        for method in ("GET", "HEAD", "OPTIONS", "PROPFIND", "PUT", "DELETE", "PATCH"):
            for purpose in "up":
                answer = await client.request(
                    method,
                    f"/{purpose}/{site.token(subject, purpose=purpose)}"
                    "?List-Unsubscribe=One-Click&action=nothing",
                    headers={"Sec-Purpose": "prefetch", "X-HTTP-Method-Override": "POST"},
                    content=b"" if method in expected else PAIR,
                )
                assert (method, answer.status_code) == (method, expected.get(method, 405))
                assert method != "HEAD" or not answer.content
        assert await site.history(subject) == before
        assert site.withdrawn == []


@pytest.mark.both_engines
async def test_the_link_of_an_erased_person_works(tmp_path):
    """The subject outlives the erasure, so that links go on working."""
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        erased = Fact(kind=EventKind.ERASED, at=site.store.now(), actor="staff")
        await site.store.write(lambda tx: people.record_for_subject(tx, subject, [erased]))
        link = f"/u/{site.token(subject)}"
        assert (await client.get(link)).status_code == 200
        assert (await client.post(link, content=PAIR)).status_code == 200
        assert len(await site.facts(subject)) == 1


async def test_two_recipients_have_two_links(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        anna = await site.subscribe("anna@example.org", "newsletter")
        bert = await site.subscribe("bert@example.org", "newsletter")
        assert site.token(anna) != site.token(bert)
        await client.post(f"/u/{site.token(anna)}", content=PAIR)
        assert len(await site.facts(anna)) == 1
        assert await site.facts(bert) == []


async def test_only_its_own_token_opens_a_page(tmp_path):
    """R8058-5, R8058-13; tokens of different purposes never stand in for each other."""
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        good = site.token(subject)
        bad = [site.token(subject, purpose=purpose) for purpose in "pcbmd"]
        bad += [
            "",
            "x",
            good[:-1],
            good + "A",
            good[1:] + good[0],
            "..%2f..%2fetc",
            "%00",
            "é" * 49,
        ]
        bad += [good.swapcase(), site.token(12345)]
        for token in bad:
            for method in ("GET", "POST"):
                answer = await client.request(method, f"/u/{token}")
                assert (token, answer.status_code) == (token, 404)
                assert "This link does not work" in answer.text
        assert await site.facts(subject) == []


async def test_a_slash_behind_the_token_is_no_redirect(tmp_path):
    """R8058-7."""
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        answer = await client.post(f"/u/{site.token(subject)}/?lang=sv", content=PAIR)
        assert answer.status_code == 200
        assert answer.text.startswith("Du är avregistrerad")
        assert len(await site.facts(subject)) == 1


@pytest.mark.both_engines
async def test_links_of_retired_streams_work(tmp_path):
    """HR-5, R8058-15: the stream is gone from the configuration, not from people's mailboxes."""
    retired = {"summer-2019": "acme"}
    async with (
        served(tmp_path, retired=retired) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        link = f"/u/{site.token(subject, 'summer-2019')}"
        assert "summer-2019" in (await client.get(link)).text
        answer = await client.post(link, content=PAIR)
        assert answer.status_code == 200
        (fact,) = await site.facts(subject)
        assert (fact.stream, fact.sender) == ("summer-2019", "acme")


async def test_the_button_of_our_page_shows_a_page(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        answer = await client.post(f"/u/{site.token(subject)}", data={"page": "1"})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "You are unsubscribed" in answer.text
        (fact,) = await site.facts(subject)
        assert (fact.method, fact.note) == ("page", "")


async def test_the_store_is_away(tmp_path):
    """R8058-13: never 200 before the commit; come back later, and it works."""
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        link = f"/u/{site.token(subject)}"
        await asyncio.to_thread(site.store.close)
        for method, path in (
            ("POST", link),
            ("GET", link),
            ("GET", f"/p/{site.token(subject, purpose='p')}"),
        ):
            answer = await client.request(method, path)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "Not possible just now" in answer.text
            assert "Traceback" not in answer.text
        assert site.withdrawn == []


def test_the_short_answer_is_made_once_and_anew_after_a_reload(tmp_path):
    (tmp_path / "pages").mkdir()
    template = tmp_path / "pages" / "unsubscribed.txt"
    template.write_text("{{ title }}, before")
    words, streams = Texts(tmp_path), dict(STREAMS)
    site = Site(
        store=None, ring=None, streams=lambda: streams, senders=lambda: SENDERS, texts=words,
        on_withdrawn=None, ready=None,
    )  # fmt: skip
    pages = Pages(site)

    def sent(name, query=b""):
        stream = streams[name]
        link = Link(
            claim=None, stream_name=name, sender_name="acme", stream=stream,
            sender=SENDERS["acme"], token="", ring=None,
        )  # fmt: skip
        return pages.one_click_done({"headers": [], "query_string": query}, link)

    def said(answer):
        messages = []

        async def send(message):
            messages.append(message)

        asyncio.run(answer.send(send))
        return messages[1]["body"].decode()

    first = sent("newsletter")
    assert said(first) == "Monthly newsletter, before"
    assert sent("newsletter") is first
    assert said(sent("newsletter", b"lang=sv")) == "Månadsbrevet, before"
    assert said(sent("events")) == "Events & fairs, before"
    template.write_text("{{ title }}, after")
    words.load(tmp_path)
    streams = dict(STREAMS)
    assert said(sent("newsletter")) == "Monthly newsletter, after"
