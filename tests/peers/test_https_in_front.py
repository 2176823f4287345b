"""The guide about https, carried out: Caddy and nginx with its blocks, Gatepost behind them."""

import re
import sqlite3
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

import pytest

from gatepost.consent.evidence import EventKind
from gatepost.consent.tokens import Claim, Purpose, Ring, stream_tag
from gatepost.mail.address import parse
from gatepost.store import people
from support.consents import granted
from support.documents import in_section
from support.fronts import GUIDE, HOSTS, VISITOR, Caddy, Nginx
from support.program import CONFIG, Program
from support.signups import TEXT
from support.upstream import UpstreamThread
from support.watching import wait_until

PAIR = b"List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'
)
BASES = {  # stream → where its sender's links lead
    "newsletter": "https://news.example.org",
    "post": "https://post.example.com",
    "below": "https://www.example.org/mail",
}
OTHERS = "".join(
    f"""
[senders.{stream}]
name = "Sender of {stream}"
postal_address = "1 High Street, London"
contact = "info@{stream}.example"
public_url = "{url}"
from = ["@{stream}.example"]

[streams.{stream}]
kind = "bulk"
title = "Letter {stream}"
sender = "{stream}"
"""
    for stream, url in BASES.items()
    if stream != "newsletter"
)


class World:
    """A proxy with Gatepost behind it."""

    def __init__(self, front, gateway):
        self.front = front
        self.gateway = gateway
        self._count = 0
        with gateway.store() as store:
            keys = store.keys
            self._ring = Ring(keys.link_keys, keys.link_current, keys.link_compromised)

    def somebody(self, stream="newsletter", purpose="u"):
        """Somebody new who gets the stream: an address, and the link in the mail."""
        self._count += 1
        address = f"reader{self._count}@example.org"
        sender = "acme" if stream == "newsletter" else stream
        fact = granted(stream=stream, sender=sender)
        with self.gateway.store() as store:
            subject = store.write_now(lambda tx: people.record(tx, parse(address), [fact]))
        token = self._ring.seal(Purpose(purpose), Claim(subject, stream_tag(stream), 0))
        return address, f"{BASES[stream]}/{purpose}/{token}"

    def withdrawals(self, address):
        with self.gateway.store() as store:
            events = store.read_now(lambda tx: people.history(tx, parse(address))).events
        return [one.fact for one in events if one.kind is EventKind.WITHDRAWN]


@pytest.fixture(scope="module", params=[Caddy, Nginx], ids=["caddy", "nginx"])
def world(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    (guide,) = in_section(GUIDE, "Gatepost's side", "toml")
    server, _, listener = guide.partition("[http]")
    url = re.search(r'public_url = "(.*)"', server).group(1)
    config = CONFIG.replace("http://127.0.0.1:{http_port}", url)
    config = config.replace(
        "[http]\nport = {http_port}\n", "[http]" + listener.replace("8025", "{http_port}")
    )
    (folder / "front").mkdir()
    with UpstreamThread() as upstream:
        gateway = Program(folder, upstream_port=upstream.port, config=config, more=OTHERS)
        (folder / "consent.txt").write_text(TEXT)
        gateway.run(
            "source", "add", "website", "--sender", "acme", "--kind", "form",
            "--streams", "newsletter", "--text-file", folder / "consent.txt",
            "--attest", "voluntary,informed,specific,states-withdrawal",
        )  # fmt: skip
        with gateway, request.param(folder / "front", gateway.http_port) as front:
            yield World(front, gateway)


@pytest.fixture(autouse=True)
def no_token_in_any_log(world):
    """Whatever a test did, neither side has written down whose link it used."""
    yield
    said = world.front.log() + world.gateway.log()
    assert not re.search(r"/[upc]/[A-Za-z0-9_-]{20}", said), said
    assert not re.search(r"[A-Za-z0-9_-]{49}", world.front.log())


# one-click


@pytest.mark.parametrize("stream", BASES)
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (PAIR, FORM),
        (MULTIPART, {"Content-Type": "multipart/form-data; boundary=b"}),
        (None, {}),
        (b"", FORM),
        ((PAIR[:9], PAIR[9:]), FORM),
        (PAIR, FORM | {"Expect": "100-continue"}),
    ],
    ids=["urlencoded", "multipart", "no body", "empty", "chunked", "expect"],
)
def test_one_click(world, stream, body, headers):
    """R8058-7, -8: no redirect; the ledger has the visitor's address and not the proxy's."""
    address, link = world.somebody(stream)
    reply = world.front.ask("POST", link, body, headers)
    assert reply.status == 200, reply.text
    assert "location" not in reply.headers
    (fact,) = world.withdrawals(address)
    assert (fact.ip, fact.method, fact.stream) == (VISITOR, "one-click", stream)
    assert world.front.ask("POST", link, PAIR, FORM).status == 200
    assert len(world.withdrawals(address)) == 1


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "x-forwarded-for"])
@pytest.mark.parametrize("claim", ["192.0.2.66", "192.0.2.66, 127.0.0.1", "for=192.0.2.66"])
def test_what_a_visitor_claims_to_be_is_not_believed(world, name, claim):
    address, link = world.somebody()
    assert world.front.ask("POST", link, PAIR, FORM | {name: claim}).status == 200
    assert [fact.ip for fact in world.withdrawals(address)] == [VISITOR]


