"""`gatepost doctor`: each thing that can be wrong is found, with its cure; nothing is sent."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gatepost.cli.desk import Desk
from gatepost.cli.doctor import domains, machine
from gatepost.cli.findings import Mark
from gatepost.cli.names import Names
from gatepost.flow.transmit.route import Route, Tls
from gatepost.store.engine import Store
from gatepost.store.streams import KnownStream, remember_streams
from support.command import CONFIG, Site
from support.dkim_keys import KEYS, RECORDS
from support.name_server import NameServer, quoted
from support.ports import free_port
from support.upstream import Script, UpstreamThread

HOST = "192.88.99.7"  # an address that is no private one, and nobody's
GOOD = {
    ("acme.example", "TXT"): ['"v=spf1 ip4:192.88.99.0/24 -all"', '"something else"'],
    ("_dmarc.acme.example", "TXT"): ['"v=DMARC1; p=none"'],
}


@contextmanager
def asking(records, **more):
    with NameServer(records, **more) as server:
        yield Names(f"127.0.0.1:{server.port}")


@contextmanager
def pages(status, path="/healthz"):
    """A web server that answers `status` on `path`, and 404 elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == path else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def site_for(folder, url, port, more=""):
    config = CONFIG.replace("https://mail.example.org", url)
    config += f'\n[upstream]\nport = {port}\n[limits]\nmin_free_disk = "1 MB"\n'
    return Site(folder, config=config, more=more)


def marks(answer):
    return {one["about"]: one["mark"] for one in answer.json["checks"]}


# the whole


def test_all_is_well(tmp_path):
    made = Site(tmp_path).ok("dkim", "generate", "acme.example", "--json").json
    records = GOOD | {(made["name"], "TXT"): [quoted(made["record"])]}
    with UpstreamThread() as up, pages(200) as url, NameServer(records) as server:
        site = site_for(tmp_path, url, up.port, "\n" + made["config"] + "\n")
        answer = site.ok("doctor", "--dns", f"127.0.0.1:{server.port}", "--json")
        assert not up.messages
    assert answer.json["ok"]
    assert marks(answer) == {
        "configuration": "good",
        "store": "good",
        "disk": "good",
        f"upstream default (127.0.0.1:{up.port})": "good",
        f"public URL {url}": "open",  # a loopback address, which no recipient can open
        "DKIM record gp1._domainkey.acme.example": "good",
        "acme: signatures for acme.example": "good",
        "SPF of acme.example": "good",
        "DMARC of acme.example": "good",
        "PTR of 127.0.0.1": "open",
    }


def test_nothing_is_well(tmp_path):
    with pages(500) as url, NameServer({}) as server:
        site = site_for(tmp_path, url, free_port())
        with site.store() as store:
            before = [KnownStream("newsletter", "acne")]
            store.write_now(lambda tx: remember_streams(tx, before))
        answer = site.run("doctor", "--dns", f"127.0.0.1:{server.port}")
    assert answer.status == 3
    for line in (
        "upstream is out of reach",
        "/healthz answers 500",
        "stream newsletter: it was acne's, with whom consents",
        "stream newsletter: unsigned",
        "SPF of acme.example: no record",
        'TXT record for _dmarc.acme.example: "v=DMARC1; p=none"',
    ):
        assert line in answer.out


def test_what_is_wrong_and_not_out_of_reach_ends_with_1(tmp_path):
    with UpstreamThread() as up, pages(200) as url, NameServer({}) as server:
        site = site_for(tmp_path, url, up.port)
        assert site.run("doctor", "--dns", f"127.0.0.1:{server.port}").status == 1


def test_without_dns_it_says_that_it_could_not_ask(tmp_path, monkeypatch):
    monkeypatch.setattr("gatepost.cli.names.SECONDS", 0.3)
    with UpstreamThread() as up, pages(200) as url, NameServer({}, mute=True) as server:
        site = site_for(tmp_path, url, up.port)
        answer = site.ok("doctor", "--dns", f"127.0.0.1:{server.port}", "--json")
    unasked = [one["about"] for one in answer.json["checks"] if "could not ask" in one["found"]]
    assert unasked == ["SPF of acme.example", "DMARC of acme.example"]


def test_a_store_that_is_another_or_gone(tmp_path):
    """A wrong data_dir, a disk that is not mounted, half of a backup."""
    site, data = Site(tmp_path), tmp_path / "data"
    Store.open("", data, alone=True).close()  # as a start does
    for file in data.glob("gatepost.db*"):
        file.unlink()
    with NameServer({}) as server:
        gone = site.run("doctor", "--dns", f"127.0.0.1:{server.port}")
        assert not (data / "gatepost.db").exists()
        Store.open("", data).close()
        another = site.run("doctor", "--dns", f"127.0.0.1:{server.port}")
    assert "store: there is no store yet at" in gone.out
    assert "is not the one that these keys belong to" in another.out


