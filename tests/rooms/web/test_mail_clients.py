"""What mail clients put on the wire to leave in one click: request by request, over raw sockets.

RFC 8058 and REQUIREMENTS 2.1. Bodies of every form are in `test_one_click.py`; here are whole
requests as they are known from documentation (Gmail's sender guidelines show theirs, RFC 8058
§8 its own) and from reports about add-ons and web mailers, and ways in which a URL is changed
on its way. Clients that do not say what they send stand for the forms that RFC 8058 lets them
choose from. What one sends today may differ tomorrow: so every row must withdraw.
"""

import asyncio
from dataclasses import replace

import pytest

from gatepost.web.counters import PAGE_VIEWS
from support.site import SENDERS, served

PAIR = b"List-Unsubscribe=One-Click"
FORM = "application/x-www-form-urlencoded"
BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
MULTIPART = (
    f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
    f'name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--{BOUNDARY}--\r\n'
).encode()
RFC_MULTIPART = (
    b"---FormBoundaryjWmhtjORrn\r\n"
    b'Content-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n'
    b"---FormBoundaryjWmhtjORrn--\r\n"
)

# Who: headers beside Host and Content-Length, and the body.
CLIENTS = {
    "Gmail, as its guidelines show it": ({"Content-Type": FORM}, PAIR),
    "Yahoo, AOL: a form from a server": (
        {"Content-Type": f"{FORM}; charset=UTF-8", "Accept": "*/*", "Connection": "close"},
        PAIR,
    ),
    "Apple Mail: a multipart form": (
        {
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
            "User-Agent": "Mail/3826 CFNetwork/3826 Darwin/24.0",
            "Accept-Language": "sv-SE,sv;q=0.9",
        },
        MULTIPART,
    ),
    "Thunderbird with an add-on, before it sent a body": ({"Content-Length": "0"}, b""),
    "Thunderbird with an add-on, without a type": ({"Origin": "moz-extension://0a1b"}, PAIR),
    "a web mailer by fetch, as text": (
        {"Content-Type": "text/plain;charset=UTF-8", "Origin": "https://webmail.example"},
        PAIR,
    ),
    "Outlook: a form with more in it": (
        {"Content-Type": FORM, "Expect": "100-continue"},
        PAIR + b"&client=outlook",
    ),
    "RFC 8058 section 8.3, to the letter": (
        {"Content-Type": "multipart/form-data; boundary=---FormBoundaryjWmhtjORrn"},
        RFC_MULTIPART,
    ),
    "RFC 8058 section 8.1": ({"Content-Type": FORM}, PAIR),
    "a phone that thinks in capitals": ({"CONTENT-TYPE": FORM.upper()}, PAIR.upper()),
    "JSON from a script": (
        {"Content-Type": "application/json"},
        b'{"List-Unsubscribe": "One-Click"}',
    ),
    "nothing but the method": ({}, b""),
}

# How the path of a link may look when it arrives; `{t}` is the token.
PATHS = {
    "as it was sent": "/u/{t}",
    "a slash at the end": "/u/{t}/",
    "parameters of a tracker": "/u/{t}?utm_source=newsletter&utm_medium=e-mail",
    "a language": "/u/{t}?lang=de",
    "an empty query": "/u/{t}?",
    "the full stop of the sentence": "/u/{t}.",
    "the bracket around it": "/u/{t}%3E",
    "the slash percent-encoded": "/u%2F{t}",
    "a letter percent-encoded": "/%75/{t}",
    "two slashes": "//u/{t}",
    "the whole address": "https://mail.example.org/u/{t}",
    "below the prefix of a public URL": "/mail/out/u/{t}",
}