def test_http_2(world):
    address, link = world.somebody()
    assert world.front.curl(link) == "2 200"
    assert not world.withdrawals(address)
    assert world.front.curl(link, "--data", PAIR.decode()) == "2 200"
    assert [fact.ip for fact in world.withdrawals(address)] == [VISITOR]


def test_http_1_0(world):
    address, link = world.somebody()
    path = urlsplit(link).path
    for method, body in (("GET", b""), ("POST", PAIR)):
        request = f"{method} {path} HTTP/1.0\r\nHost: {HOSTS[0]}\r\n"
        answer = world.front.say(
            HOSTS[0], f"{request}Content-Length: {len(body)}\r\n\r\n".encode() + body
        )
        assert re.match(rb"HTTP/1\.\d 200 ", answer), answer
        assert b"ransfer-" not in answer.partition(b"\r\n\r\n")[0]
    assert len(world.withdrawals(address)) == 1


def test_who_hangs_up_in_the_middle_has_still_left(world):
    """As far as the proxy has handed it on: Caddy gathers the first 4 KB."""
    address, link = world.somebody()
    size = 100_000
    head = (
        f"POST {urlsplit(link).path} HTTP/1.1\r\nHost: {HOSTS[0]}\r\nContent-Length: {size}\r\n\r\n"
    )
    with world.front.connection(HOSTS[0]) as wire:
        wire.sendall(head.encode() + PAIR + b"&" * (size // 2))
    wait_until(lambda: world.withdrawals(address))


@pytest.mark.parametrize(
    "path", ["//u/{}", "/u/{}/", "/u//{}", "/u/{}?a=b&utm_source=x", "/%75/{}"]
)
def test_odd_ways_of_writing_a_link_are_not_redirected(world, path):
    """R8058-7: neither the proxy nor Gatepost tidies up a path by a redirect."""
    address, link = world.somebody()
    token = link.rpartition("/")[2]
    reply = world.front.ask("POST", BASES["newsletter"] + path.format(token), PAIR, FORM)
    assert reply.status in (200, 404)
    assert len(world.withdrawals(address)) == (reply.status == 200)
    if path != "/u//{}":
        assert reply.status == 200


def test_a_host_that_nobody_configured_is_no_reason_to_redirect(world):
    """A client that names another host, or the port, gets no 3xx from the https listener."""
    for host in ("unknown.example", f"{HOSTS[0]}:443"):
        _, link = world.somebody()
        answer = world.front.say(
            HOSTS[0],
            f"POST {urlsplit(link).path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n"
            "Connection: close\r\n\r\n".encode(),
        )
        assert not re.match(rb"HTTP/1\.1 3", answer), answer


# pages


class Page(HTMLParser):
    """What a page refers to, and its forms as a browser would send them."""

    def __init__(self, url, text):
        super().__init__()
        self.url, self.references, self.forms = url, set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        where = found.get("href") if tag in ("a", "link") else found.get("src")
        if where:
            self.references.add(urljoin(self.url, where))
        if tag == "form":
            target = urljoin(self.url, found.get("action") or self.url)
            self.forms.append((target, found.get("method", "get").upper(), []))
        if tag in ("input", "button") and self.forms and found.get("name"):
            ticked = "checked" in found or found.get("type") not in ("checkbox", "radio")
            if ticked:
                self.forms[-1][2].append((found["name"], found.get("value") or "on"))


@pytest.mark.parametrize("stream", BASES)
def test_everything_on_the_pages_leads_somewhere(world, stream):
    """Each style sheet, picture, link and form of each page, through the proxy, on its host."""
    base = BASES[stream]
    _, leaving = world.somebody(stream)
    _, choosing = world.somebody(stream, "p")
    waiting = [leaving, choosing, f"{base}/privacy", f"{base}/manage?sender={_sender(stream)}"]
    waiting += [f"{base}/subscribe/website"] if stream == "newsletter" else []
    seen, forms = set(), {}
    while waiting:
        url = waiting.pop()
        if url in seen or not url.startswith(base):
            continue
        seen.add(url)
        reply = world.front.ask("GET", url)
        assert reply.status == 200, (url, reply.status)
        assert reply.headers["strict-transport-security"] == "max-age=31536000"
        assert "no-referrer" in reply.headers["referrer-policy"]
        if reply.headers["content-type"].startswith("text/html"):
            page = Page(url, reply.text)
            waiting += page.references
            forms |= {(target.partition("?")[0], str(sent)): (target, how, sent)
                      for target, how, sent in page.forms}  # fmt: skip
    assert any(url.endswith(".css") for url in seen)
    assert len(forms) >= 5
    for target, how, sent in forms.values():
        assert how == "POST"
        assert target.startswith(base)
        filled = [(name, "x@example.org" if name == "address" else value) for name, value in sent]
        reply = world.front.ask(how, target, urlencode(filled).encode(), FORM)
        # The form to sign up refuses whoever fills it in within two seconds.
        assert reply.status in ((200, 422) if "/subscribe/" in target else (200,)), target


def _sender(stream):
    return "acme" if stream == "newsletter" else stream


def test_the_website_beside_the_pages_is_its_own(world):
    assert world.front.ask("GET", "https://www.example.org/").status in (403, 404)


def test_plain_http_leads_to_https(world):
    """A GET by hand; a POST keeps its method, though no link of ours is http."""
    for method in ("GET", "POST"):
        _, link = world.somebody()
        reply = world.front.ask(method, link.replace("https://", "http://"))
        assert reply.status == 308
        where = urlsplit(reply.headers["location"])
        assert (where.scheme, where.hostname, where.path) == (
            "https", HOSTS[0], urlsplit(link).path,
        )  # fmt: skip


# trouble


def test_a_big_body_is_read_or_refused(world):
    """What is 200 has left; what nobody would send is at most refused as too large."""
    for size in (200_000, 1_000_000, 8_000_000):
        address, link = world.somebody()
        body = world.front.folder / "body"
        body.write_bytes(b"x" * size)
        said = world.front.curl(link, "--data-binary", f"@{body}")
        assert said in ("2 200", "2 413")
        assert len(world.withdrawals(address)) == (said == "2 200")
        assert said == "2 200" or size > 1_000_000


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 26\r\nContent-Length: 5\r\n",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Content-Length: +26\r\n",
    ],
)
def test_two_lengths_are_no_way_to_a_second_request(world, framing):
    """Whatever the proxy makes of it, a request hidden in a body is not carried out."""
    _, link = world.somebody()
    hidden, secret = world.somebody()
    inner = (
        f"POST {urlsplit(secret).path} HTTP/1.1\r\nHost: {HOSTS[0]}\r\nContent-Length: 0\r\n\r\n"
    )
    body = b"0\r\n\r\n" + inner.encode()
    world.front.say(
        HOSTS[0],
        f"POST {urlsplit(link).path} HTTP/1.1\r\nHost: {HOSTS[0]}\r\nConnection: close\r\n".encode()
        + framing + b"\r\n" + body,
    )  # fmt: skip
    assert not world.withdrawals(hidden)