def test_a_store_that_is_away(tmp_path):
    (tmp_path / "file").write_text("")
    config = CONFIG.replace('"./data"', '"./file/data"')
    with NameServer({}) as server:
        answer = Site(tmp_path, config=config).run(
            "doctor", "--dns", f"127.0.0.1:{server.port}", "--json"
        )
    assert answer.status == 3
    assert marks(answer)["store"] == "away"
    assert marks(answer)["disk"] == "bad"


def test_a_store_that_anybody_could_pass_for(tmp_path, postgres_url):
    config = CONFIG + f'\n[store]\nurl = "{postgres_url.replace("127.0.0.1", "0.0.0.0")}"\n'
    (tmp_path / "config.toml").write_text(config)
    found = machine.store(Desk(tmp_path / "config.toml"))  # loopback under a name of others
    assert found.mark is Mark.OPEN
    assert "sslmode=verify-full" in found.cure


def test_a_name_server_is_an_address(tmp_path):
    assert "no address" in Site(tmp_path).refused("doctor", "--dns", "somewhere")


# upstream


def route(port, **more):
    return Route(name="default", host="127.0.0.1", port=port, ehlo="relay.example.org", **more)


def test_upstream_is_greeted_and_left():
    with UpstreamThread(Script(extensions=(), users={"me": "secret"})) as up:
        found = machine.upstream(route(up.port, username="me", password="secret"))
        assert found.mark is Mark.GOOD
        assert "logged in" in found.found
        assert "no 8BITMIME" in found.found
        assert not [line for _, line in up.commands if line.startswith("MAIL")]
        found = machine.upstream(route(up.port, username="me", password="wrong"))
        assert found.mark is Mark.BAD
        found = machine.upstream(route(up.port, tls=Tls.STARTTLS))
        assert found.mark is Mark.BAD
    assert machine.upstream(route(up.port)).mark is Mark.AWAY


# the public address


@pytest.mark.parametrize(
    ("status", "mark"), [(200, Mark.OPEN), (302, Mark.BAD), (404, Mark.BAD), (503, Mark.BAD)]
)
def test_the_public_address_must_answer_itself(status, mark):
    with pages(status) as url:
        found = machine.public_url(url)
    assert found.mark is mark
    assert ("redirected" in found.cure) is (status == 302)
    assert machine.public_url(url).mark is Mark.BAD  # nobody there any more


def test_a_path_of_the_public_address_is_respected():
    with pages(200, "/mail/healthz") as url:
        assert machine.public_url(f"{url}/mail").mark is Mark.OPEN


# domains


@pytest.mark.parametrize(
    ("texts", "mark", "found"),
    [
        ([quoted(RECORDS[b"gp1._domainkey.acme.example."].decode())], Mark.GOOD, "1024 bits"),
        ([quoted(RECORDS[b"gp2._domainkey.mail.acme.example."].decode())], Mark.BAD, "another key"),
        (['"v=DKIM1; p="'], Mark.BAD, "no key"),
        (['"v=DKIM1; p=AAAA"', '"other"'], Mark.BAD, "2 records"),
        ([], Mark.BAD, "no record"),
    ],
)
def test_the_published_key(texts, mark, found):
    with asking({("gp1._domainkey.acme.example", "TXT"): texts}) as names:
        one = domains._published(names, KEYS[0])
    assert one.mark is mark
    assert found in one.found
    assert ("IN TXT" in one.cure) is (mark is Mark.BAD)


@pytest.mark.parametrize(
    ("texts", "mark"),
    [
        (['"v=spf1 mx -all"'], Mark.GOOD),
        (['"v=spf1 mx" " -all"'], Mark.GOOD),
        (['"v=spf1 +all"'], Mark.BAD),
        (['"v=spf1 mx -all"', '"v=spf1 a -all"'], Mark.BAD),
        (['"spf2.0/pra"'], Mark.BAD),
    ],
)
def test_spf(texts, mark):
    with asking({("acme.example", "TXT"): texts}) as names:
        assert domains.spf(names, "acme.example").mark is mark


def test_dmarc_of_a_domain_above_holds_too():
    with asking(GOOD) as names:
        assert domains.dmarc(names, "acme.example").mark is Mark.GOOD
        assert domains.dmarc(names, "news.acme.example").mark is Mark.GOOD
        assert domains.dmarc(names, "other.example").mark is Mark.BAD


@pytest.mark.parametrize(
    ("back", "mark"),
    [("mx.example.org.", Mark.GOOD), ("other.example.org.", Mark.BAD), (None, Mark.BAD)],
)
def test_the_address_of_upstream_leads_back(back, mark):
    records = {("mx.example.org", "A"): [HOST]}
    if back:
        records["7.99.88.192.in-addr.arpa", "PTR"] = [back]
    with asking(records) as names:
        assert domains.reverse(names, "mx.example.org").mark is mark
        assert domains.reverse(names, HOST).mark is mark
        assert domains.reverse(names, "nowhere.example.org").mark is Mark.BAD
