"""A returns listener over a real store: one sender, two streams, people who got a copy."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gatepost.app.farewell import Farewell
from gatepost.consent.bases import Bases
from gatepost.consent.tokens import Claim, Purpose, Ring, stream_tag
from gatepost.flow.accept.door import Role
from gatepost.flow.accept.server import Listener
from gatepost.flow.decide.policy import Policy
from gatepost.flow.returns import Returns
from gatepost.mail.address import parse
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Kind, Stream
from gatepost.store import people
from gatepost.store.engine import Store
from gatepost.store.ids import new_id
from gatepost.store.streams import KnownStream, remember_streams
from gatepost.store.tables import mail as tables
from support.engines import store_url
from support.site import correspondence, texts
from support.smtp_talk import connected
from support.submissions import rows_of

HOST = "relay.example.org"
ACME = Sender(
    name="acme",
    legal_name="Acme Förlag AB",
    postal_address="Storgatan 1, 111 22 Stockholm, Sweden",
    public_url="https://mail.example.org",
    contact="kontakt@acme.example",
    bounce_domain="bounce.acme.example",
    unsubscribe_mailto="leave@acme.example",
)
STREAMS = {
    "newsletter": Stream(
        name="newsletter", kind=Kind.BULK, sender="acme", title={"": "Monthly news"}
    ),
    "offers": Stream(name="offers", kind=Kind.BULK, sender="acme", language="sv"),
}


@dataclass
class Station:
    """The listener and what it works on."""

    store: Store
    ring: Ring
    port: int = 0
    senders: dict = field(default_factory=lambda: {"acme": ACME})
    ended: list = field(default_factory=list)

    def person(self, address="anna@example.org"):
        found = self.store.write_now(lambda tx: people.ensure_subjects(tx, [parse(address)]))
        return found[parse(address).key]

    def token(self, subject, purpose=Purpose.BOUNCE, *, stream="newsletter", submission=None):
        claim = Claim(subject, stream_tag(stream), submission or new_id())
        if purpose is Purpose.UNSUBSCRIBE:
            return self.ring.seal(purpose, claim)
        return self.ring.seal_for_address(purpose, claim)

    def return_path(self, subject, **more):
        return f"{self.token(subject, **more)}@bounce.acme.example"

    async def send(self, content, *recipients, mail_from=""):
        async with connected(self.port) as talk:
            return await talk.mail(content, *recipients, mail_from=mail_from)

    async def ask(self, recipient):
        async with connected(self.port) as talk:
            return (await talk.say("MAIL FROM:<>", f"RCPT TO:<{recipient}>")).status

    def history(self, subject):
        return self.store.read_now(lambda tx: people.history_of_subject(tx, subject))

    def facts(self, subject):
        return [event.fact for event in self.history(subject).events]

    def suppressions(self, subject):
        return [(one.sender, one.scope, one.reason) for one in self.history(subject).suppressions]

    def letters(self):
        """The mails of our own: their recipient and content."""
        contents = {row["submission"]: row["data"] for row in rows_of(self.store, tables.content)}
        return [
            (row["address"], contents[row["submission"]])
            for row in rows_of(self.store, tables.recipient)
        ]


@asynccontextmanager
async def station(folder, *, soft_limit=3, senders=None):
    """Open on a free port until the end of the block."""
    with Store.open(store_url(folder), folder / "data") as store:
        known = [KnownStream(one.name, one.sender) for one in STREAMS.values()]
        await store.write(lambda tx: remember_streams(tx, known))
        keys = store.keys
        here = Station(store, Ring(keys.link_keys, keys.link_current, keys.link_compromised))
        here.senders = dict(senders or here.senders)

        def policy():
            return Policy(streams=STREAMS, senders=here.senders, bases=Bases.built_in())

        letters = correspondence(folder, store, here.ring, STREAMS, here.senders)

        def confirm(stream, known, sender):
            title = stream.title_in("en") if stream else known.name
            return texts().confirmation(title, sender, stream.language if stream else "en")

        returns = Returns(
            store=store,
            ring=lambda: here.ring,
            policy=policy,
            hostname=lambda: HOST,
            soft_limit=lambda: soft_limit,
            confirm=confirm,
            on_ended=lambda *who: here.ended.append(who),
            notify=Farewell(letters.write, policy, lambda: here.ring).write,
        )
        listener = Listener(
            hostname=HOST, handler=returns, accepts=returns.accepts, role=Role.RETURNS
        )
        await listener.start()
        here.port = listener.port
        try:
            yield here
        finally:
            await listener.stop(1)