def test_an_upgrade_is_no_way_to_a_second_request(world):
    """Caddy hands on what a visitor offers; Gatepost then ends the connection that both share."""
    _, link = world.somebody()
    hidden, secret = world.somebody()
    inner = (
        f"POST {urlsplit(secret).path} HTTP/1.1\r\nHost: {HOSTS[0]}\r\nContent-Length: 0\r\n\r\n"
    )
    offer = {"Connection": "Upgrade", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"}
    for _ in range(5):
        assert world.front.ask("POST", link, inner.encode(), offer).status == 200
        assert world.front.ask("GET", f"{BASES['newsletter']}/healthz").text == "ok\n"
    assert not world.withdrawals(hidden)


def test_a_store_that_is_away_is_told_as_it_is(world):
    """R8058-13: 503 with Retry-After passes the proxy, and the next try leaves."""
    address, link = world.somebody()
    holder = sqlite3.connect(world.gateway.folder / "data" / "gatepost.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        reply = world.front.ask("POST", link, PAIR, FORM)
    finally:
        holder.close()
    assert reply.status == 503
    assert int(reply.headers["retry-after"]) > 0
    assert "<html" in reply.text
    assert world.front.ask("POST", link, PAIR, FORM).status == 200
    assert len(world.withdrawals(address)) == 1


def test_gatepost_comes_back(world):
    """While it is down there is no 200 and nothing in the logs; afterwards all is well."""
    address, link = world.somebody()
    world.gateway.stop()
    try:
        assert world.front.ask("POST", link, PAIR, FORM).status in (502, 503, 504)
    finally:
        world.gateway.start()
    assert world.front.ask("POST", link, PAIR, FORM).status == 200
    assert len(world.withdrawals(address)) == 1
