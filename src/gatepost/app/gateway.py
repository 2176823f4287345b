"""One process of Gatepost: every room wired to the next, started and stopped in order.

In: settings. Out: open listeners and mail that flows. `reload` puts a new configuration in
force for everything that is decided from then on, and certificates for whoever greets next; what
a socket or the store is bound to (addresses, ports, store, data_dir) takes a restart, and says so.

*Fails:* `StoreUnavailable`, `WiringError`, `TextsError` or `OSError` from `start`; whatever
was opened is closed again.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from gatepost import __version__, houselog, logfile, maillog
from gatepost.app.certificates import contexts_of, renewed, without_certificates
from gatepost.app.composing import Composer
from gatepost.app.correspondence import Correspondence
from gatepost.app.dossier import Dossiers
from gatepost.app.farewell import Farewell
from gatepost.app.holders import holders
from gatepost.app.housekeeping import Housekeeping, quarantine_until
from gatepost.app.leavings import Leavings
from gatepost.app.link_keys import LinkKeys
from gatepost.app.notices import Notices
from gatepost.app.onward.configured import onward_for
from gatepost.app.questions import questions_for
from gatepost.app.supervisor import Place, inherited_guesses, inherited_rates
from gatepost.app.texts import FALLBACK, Texts, read_texts
from gatepost.app.waking import Waking
from gatepost.app.wiring import Wiring, check_upstreams, confirming, wire
from gatepost.config import Settings
from gatepost.config.gateway import SmtpSettings
from gatepost.flow.accept.cellar import Cellar
from gatepost.flow.accept.door import Role, Tls
from gatepost.flow.accept.guessing import Guesses
from gatepost.flow.accept.passwords import Passwords
from gatepost.flow.accept.rates import Rates
from gatepost.flow.accept.server import Listener
from gatepost.flow.accept.usage import Usage
from gatepost.flow.inbound import Inbound
from gatepost.flow.outbound import Outbound
from gatepost.flow.returns import Returns
from gatepost.flow.spool.queue import Queue
from gatepost.flow.spool.schedule import STANDARD
from gatepost.flow.transmit.pool import Pool
from gatepost.mail.address import parse
from gatepost.mail.reply import Reply
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream
from gatepost.store import campaigns, content
from gatepost.store.bell import Ring
from gatepost.store.clock import steady
from gatepost.store.engine import Store, StoreUnavailable, Tx
from gatepost.store.ledger import is_empty
from gatepost.store.mailboxes import remember_mailboxes
from gatepost.store.spool.leases import recover
from gatepost.store.streams import KnownStream, changed_hands, remember_streams
from gatepost.store.upkeep import where_is
from gatepost.web.admin import admin_app
from gatepost.web.recipients import recipient_app
from gatepost.web.server import Server, bind
from gatepost.web.site import Site

GRACE_SECONDS = 6.0  # all is over within ten
READY_SECONDS = 3.0


class Gateway:
    """Everything of one process.

    `place` says which worker of how many it is; `None` is the only one. The first does what
    only one needs to do.
    """

    def __init__(self, settings: Settings, *, place: Place | None = None) -> None:
        self._wiring = wire(settings)
        self._started_with = settings
        self._share_ports = place is not None
        self._place = place or Place(0, 1)
        self._leads = self._place.number == 0
        self._stack = AsyncExitStack()
        self._leavings = Leavings()
        self._mailboxes: Mapping[str, str] = {}
        self._bound: dict[str, socket.socket] = {}
        self._contexts: Sequence[ssl.SSLContext | None] = ()
        self._opened: Sequence[SmtpSettings] = ()  # as `smtp`
        self.smtp: list[Listener] = []
        self.pages: Server | None = None
        self.admin: Server | None = None

    @property
    def wiring(self) -> Wiring:
        """The configuration in force."""
        return self._wiring

    def take_doors(self) -> None:
        """Binds all ports and reads all certificates, as long as we may. Raises as `start`."""
        settings = self._wiring.settings
        self._take("http", "[http]", settings.http.address, settings.http.port)
        if self._leads:
            self._take("admin", "[admin]", settings.admin.address, settings.admin.port)
        for number, given in enumerate(settings.smtp):
            self._take(f"smtp {number}", f"[[smtp]] {given.role}", given.address, given.port)
        self._contexts = contexts_of(settings.smtp)

    def _take(self, key: str, door: str, address: str, port: int) -> None:
        with _naming(door, address, port):
            self._bound[key] = bind(address, port, share=self._share_ports)

    async def start(self) -> None:
        """Opens everything, the way out first, so that nothing is taken that cannot leave."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        houselog.started(__version__, self._place.count)

    async def stop(self) -> None:
        """Takes no more, finishes what is on the wire, closes everything."""
        houselog.stopping(GRACE_SECONDS)
        ends = [listener.stop(GRACE_SECONDS) for listener in self.smtp]
        ends += [server.stop() for server in (self.pages, self.admin) if server]
        await asyncio.gather(self.outbound.wind_up(GRACE_SECONDS), *ends)
        await self._stack.aclose()
        houselog.stopped()

    async def reload(self, settings: Settings) -> None:
        """Puts `settings` in force.

        Raises `WiringError`, `TextsError` or `StoreUnavailable`, and then nothing has changed.
        """
        fixed = _bound_to_start(self._started_with, settings)
        # What can fail comes first and changes nothing; from the texts on nothing waits.
        wiring = wire(settings, hostname=self._wiring.hostname)  # which the listeners keep, too
        check_upstreams(wiring, self._started_with.upstreams)
        texts = await asyncio.to_thread(read_texts, settings.pages.templates)
        contexts = await asyncio.to_thread(renewed, self._opened, settings.smtp)
        await self._remember_streams(wiring)
        self.texts.use(texts)
        self._wiring = wiring
        for listener, context in zip(self.smtp, contexts, strict=True):
            listener.reconfigure(clients=wiring.clients, limits=wiring.limits, context=context)
        self.cellar.memory = settings.limits.memory // 2
        self.outbound.limit_memory(settings.limits.memory // 2)
        self.outbound.forget_plans()
        self.housekeeping.reloaded()
        self._configure_log()
        self._warn()
        houselog.reloaded()
        if fixed:
            houselog.needs_restart(fixed)

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self._wiring.settings
        self.store = await asyncio.to_thread(
            partial(
                Store.open, settings.store.url.get_secret_value(), settings.server.data_dir,
                alone=True,
            )
        )  # fmt: skip
        stack.callback(self.store.close)
        self._configure_log()
        await self._remember_streams(self._wiring)
        if self._leads and await self.store.read(is_empty):
            houselog.nobody_on_record(
                where_is(settings.store.url.get_secret_value(), settings.server.data_dir)
            )
        self.texts = Texts(settings.pages.templates)
        self._ring = LinkKeys(settings.server.data_dir, self.store.keys)
        self.letters = Correspondence(self.texts, lambda: self._wiring, self._ring)
        self.farewell = Farewell(self.letters.write, lambda: self._wiring.policy, self._ring)
        names = holders(settings.server.data_dir)
        self.queue = Queue(self.store, holder=names[self._place.number], retry_after=_pause_after)
        self.outbound = self._make_outbound()
        await self.store.write(partial(recover, holders=self._dead(names)))
        await self._start_outbound(stack)
        await self._start_web(stack)
        if self._leads:
            onward = onward_for(self.store, lambda: self._wiring, names[self._place.number])
            await onward.start()
            stack.push_async_callback(onward.stop)
        await self._start_smtp(stack)
        self._warn()

    def _dead(self, names: Sequence[str]) -> Sequence[str] | None:
        """Holders that cannot be running, now that this process does; `None` means all."""
        if not self._share_ports and not self._wiring.settings.store.url.get_secret_value():
            return None  # nobody else serves an embedded store
        own = names[self._place.number]
        return [own, *names[self._place.count :]] if self._leads else [own]

    async def _remember_streams(self, wiring: Wiring) -> None:
        """So that links and addresses of mails work after they left the configuration (ME-2)."""
        known = [KnownStream(one.name, one.sender) for one in wiring.policy.streams.values()]
        leaving = {
            parse(one.unsubscribe_mailto).key: one.name
            for one in wiring.policy.senders.values()
            if one.unsubscribe_mailto
        }

        def remember(tx: Tx) -> tuple[list[KnownStream], Mapping[str, str]]:
            changed = changed_hands(tx, known)
            remember_streams(tx, known)
            return changed, remember_mailboxes(tx, leaving)

        changed, self._mailboxes = await self.store.write(remember)
        for name, before in changed:
            now = wiring.policy.streams[name].sender
            houselog.stream_changed_hands(name, before=before, now=now)

    def _make_outbound(self) -> Outbound:
        def takes_eight_bit(upstream: str) -> bool | None:
            return self.outbound.takes_eight_bit(upstream)

        composer = Composer(lambda: self._wiring, self.texts, self._ring.recent, takes_eight_bit)

        async def load(submission: int) -> bytes:
            return await self.store.read(partial(content.load, submission=submission))

        return Outbound(
            queue=self.queue,
            policy=lambda: self._wiring.policy,
            compose=composer,
            load=load,
            retry_for=self._retry_for,
            clock=self.store.now,
            quarantine_until=self._quarantine_until,
            memory=self._wiring.settings.limits.memory // 2,
        )

    async def _start_outbound(self, stack: AsyncExitStack) -> None:
        pools = {name: self._pool(name) for name in self._wiring.routes}
        for pool in pools.values():
            await pool.start()
        self.housekeeping = Housekeeping(
            store=self.store,
            queue=self.queue,
            outbound=self.outbound,
            notices=Notices(self.store, lambda: self._wiring),
            wiring=lambda: self._wiring,
            data_dir=self._wiring.settings.server.data_dir,
            leads=self._leads,
        )
        await self.housekeeping.start()
        stack.push_async_callback(self.housekeeping.stop)
        await self.outbound.start(pools)
        stack.push_async_callback(self.outbound.stop, GRACE_SECONDS)
        calls = {Ring.MAIL: self.outbound.wake, Ring.ENDINGS: self.housekeeping.wake}
        waking = Waking(self._wiring.settings.store.url.get_secret_value(), calls)
        waking.start()
        stack.push_async_callback(waking.stop)

    def _pool(self, name: str) -> Pool:
        def on_health(healthy: bool, reply: Reply) -> None:
            maillog.upstream_changed(name, healthy, str(reply))
            self.outbound.on_health(name, healthy, str(reply))

        return Pool(
            self._wiring.routes[name].shared_by(self._place.count),
            may_start=self.outbound.may_start,
            may_begin=self.outbound.may_begin,
            done=self.outbound.done,
            on_health=on_health,
        )

    async def _start_web(self, stack: AsyncExitStack) -> None:
        settings = self._wiring.settings
        site = Site(
            store=self.store,
            ring=self._ring,
            streams=lambda: self._wiring.policy.streams,
            senders=lambda: self._wiring.policy.senders,
            texts=self.texts,
            on_withdrawn=self._on_withdrawn,
            ready=self._ready,
            trusted_proxies=lambda: self._wiring.settings.http.trusted_proxies,
            link_lifetime=lambda: self._wiring.settings.links.lifetime,
            logos=lambda: self._wiring.logos,
            on_left_again=self._keep_back,
            letters=self.letters.write,
            confirming=lambda: confirming(self._wiring),
            farewell=self.farewell.write,
            dossier=Dossiers(self.store, self.texts, lambda: self._wiring),
        )
        door = recipient_app(site)
        stack.push_async_callback(door.finish)
        self.pages = await self._serve(
            stack, "http", door, settings.http.address, settings.http.port
        )
        if self._leads:
            questions = questions_for(self.store, lambda: self._wiring.policy)
            site = replace(site, on_withdrawn=partial(self._on_withdrawn, how="api"))
            self.admin = await self._serve(
                stack, "admin", admin_app(site, questions), settings.admin.address,
                settings.admin.port,
            )  # fmt: skip

    async def _serve(
        self, stack: AsyncExitStack, door: str, application: object, address: str, port: int
    ) -> Server:
        bound = self._bound.pop(door, None)
        with _naming(f"[{door}]", address, port):
            bound = bound or bind(address, port, share=self._share_ports)
        server = Server(application, bound)  # type: ignore[arg-type]
        await server.start()
        stack.push_async_callback(server.stop)
        houselog.listening(door, address, server.port)
        return server

    async def _start_smtp(self, stack: AsyncExitStack) -> None:
        self.inbound = Inbound(
            store=self.store,
            queue=self.queue,
            onward=self.outbound,
            policy=lambda: self._wiring.policy,
            sorting=lambda: self._wiring.sorting,
            quarantine_until=self._quarantine_until,
        )
        self.returns = self._make_returns()
        usage, passwords = Usage(Rates(inherited_rates())), Passwords()
        guesses = Guesses(inherited_guesses())
        stack.callback(passwords.close)
        self.cellar = Cellar(
            self._wiring.settings.server.data_dir,
            memory=self._wiring.settings.limits.memory // 2,
            has_room=self.housekeeping.disk.has_room,
        )
        stack.callback(self.cellar.close)
        self._opened = self._wiring.settings.smtp
        self._contexts = self._contexts or contexts_of(self._opened)
        for number, given in enumerate(self._opened):
            listener = self._listener(number, given, usage, passwords, guesses)
            with _naming(f"[[smtp]] {given.role}", given.address, given.port):
                await listener.start()
            stack.push_async_callback(listener.stop, GRACE_SECONDS)
            self.smtp.append(listener)
            houselog.listening(f"smtp {given.role}", given.address, listener.port)

    def _listener(
        self,
        number: int,
        given: SmtpSettings,
        usage: Usage,
        passwords: Passwords,
        guesses: Guesses,
    ) -> Listener:
        bound = self._bound.pop(f"smtp {number}", None)
        return Listener(
            hostname=self._wiring.hostname,
            handler=self.returns if given.role == "returns" else self.inbound,
            accepts=self.returns.accepts,
            clients=self._wiring.clients,
            address=given.address,
            port=given.port,
            bound=bound,
            reuse_port=self._share_ports,
            tls=Tls(given.tls),
            context=self._contexts[number],
            role=Role(given.role),
            only_clients=given.clients,
            reject_bare_newlines=given.bare_newlines == "reject",
            limits=self._wiring.limits,
            storage_ok=self.housekeeping.disk.has_room,
            stream=given.stream,
            usage=usage,
            cellar=self.cellar,
            passwords=passwords,
            guesses=guesses,
            proxies=given.proxy_protocol,
        )

    def _make_returns(self) -> Returns:
        def confirm(stream: Stream | None, known: KnownStream, sender: Sender) -> tuple[str, str]:
            language = stream.language if stream else FALLBACK
            title = stream.title_in(language) if stream else known.name
            return self.texts.confirmation(title, sender, language)

        return Returns(
            store=self.store,
            ring=self._ring,
            policy=lambda: self._wiring.policy,
            hostname=lambda: self._wiring.hostname,
            soft_limit=lambda: self._wiring.settings.bounces.soft_limit,
            confirm=confirm,
            on_ended=self._keep_back,
            notify=self.farewell.write,
            mailboxes=lambda: self._mailboxes,
        )

    def _on_withdrawn(self, subject: int, sender: str, stream: str, how: str = "web") -> None:
        self._keep_back(subject, sender, stream)
        self._leavings.add(subject, sender, stream, how)

    def _keep_back(self, subject: int, sender: str, stream: str) -> None:
        """Before a withdrawal is answered: no copy of ours starts from here on (promise 3)."""
        self.queue.fresh.add(subject, sender, stream, steady())

    async def _ready(self) -> str:
        if self.store.trouble is not None:
            return str(self.store.trouble)
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self.store.read(campaigns.frozen_senders)  # any question: it must be asked
        except StoreUnavailable as error:
            return str(error)
        except TimeoutError:
            return "the store does not answer"
        if not self.housekeeping.store_ok:
            return "the store takes no writes"
        return "" if self.housekeeping.disk.ok else "too little free disk"

    def _retry_for(self, upstream: str) -> timedelta:
        return self._wiring.retry_for.get(upstream, timedelta(days=5))

    def _quarantine_until(self, now: datetime) -> datetime:
        return quarantine_until(self._wiring, now)

    def _configure_log(self) -> None:
        log = self._wiring.settings.log
        logfile.configure(log.format, log.addresses, self.store.keys.suppression)

    def _warn(self) -> None:
        policy = self._wiring.policy
        bulk = [stream for stream in policy.streams.values() if stream.is_bulk]
        houselog.unsigned_streams([s.name for s in bulk if not self._wiring.dkim.get(s.sender)])
        houselog.observing([stream.name for stream in bulk if stream.observe])


@contextmanager
def _naming(door: str, address: str, port: int) -> Iterator[None]:
    """Says in the error which address could not be had, and whose it is."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(f"{door} cannot listen on {address} port {port}: {why}") from error


def _pause_after(attempt: int) -> timedelta:
    """When a claimed row is due again if nothing is heard of its attempt."""
    return STANDARD.pause(attempt)


_FIXED = {
    "server": ("hostname", "data_dir", "user", "group", "workers"),
    "http": ("address", "port"),
    "admin": ("address", "port"),
}


def _bound_to_start(old: Settings, new: Settings) -> Sequence[str]:
    """The settings that differ and are only read at start."""
    changed = [
        f"{section}.{key}"
        for section, keys in _FIXED.items()
        for key in keys
        if getattr(getattr(old, section), key) != getattr(getattr(new, section), key)
    ]
    whole: Mapping[str, tuple[object, object]] = {
        "smtp": (without_certificates(old.smtp), without_certificates(new.smtp)),
        "store": (old.store, new.store),
        "upstream": (old.upstream, new.upstream),
        "upstreams": (old.upstreams, new.upstreams),
    }
    return changed + [name for name, (before, after) in whole.items() if before != after]