def request(path, headers=None, body=b"", method="POST", version="HTTP/1.1"):
    lines = [f"{method} {path} {version}", "Host: mail.example.org"]
    headers = dict(headers or {})
    if method == "POST" and "Transfer-Encoding" not in headers:
        headers.setdefault("Content-Length", str(len(body)))
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def exchange(port, sent):
    """One request on a connection of its own: status, headers, body; 100 Continue is read over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            status = int(head.split()[1])
            if status != 100:
                break
        pairs = (line.partition(":") for line in head.split("\r\n")[1:])
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        method = sent.split()[0]
        length = 0 if method == b"HEAD" else int(headers.get("content-length", 0))
        return status, headers, await reader.readexactly(length)
    finally:
        writer.close()


async def test_every_client_leaves_in_one_request(tmp_path):
    """R8058-6, -7, -8, -11, -12, -13: no cookie, no redirect, one event, a short text."""
    async with served(tmp_path) as site:
        for number, (client, (headers, body)) in enumerate(CLIENTS.items()):
            subject = await site.subscribe(f"a{number}@example.org", "newsletter", "events")
            sent = request(f"/u/{site.token(subject)}", headers, body)
            status, answered, text = await exchange(site.port, sent)
            assert (client, status) == (client, 200)
            assert answered["content-type"] == "text/plain; charset=utf-8", client
            assert not {"set-cookie", "location", "www-authenticate"} & answered.keys()
            assert len(text) < 200, client
            (fact,) = await site.facts(subject)
            assert (client, fact.stream, fact.method) == (client, "newsletter", "one-click")
            again, _, _ = await exchange(site.port, sent)
            assert (client, again) == (client, 200)
            assert len(await site.facts(subject)) == 1
            assert site.withdrawn.count((subject, "acme", "newsletter")) == 1
            assert site.again.count((subject, "acme", "newsletter")) == 1


async def test_a_link_that_was_changed_on_its_way_still_works(tmp_path):
    prefixed = {
        **SENDERS,
        "acme": replace(SENDERS["acme"], public_url="https://a.example/mail/out"),
    }
    async with served(tmp_path, senders=prefixed) as site:
        for number, (change, path) in enumerate(PATHS.items()):
            subject = await site.subscribe(f"a{number}@example.org", "newsletter")
            token = site.token(subject)
            for method in ("HEAD", "GET"):
                look = request(path.format(t=token), method=method)
                status, _, _ = await exchange(site.port, look)
                assert (change, method, status) == (change, method, 200)
            assert await site.facts(subject) == []
            sent = request(path.format(t=token), {"Content-Type": FORM}, PAIR)
            status, answered, _ = await exchange(site.port, sent)
            assert (change, status) == (change, 200)
            assert "location" not in answered
            assert len(await site.facts(subject)) == 1, change


async def test_a_client_of_old_and_one_in_pieces(tmp_path):
    async with served(tmp_path) as site:
        first = await site.subscribe("a@example.org", "newsletter")
        sent = request(f"/u/{site.token(first)}", {"Content-Type": FORM}, PAIR, version="HTTP/1.0")
        assert (await exchange(site.port, sent))[0] == 200
        second = await site.subscribe("b@example.org", "newsletter")
        chunks = b"".join(b"1\r\n%c\r\n" % octet for octet in PAIR) + b"0\r\n\r\n"
        coded = {"Content-Type": FORM, "Transfer-Encoding": "chunked"}
        head = request(f"/u/{site.token(second)}", coded)
        status, _, _ = await exchange(site.port, head + chunks)
        assert status == 200
        assert len(await site.facts(first)) == len(await site.facts(second)) == 1


async def test_who_waits_to_be_told_to_go_on_is_told(tmp_path):
    """Expect: 100-continue (RFC 9110 §10.1.1), the body only after the answer."""
    async with served(tmp_path) as site:
        subject = await site.subscribe("a@example.org", "newsletter")
        head = request(
            f"/u/{site.token(subject)}",
            {"Content-Type": FORM, "Expect": "100-continue", "Content-Length": str(len(PAIR))},
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(head)
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(PAIR)
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        writer.close()
        (fact,) = await site.facts(subject)
        assert fact.note == ""


@pytest.mark.parametrize("purpose", ["u", "p"])
async def test_nothing_that_looks_changes_anything(tmp_path, purpose):
    """R8058-9, -14: scanners, prefetch, and every method that is no POST."""
    ahead = ({"Sec-Purpose": "prefetch"}, {"Purpose": "prefetch"}, {"X-Moz": "prefetch"})
    browser = {"User-Agent": "Mozilla/5.0 (X11)", "Accept": "text/html"}
    looks = [("GET", {**browser, **more}) for more in ahead] + [("GET", browser), ("GET", {})]
    looks += [(method, browser) for method in ("HEAD", "OPTIONS", "PROPFIND", "TRACE", "REPORT")]
    looks += [(method, {}) for method in ("PUT", "PATCH", "DELETE")]
    async with served(tmp_path) as site:
        subject = await site.subscribe("a@example.org", "newsletter")
        before = len((await site.history(subject)).events)
        path = f"/{purpose}/{site.token(subject, purpose=purpose)}"
        for method, headers in looks:
            for query in ("", "?List-Unsubscribe=One-Click", "?action=nothing&page=1"):
                status, _, _ = await exchange(
                    site.port, request(path + query, headers, method=method)
                )
                expected = {"GET": 200, "HEAD": 200, "OPTIONS": 204}.get(method, 405)
                assert (method, status) == (method, expected)
        assert len((await site.history(subject)).events) == before
        assert site.withdrawn == []


async def test_visits_are_counted_by_who_seems_to_look(tmp_path):
    def counted():
        kinds = ("person", "prefetch", "program", "other-method")
        return [PAGE_VIEWS.labels("unsubscribe", kind)._value.get() for kind in kinds]

    browser = {"User-Agent": "Mozilla/5.0 (X11; Linux)", "Accept": "text/html,*/*;q=0.8"}
    scanner = {"User-Agent": "Mozilla/5.0 (compatible; LinkScanner/1.0)", "Accept": "text/html"}
    async with served(tmp_path) as site:
        subject = await site.subscribe("a@example.org", "newsletter")
        path, before = f"/u/{site.token(subject)}", counted()
        for method, headers in (
            ("GET", browser),
            ("GET", {**browser, "Sec-Purpose": "prefetch;prerender"}),
            ("GET", scanner),
            ("GET", {"User-Agent": "curl/8"}),
            ("HEAD", browser),
        ):
            await exchange(site.port, request(path, headers, method=method))
        assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 1, 2, 1]
