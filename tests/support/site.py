"""A real site for tests: a SQLite store, a sender with three streams, pages on a free port."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache, partial
from ipaddress import ip_network
from pathlib import Path

from sqlalchemy import select

from gatepost.app.correspondence import Correspondence
from gatepost.app.farewell import Farewell
from gatepost.app.questions import questions_for
from gatepost.app.texts import Texts
from gatepost.app.wiring import wire
from gatepost.config import load
from gatepost.consent.bases import Bases
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.tokens import Claim, Purpose, Ring, stream_tag
from gatepost.flow.decide.policy import Policy
from gatepost.mail.address import parse
from gatepost.mail.duration import Duration
from gatepost.mail.picture import Picture
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Kind, Stream
from gatepost.store import content, people
from gatepost.store.engine import Store
from gatepost.store.people import History
from gatepost.store.streams import KnownStream, remember_streams
from gatepost.store.tables.mail import submission
from gatepost.web.admin import admin_app
from gatepost.web.recipients import Door, recipient_app
from gatepost.web.server import Server, bind
from gatepost.web.site import Dossiers, Site, _no_farewell
from support.engines import store_url

SENDERS = {
    "acme": Sender(
        name="acme",
        legal_name="Acme AB",
        postal_address="Storgatan 1, 111 22 Stockholm, Sweden",
        public_url="https://mail.example.org",
        registration="556677-8899",
        privacy_url="https://acme.example/privacy",
    ),
    "other": Sender(
        name="other",
        legal_name="Other Ltd",
        postal_address="1 High Street, London",
        public_url="https://mail.example.org",
    ),
}
STREAMS = {
    stream.name: stream
    for stream in (
        Stream(
            name="newsletter",
            kind=Kind.BULK,
            sender="acme",
            title={"": "Monthly newsletter", "sv": "Månadsbrevet"},
            description={"": "News and offers, once a month", "sv": "Nyheter varje månad"},
        ),
        Stream(
            name="events",
            kind=Kind.BULK,
            sender="acme",
            title={"": "Events & fairs"},
            description={"": "Where to meet us, a few times a year"},
        ),
        Stream(
            name="club",
            kind=Kind.BULK,
            sender="acme",
            title={"": "Letter to members"},
            double_opt_in=True,
        ),
        Stream(name="receipts", kind=Kind.TRANSACTIONAL, sender="acme"),
        Stream(name="foreign", kind=Kind.BULK, sender="other", title={"": "Of somebody else"}),
    )
}
SUBMISSION = 4711


@dataclass
class Served:
    """The site while it is served."""

    store: Store
    ring: Ring
    port: int
    admin_port: int
    withdrawn: list[tuple[int, str, str]] = field(default_factory=list)
    again: list[tuple[int, str, str]] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    missing: str = ""
    door: Door | None = None

    def tell(self, subject: int, sender: str, stream: str) -> None:
        self.withdrawn.append((subject, sender, stream))
        self.told.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def subscribe(self, text: str, *streams: str) -> int:
        """Records explicit consent of an hour and a half ago; the subject id."""
        address = parse(text)
        at = self.store.now() - timedelta(minutes=90)
        facts = [
            Fact(
                kind=EventKind.GRANTED,
                at=at,
                sender=STREAMS[stream].sender,
                stream=stream,
                basis="double-opt-in",
                text_state=TextState.VALID,
                confirmed_at=at,
                actor="import",
            )
            for stream in streams
        ]
        if not facts:
            return (await self.store.write(lambda tx: people.ensure_subjects(tx, [address])))[
                address.key
            ]
        return await self.store.write(lambda tx: people.record(tx, address, facts))

    def token(self, subject: int, stream: str = "newsletter", purpose: str = "u") -> str:
        claim = Claim(subject, stream_tag(stream), SUBMISSION)
        return self.ring.seal(Purpose(purpose), claim)

    async def mailed(self) -> list[bytes]:
        """The letters, once everything that was asked for is done: it is after the answer."""
        assert self.door is not None
        await self.door.finish()
        return await self.letters()

    def let_no_rate_recover(self) -> None:
        """Buckets do not fill up again from now on, however long the machine takes."""
        assert self.door is not None
        limits = self.door._pages.limits
        limits._clock = partial(float, limits._clock())

    async def history(self, subject: int) -> History:
        return await self.store.read(lambda tx: people.history_of_subject(tx, subject))

    async def letters(self) -> list[bytes]:
        """The letters that were put into the spool, as they are stored, in order."""

        def look(tx):
            rows = tx.connection.execute(select(submission.c.id).order_by(submission.c.received_ms))
            return [content.load(tx, number) for (number,) in rows.all()]

        return await self.store.read(look)

    async def facts(self, subject: int, kind: EventKind = EventKind.WITHDRAWN) -> list[Fact]:
        events = (await self.history(subject)).events
        return [event.fact for event in events if event.kind is kind and event.fact]


@cache
def texts(templates: Path | None = None) -> Texts:
    """Templates and catalogues, read once: five catalogues take longer than most tests."""
    return Texts(templates)


def correspondence(
    folder: Path,
    store: Store,
    ring: Ring,
    streams: Mapping[str, Stream],
    senders: Mapping[str, Sender] = SENDERS,
) -> Correspondence:
    """Letters of the site's senders, into the spool of its store."""
    path = folder / "config.toml"
    path.write_text('[server]\nhostname = "relay.example.org"\n'
                    'public_url = "https://mail.example.org"\n')  # fmt: skip
    wiring = wire(load(path, {}))
    policy = replace(wiring.policy, streams=streams, senders=senders)
    return Correspondence(texts(), lambda: replace(wiring, policy=policy), lambda: ring)


