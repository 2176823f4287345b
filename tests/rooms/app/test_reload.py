"""A reload is all or nothing: what breaks while it is under way leaves everything as it was."""

import asyncio
import smtplib
import ssl
from contextlib import suppress

import pytest

from gatepost import houselog
from gatepost.app.gateway import Gateway
from gatepost.app.trouble import TextsError
from gatepost.app.wiring import WiringError
from gatepost.config import load
from gatepost.store.trouble import StoreUnavailable
from support.certificates import make_certificate
from support.dkim_keys import PEM
from support.private import write_private
from support.program import CONFIG
from support.upstream import Upstream

DKIM = '[[senders.acme.dkim]]\ndomain = "acme.example"\nselector = "gp1"\nkey = "acme.pem"\n'
DOOR = '[[smtp]]\naddress = "127.0.0.{n}"\nport = 0\ntls = "starttls"\ncertificate = "{n}/localhost.pem"\nkey = "{n}/localhost.key"\n'
TEMPLATE = "own/pages/unsubscribed.txt"


class House:
    """A gateway with two listeners under TLS, a DKIM key and a template of its own."""

    def __init__(self, folder, upstream_port):
        self.folder = folder
        self.settle("before")
        text = CONFIG.format(
            smtp_port=0, http_port=0, admin_port=0, upstream_port=upstream_port, connections=2,
            store_url="",
        )  # fmt: skip
        head, _, rest = text.partition("[[smtp]]")
        _, _, rest = rest.partition("[http]")
        doors = "\n".join(DOOR.format(n=n) for n in (1, 2))
        text = f"{head}{doors}\n[http]{rest}\n[pages]\ntemplates = 'own'\n"
        text = text.replace("http://127.0.0.1:0", "http://127.0.0.1:8025")
        self.path = folder / "config.toml"
        self.path.write_text(text.replace("[streams.newsletter]", f"{DKIM}\n[streams.newsletter]"))
        self.gateway = Gateway(self.load())

    def settle(self, word):
        """Files of one time: certificates, key and template."""
        for n in "12":
            (self.folder / n).mkdir(exist_ok=True)
            make_certificate(self.folder / n, "localhost")
        write_private(self.folder / "acme.pem", PEM)
        (self.folder / TEMPLATE).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / TEMPLATE).write_text(word)

    def load(self):
        return load(self.path, {})

    async def seen(self):
        """Everything that a reload changes, as it is seen from outside, and the wiring."""
        ports = [listener.port for listener in self.gateway.smtp]
        shown = [await asyncio.to_thread(certificate, n, port) for n, port in enumerate(ports, 1)]
        text = self.gateway.texts.render("pages/unsubscribed.txt", "en")
        return [*shown, text, self.gateway.wiring]


def certificate(n, port):
    with smtplib.SMTP(f"127.0.0.{n}", port, timeout=60) as client:
        client.starttls(context=ssl._create_unverified_context())
        return client.sock.getpeercert(binary_form=True)


@pytest.fixture
async def house(tmp_path):
    async with Upstream() as upstream:
        made = House(tmp_path, upstream.port)
        await made.gateway.start()
        yield made
        await made.gateway.stop()


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("1/localhost.pem", WiringError),
        ("2/localhost.pem", WiringError),
        ("2/localhost.key", WiringError),
        (TEMPLATE, TextsError),
        ("acme.pem", WiringError),
    ],
)
async def test_what_breaks_after_the_check_changes_nothing(house, broken, error):
    before = await house.seen()
    house.settle("after")
    settings = house.load()
    (house.folder / broken).write_text("{{ nonsense }}")
    with pytest.raises(error):
        await house.gateway.reload(settings)
    assert await house.seen() == before
    house.settle("after")
    await house.gateway.reload(house.load())
    now = await house.seen()
    assert now[2] == "after"
    assert not set(map(id, now)) & set(map(id, before))
    assert all(one != other for one, other in zip(before, now, strict=True))


@pytest.mark.parametrize("after", [1, 3])
async def test_certificates_that_break_under_way_are_never_mixed(house, monkeypatch, after):
    before = await house.seen()
    house.settle("after")
    settings = house.load()
    read, load_one = [], ssl.SSLContext.load_cert_chain

    def load_and_break(context, *files):
        load_one(context, *files)
        read.append(files)
        if len(read) == after:
            for n in "12":
                (house.folder / n / "localhost.pem").write_text("nonsense")

    with monkeypatch.context() as breaking:
        breaking.setattr(ssl.SSLContext, "load_cert_chain", load_and_break)
        with suppress(WiringError):
            await house.gateway.reload(settings)
    now = await house.seen()
    same = [one == other for one, other in zip(now[:2], before[:2], strict=True)]
    assert same in ([True, True], [False, False])
    assert (now[-1] is before[-1]) == same[0]


async def test_a_host_name_takes_a_restart_in_every_room(house, monkeypatch):
    """Or a bare <Postmaster>, which the listener spells with the old one, would be nobody."""
    said = []
    monkeypatch.setattr(houselog, "needs_restart", said.append)
    name = house.gateway.wiring.hostname
    text = house.path.read_text()
    assert f'hostname = "{name}"' in text
    house.path.write_text(text.replace(f'hostname = "{name}"', 'hostname = "new.example.org"'))
    for _ in range(2):  # and it is said as long as it is true
        await house.gateway.reload(house.load())
        assert house.gateway.wiring.hostname == name
        assert house.gateway.wiring.sorting.hostname == name
    assert said == [["server.hostname"]] * 2


@pytest.mark.parametrize("place", ["[streams.newsletter]", "[senders.acme]"])
async def test_mail_is_not_sent_to_where_nobody_fetches_it(house, place):
    """An upstream takes a restart: what a reload sent its way would wait until then."""
    text, before = house.path.read_text(), await house.seen()
    house.path.write_text(text + "[upstreams.new]\nport = 2526\n")
    await house.gateway.reload(house.load())
    unused = await house.seen()
    assert unused[-1] is not before[-1]
    used = text.replace(place, f'{place}\nupstream = "new"')
    house.path.write_text(used + "[upstreams.new]\nport = 2526\n")
    with pytest.raises(WiringError, match=r"upstream new .* restart"):
        await house.gateway.reload(house.load())
    assert await house.seen() == unused


async def test_a_store_that_is_away_changes_nothing(house):
    before = await house.seen()
    house.settle("after")
    house.gateway.store.close()
    with pytest.raises(StoreUnavailable):
        await house.gateway.reload(house.load())
    assert await house.seen() == before


async def test_a_listener_that_is_named_no_more_keeps_what_it_shows(house):
    before = await house.seen()
    house.settle("after")
    text = house.path.read_text()
    house.path.write_text(text.replace(DOOR.format(n=2), ""))
    (house.folder / "2/localhost.pem").unlink()
    await house.gateway.reload(house.load())
    now = await house.seen()
    assert now[0] != before[0]
    assert (now[1], now[2]) == (before[1], "after")
