"""Links of the running program: keys changed while it runs, by several workers; nothing said.

R8058-15, HR-5: what was sent before a rotation works for ever, and in every worker.
"""

import json
import re
import signal
import urllib.parse
import urllib.request

import pytest

from support.consents import granted
from support.program import Program
from support.upstream import UpstreamThread
from support.watching import mail, request, send, wait_until

ANNA, BO = "anna@kund.example", "bo@kund.example"
LEAVE = re.compile(rb"List-Unsubscribe: <(http://127\.0\.0\.1:\d+/u/[\w-]{49})>")
STORED = re.compile(rb"http://127\.0\.0\.1:\d+/privacy/[\w-]{49}")
CHOOSE = re.compile(rb"http://127\.0\.0\.1:\d+/p/[\w-]{49}")
OWN = '\n[pages]\ntemplates = "templates"\n'


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Two workers, addresses hashed in the log, as they are unless somebody says otherwise."""
    folder = tmp_path_factory.mktemp("links")
    own = folder / "templates" / "pages"
    own.mkdir(parents=True)
    (own / "unsubscribed.txt").write_text("First words of {{ name }}\n")
    with UpstreamThread() as upstream:
        gateway = Program(folder, upstream_port=upstream.port, more=OWN, options=("--workers", "2"))
        text = gateway.config.read_text().replace('addresses = "plain"', 'addresses = "hashed"')
        gateway.config.write_text(text)
        gateway.record({address: [granted()] for address in (ANNA, BO)})
        with gateway:
            yield gateway, upstream


def unfolded(copy):
    """Its octets without folds and soft line breaks."""
    return copy.content.replace(b"\r\n ", b" ").replace(b"=\r\n", b"")


def links(gateway, upstream, subject, *people):
    """A mailing; the link to leave by of each copy, and the one to choose by."""
    before = len(upstream.taken)
    assert send(gateway, people, mail(subject))[0] == 250
    wait_until(lambda: len(upstream.taken) >= before + len(people), gateway)
    found = {}
    for copy in upstream.taken[before:]:
        content = unfolded(copy)
        leave, choose = LEAVE.search(content), CHOOSE.search(content)
        found[copy.recipients[0]] = leave.group(1).decode(), choose.group().decode()
    return found


def first_letter(link):
    """It is the id of the key."""
    return link.rpartition("/")[2][0]


def body_of(link, data=b""):
    with urllib.request.urlopen(urllib.request.Request(link, data=data), timeout=120) as answer:
        return answer.read().decode()


def test_old_links_live_through_a_rotation(running):
    gateway, upstream = running
    old = links(gateway, upstream, "One", ANNA, BO)
    assert {first_letter(link) for pair in old.values() for link in pair} == {"A"}
    made = json.loads(gateway.run("keys", "rotate", "--json").stdout)
    assert made == {"current": 1, "compromised": []}
    new = links(gateway, upstream, "Two", ANNA, BO)
    assert {first_letter(link) for pair in new.values() for link in pair} == {"B"}
    for _ in range(8):  # each connection may meet either worker
        for link in (*old[ANNA], *old[BO], *new[ANNA], *new[BO]):
            assert request("GET", link) == 200
    gateway.run("keys", "rotate", "--compromised", "0")
    leave, choose = old[ANNA]
    for _ in range(8):
        assert [request("GET", link) for link in (leave, choose)] == [200, 410]
        assert [request("GET", link) for link in new[ANNA]] == [200, 200]
    assert "First words of Acme AB" in body_of(leave)
    shown = json.loads(gateway.run("consent", "show", ANNA, "--json").stdout)
    assert shown["standings"][0]["state"] == "withdrawn"


def test_templates_are_read_again_with_a_reload(running):
    gateway, upstream = running
    own = gateway.folder / "templates" / "pages" / "unsubscribed.txt"
    link, _ = links(gateway, upstream, "Three", BO)[BO]

    def reload(event):
        before = gateway.log().count(event)
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: gateway.log().count(event) >= before + 2, gateway)

    own.write_text("{{ nobody_knows_this }}")
    reload("configuration not reloaded")
    assert "nobody_knows_this is not known there" in gateway.log()
    assert str(own) in gateway.log()
    assert "First words" in body_of(link)
    own.write_text("Second words\n")
    reload("configuration reloaded")
    for _ in range(8):
        assert body_of(link) == "Second words"


def test_neither_addresses_nor_links_are_in_the_log(running):
    """Whatever was asked, and however wrongly: paths hold tokens, forms hold addresses."""
    gateway, upstream = running
    base = f"http://127.0.0.1:{gateway.http_port}"
    typed = urllib.parse.urlencode({"sender": "acme", "address": ANNA}).encode()
    before = len(upstream.taken)
    for page in ("privacy", "manage"):
        assert "knows this address" in body_of(f"{base}/{page}?lang=en", typed)
    wait_until(lambda: len(upstream.taken) >= before + 2, gateway)
    (link,) = {found for copy in upstream.taken for found in STORED.findall(unfolded(copy))}
    with urllib.request.urlopen(link.decode(), timeout=120) as answer:
        assert ANNA in answer.read().decode()
        assert "'sha256-" in answer.headers["content-security-policy"]
    said = b"".join(unfolded(copy) for copy in upstream.taken)
    tokens = {one.decode() for one in re.findall(rb"/(?:u|p|privacy)/([\w-]{49})", said)}
    tokens |= {token[:-1] + ("x" if token[-1] != "x" else "y") for token in list(tokens)}
    for token in tokens:
        for path in ("u", "p", "c", "privacy", "nothing"):
            request("GET", f"{base}/{path}/{token}")
            request("POST", f"{base}/{path}/{token}x")
    log = gateway.log()
    assert "kund.example" not in log
    assert not [token for token in tokens if token in log]
    assert "link does not open" in log