@asynccontextmanager
async def served(
    folder: Path,
    *,
    streams: Mapping[str, Stream] = STREAMS,
    retired: Mapping[str, str] | None = None,
    proxies: tuple[str, ...] = (),
    ring: Ring | None = None,
    lifetime: Duration | None = None,
    letters: bool = False,
    senders: Mapping[str, Sender] = SENDERS,
    logos: Mapping[str, Picture] | None = None,
    templates: Path | None = None,
    dossier: Dossiers | None = None,
) -> AsyncIterator[Served]:
    """Both applications on loopback, over a new store in `folder`."""
    store = await asyncio.to_thread(Store.open, store_url(folder), folder / "data")
    keys = store.keys
    ring = ring or Ring(keys.link_keys, keys.link_current, keys.link_compromised)
    here = Served(store, ring, 0, 0)

    async def ready() -> str:
        return here.missing

    networks = [ip_network(proxy) for proxy in proxies]
    policy = Policy(streams=streams, senders=senders, bases=Bases.built_in())
    write = correspondence(folder, store, ring, streams, senders).write if letters else None
    logos = logos or {}
    site = Site(
        store=store,
        ring=lambda: ring,
        streams=lambda: streams,
        senders=lambda: senders,
        texts=texts(templates),
        on_withdrawn=lambda *who: here.tell(*who),
        ready=ready,
        trusted_proxies=lambda: networks,
        link_lifetime=lambda: lifetime,
        letters=write,
        farewell=Farewell(write, lambda: policy, lambda: ring).write if write else _no_farewell,
        logos=lambda: logos,
        on_left_again=lambda *who: here.again.append(who),
        dossier=dossier,
    )
    names = [KnownStream(stream.name, stream.sender) for stream in streams.values()]
    names += [KnownStream(*pair) for pair in (retired or {}).items()]
    await store.write(lambda tx: remember_streams(tx, names))
    apps = recipient_app(site), admin_app(site, questions_for(store, lambda: policy))
    here.door = apps[0]
    servers = [Server(app, bind("127.0.0.1", 0)) for app in apps]
    here.port, here.admin_port = (server.port for server in servers)
    for server in servers:
        await server.start()
    try:
        yield here
    finally:
        await asyncio.gather(*(server.stop() for server in servers))
        await apps[0].finish()
        await asyncio.to_thread(store.close)
