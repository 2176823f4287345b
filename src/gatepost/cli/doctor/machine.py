"""The doctor's look at this machine and its connections: store, disk, upstream, public URL.

*Fails:* never; trouble is a finding.
"""

import asyncio
import contextlib
import http.client
import shutil
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import aiosmtplib

from gatepost.cli.desk import Desk
from gatepost.cli.findings import Finding, Mark, holds
from gatepost.config import Settings
from gatepost.flow.transmit.client import NoConnectionError, connect
from gatepost.flow.transmit.route import Route, Timeouts, Tls
from gatepost.mail.stream import Stream
from gatepost.store import ledger, upkeep
from gatepost.store.address import is_exposed
from gatepost.store.belonging import Expectation, WrongStore, identify
from gatepost.store.engine import StoreDamaged, StoreUnavailable
from gatepost.store.streams import KnownStream, changed_hands

_SECONDS = 10.0
_STORE_SECONDS = 30.0
_MEGABYTE = 1_000_000


def store(desk: Desk) -> Finding:
    """Whether the store opens and answers, and an embedded file is sound."""
    url, folder = desk.settings.store.url.get_secret_value(), desk.settings.server.data_dir
    try:
        whole = upkeep.look_over(url, folder, _STORE_SECONDS)
        expected = Expectation(folder / "keys", upkeep.where_is(url, folder), known=True)
        if not url and not (folder / upkeep.DATABASE).exists():
            expected.refuse_empty()
        with desk.store() as opened:
            expected.check(opened.write_now(partial(identify, mark=expected.mark)))
            empty = "; nothing is on record yet" if opened.read_now(ledger.is_empty) else ""
    except WrongStore as error:
        return Finding(Mark.BAD, "store", str(error))
    except StoreDamaged as error:
        return Finding(Mark.AWAY, "store", str(error))
    except StoreUnavailable as error:
        return Finding(Mark.AWAY, "store", str(error), "see [store] url and [server] data_dir")
    if url and is_exposed(url):
        return Finding(
            Mark.OPEN, "store", "PostgreSQL answers, and nobody knows whether it is the right one",
            "write sslmode=verify-full and sslrootcert into [store] url: anything less encrypts at "
            "most",
        )  # fmt: skip
    seen = "" if whole else "; too large to be read through: `gatepost store status --check`"
    engine = "PostgreSQL" if url else "SQLite"
    return Finding(Mark.GOOD, "store", f"{engine}, {folder}{empty}{seen}")


def streams(desk: Desk, configured: Iterable[Stream]) -> Iterator[Finding]:
    """Streams that would change hands with this configuration."""
    known = [KnownStream(one.name, one.sender) for one in configured]
    try:
        with desk.store() as opened:
            changed = opened.read_now(lambda tx: changed_hands(tx, known))
    except StoreUnavailable:
        return  # which `store` says
    for name, before in changed:
        yield Finding(
            Mark.OPEN, f"stream {name}", f"it was {before}'s, with whom consents, withdrawals and "
            "complaints stay",
            f"call the sender {before} again, or give the stream a new name",
        )  # fmt: skip


def disk(settings: Settings) -> Finding:
    """Whether new mail would be taken."""
    folder, least = settings.server.data_dir, settings.limits.min_free_disk
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(Mark.BAD, "disk", f"{folder}: {error.strerror}", "see [server] data_dir")
    return holds(
        "disk", free >= least, f"{free // _MEGABYTE} MB free in {folder}",
        f"new mail is deferred below {least // _MEGABYTE} MB: make room, or lower "
        "[limits] min_free_disk",
    )  # fmt: skip


def upstream(route: Route) -> Finding:
    """Whether upstream lets us in: connection, TLS, authentication."""
    about = f"upstream {route.name} ({route.host}:{route.port})"
    try:
        offered = asyncio.run(_greet(replace(route, timeouts=Timeouts.all(_SECONDS))))
    except NoConnectionError as error:
        away = error.reply.enhanced.startswith("4.4.")
        return Finding(
            Mark.AWAY if away else Mark.BAD, about, str(error.reply),
            "see [upstream] host, port, tls, username and password",
        )  # fmt: skip
    except OSError as error:
        return Finding(Mark.BAD, about, f"certificates cannot be read: {error}")
    secured = {Tls.NONE: "not encrypted", Tls.OPPORTUNISTIC: "encrypted where offered"}
    facts = [secured.get(route.tls, "encrypted, name verified")]
    facts += ["logged in"] if route.username else []
    return Finding(Mark.GOOD, about, ", ".join([*facts, *offered]))


async def _greet(route: Route) -> list[str]:
    """What upstream offers. Raises `NoConnectionError` or `OSError`."""
    client, offer = await connect(route, await asyncio.to_thread(route.tls_context))
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await client.quit()
    client.close()
    told = (("8BITMIME", offer.eight_bit), ("SMTPUTF8", offer.smtputf8), ("DSN", offer.dsn))
    return [f"no {name}" for name, offered in told if not offered]


def public_url(url: str) -> Finding:
    """Whether the recipients' pages answer where the links lead."""
    about = f"public URL {url}"
    place = urlsplit(url)
    path = f"{place.path.rstrip('/')}/healthz"
    cure = "start `gatepost serve`, and let the proxy for this name lead to [http] address and port"
    try:
        status = _status(place.scheme, place.hostname or "", place.port, path)
    except (OSError, http.client.HTTPException) as error:
        return Finding(Mark.BAD, about, f"no answer: {error}", cure)
    if 300 <= status < 400:
        cure = "one-click requests must not be redirected (RFC 8058): serve this very address"
    if status == 200 and place.scheme != "https":
        return Finding(Mark.OPEN, about, "answers, but only this machine can open its links")
    return holds(about, status == 200, f"/healthz answers {status}", cure)


def _status(scheme: str, host: str, port: int | None, path: str) -> int:
    if scheme == "https":
        context = ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"User-Agent": "Gatepost doctor"})
        return connection.getresponse().status
