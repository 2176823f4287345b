"""Rubbish for the doors with sockets: the SMTP session, and HTTP on both listeners.

The listeners run in a thread of their own with a loop, and stay open between examples. For each
example: every reply is one, the door answers somebody else meanwhile, nothing is logged that was
not foreseen, and the session ends. To SMTP the same octets are said whole and in pieces, and
the replies must be the same (behind STARTTLS there is no "same": what came too early is dropped).
The door for load balancers is in `support.rubbish_proxied`.
"""

import asyncio
import base64
import logging
import re
import threading
from functools import cache
from ipaddress import ip_network

import pytest
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gatepost.flow.accept import passwords, secured
from gatepost.flow.accept.clients import ClientTable
from gatepost.flow.accept.door import Limits, Role, Tls
from gatepost.flow.accept.guessing import Guesses
from gatepost.flow.accept.passwords import Passwords
from gatepost.flow.accept.server import Listener
from gatepost.flow.accept.tls import server_context
from gatepost.mail.client import Client
from support import rubbish
from support.certificates import make_certificate
from support.patience import PATIENCE_SECONDS
from support.recording_handler import RecordingHandler
from support.rubbish import TESTS, Target, _folder, pieces, spoilt
from support.site import served
from support.smuggling import SEPARATORS, smuggled

_CHEAP = (4, 8, 1)  # the work of a hash for names that nobody has
_HASH = "$scrypt$ln=4,r=8,p=1$WKcqunicTcoy5B85i8r+9w$xhdTdlxOa144WdzZvuY/n/NGaZAjV44pHFDm2IeO6l4"
CLIENTS = ClientTable((
    Client(name="local", networks=(ip_network("127.0.0.1/32"),)),
    Client(name="app", username="app", password_hash=_HASH),
))  # fmt: skip
_REPLY = re.compile(rb"([2345]\d\d-[\x20-\x7e]*\r\n)*[2345]\d\d [\x20-\x7e]*\r\n")


class Stage:
    """A loop in a thread, and what runs in it."""

    def __init__(self):
        self.troubles = []
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda _loop, context: self.troubles.append(context))
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE_SECONDS)

    def check(self, coroutine):
        """Runs one example; whatever the loop or the log found strange is an error."""
        with capture_logs() as logged:
            result = self.run(coroutine)
        strange = [line for line in logged if "exc_info" in line or "exception" in line]
        troubles, self.troubles[:] = list(self.troubles), []
        assert not troubles, troubles
        assert not strange, strange
        return result


@cache
def stage():
    return Stage()


# SMTP

_MAIL = b"MAIL FROM:<a@acme.example>\r\n"
_TO = b"RCPT TO:<b@shop.example>\r\n"
_PLAIN = base64.b64encode(b"\0app\0wrong")
LINES_SAID = [
    b"EHLO c.example\r\n", b"HELO c\r\n", _MAIL, b"MAIL FROM:<>\r\n", _TO, b"RCPT TO:<>\r\n", b"DATA\r\n",
    b"MAIL FROM:<a@acme.example> SIZE=99999999999\r\n", b"MAIL FROM:<a@acme.example> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x\r\n",
    b"RCPT TO:<b@shop.example> NOTIFY=NEVER ORCPT=rfc822;b+2B@shop.example\r\n", b".\r\n", b"RSET\r\n",
    b"RCPT TO:<\xc3\xa5@shop.example>\r\n", b"RCPT TO:<@a.example:b@c.example>\r\n", b"NOOP\r\n", b"QUIT\r\n",
    b"Subject: x\r\n\r\n..\r\nbody\r\n.\r\n", b"VRFY b\r\n", b"HELP\r\n", b"EXPN x\r\n", b"AUTH PLAIN\r\n", b"*\r\n",
    b"AUTH PLAIN " + _PLAIN + b"\r\n", b"AUTH LOGIN\r\n", b"AUTH LOGIN YXBw\r\n", b"d3Jvbmc=\r\n", b"=\r\n", b"STARTTLS\r\n",
    b"AUTH CRAM-MD5\r\n", b"BDAT 3\r\nabc", b"BDAT 0 LAST\r\n", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    b"GET / HTTP/1.1\r\n", b"x" * 600 + b"\r\n", b"RCPT TO:<" + b"a" * 300 + b"@x.example>\r\n", b"\r\n",
]  # fmt: skip
LINES = st.sampled_from(LINES_SAID)
_ODDS = LINES | st.sampled_from([
    b"\r", b"\n", b"\0", b"\xff", b" ", b"<", b">", b"@", b":", b".", b'"', b"\\", b"=", b"\r\n.\n", b"\n.\r\n",
])  # fmt: skip
TRANSACTION = (
    b"EHLO c.example\r\n" + _MAIL + _TO + b"DATA\r\nSubject: x\r\n\r\nHello\r\n.\r\nQUIT\r\n"
)
_SMUGGLERS = [
    b"EHLO c.example\r\n" + _MAIL + _TO + b"DATA\r\n" + smuggled(one) for one in SEPARATORS.values()
]
talks = (
    spoilt([TRANSACTION, *_SMUGGLERS], _ODDS)
    | st.lists(LINES, max_size=25).map(b"".join)
    | st.builds(b"EHLO c\r\n".__add__, st.lists(LINES, max_size=25).map(b"".join))
    | st.lists(_ODDS, max_size=30).map(b"".join)
    | st.binary(max_size=400)
)


class _Impatience:
    """The module's asyncio, where nobody waits for long."""

    def __getattr__(self, name):
        return getattr(asyncio, name)

    async def sleep(self, _seconds):
        await asyncio.sleep(0)


class SmtpDoor:
    """A new listener for each conversation, so that none remembers another."""

    def __init__(self, role, tls, **more):
        folder = _folder() / f"{type(self).__name__}-{role}-{tls}-{len(more)}"
        folder.mkdir()
        context = server_context(*make_certificate(folder, "localhost"))
        self._passwords = Passwords()
        accepts = (lambda address: "shop" in address.domain) if role is Role.RETURNS else None
        self._settings = {
            "hostname": "relay.example.org", "clients": CLIENTS, "role": role, "tls": tls,
            "context": None if tls is Tls.NONE else context, "accepts": accepts,
            "passwords": self._passwords, "limits": Limits(message_size=5000, recipients_per_message=5),
        } | more  # fmt: skip

    async def talk(self, parts):
        """(all that was answered, whether the line was cut, what was taken, from whom)."""
        handler = RecordingHandler()
        listener = Listener(handler=handler, guesses=Guesses(), **self._settings)
        await listener.start()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                said, cut = await self._say(listener.port, parts)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await listener._door.wait_until_empty(PATIENCE_SECONDS)
            assert not listener._door.sessions, "a session outlived its connection"
        finally:
            await listener.stop(0.0)
        return said, cut, handler.contents, [arrival.peer for arrival, _, _ in handler.taken]

    async def _say(self, port, parts):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        said, cut = b"", False
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                for _ in range(3):
                    await asyncio.sleep(0)
            await self._ask_meanwhile(port)
            writer.write_eof()
            while octets := await reader.read(65536):
                said += octets
        except OSError:
            cut = True  # it had said more than was read before it was shown the door
        finally:
            writer.close()
        return said, cut

    async def _meet(self, port):
        """A connection of somebody else."""
        return await asyncio.open_connection("127.0.0.1", port)

    async def _ask_meanwhile(self, port):
        reader, writer = await self._meet(port)
        writer.write(b"NOOP\r\n")
        answers = [await reader.readuntil(b"\r\n") for _ in range(2)]
        assert [answer[:3] for answer in answers] == [b"220", b"250"], answers
        writer.close()

    async def check(self, octets):
        whole = await self.talk([octets])
        upper = octets.upper()
        many = [octets[at : at + 1] for at in range(min(len(octets), 300))] + [octets[300:]]
        for parts in (pieces(octets), [part for part in many if part]):
            other = await self.talk(parts)
            for said, cut, *_ in (whole, other):
                if b"STARTTLS" not in upper and not cut:
                    check_replies(said)
            if b"STARTTLS" not in upper:
                check_alike(whole, other)
        return whole


def check_replies(said):
    at = 0
    while at < len(said):
        found = _REPLY.match(said, at)
        assert found, said[at:]
        assert not found.group().startswith(b"451 4.3.0"), "our own error"
        at = found.end()


def check_alike(one, other):
    if one[1] or other[1]:
        shorter, longer = sorted((one[0], other[0]), key=len)
        assert longer.startswith(shorter)
        return
    assert one == other


@cache
def _hasty():
    """Waits and hashes of the session cost next to nothing, until they are undone."""
    patched = pytest.MonkeyPatch()
    patched.setattr(secured, "asyncio", _Impatience())
    patched.setattr(passwords, "_COST", _CHEAP)
    return patched


@cache
def smtp_door(kind, role, tls, **more):
    """One door of its kind, kept open until all is left."""
    _hasty()
    return kind(role, tls, **more)


def check_talk(octets):
    """Which listener it is follows from the octets, too."""
    kinds = ((Role.SUBMISSION, Tls.NONE), (Role.SUBMISSION, Tls.STARTTLS), (Role.RETURNS, Tls.NONE))
    door = smtp_door(SmtpDoor, *kinds[sum(octets) % len(kinds)])
    stage().check(door.check(octets))


# HTTP

_PATHS = st.sampled_from([
    b"/", b"/u/x", b"/u/" + b"A" * 49, b"/p/x", b"/c/x", b"/privacy", b"/manage", b"/subscribe/web", b"/api/v1/consents",
    b"/console", b"/metrics", b"/healthz", b"/readyz", b"/static/style.css", b"*", b"http://x/", b"/%00", b"/%ff/..//",
])  # fmt: skip
_HTTP = st.sampled_from([
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /u/x HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\nList-Unsubscribe=One-Click",
    b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n", b"Host: x\r\n", b"\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: x\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"ffffffffffffffff\r\n",
    b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"Connection: close\r\n", b"HTTP/1.0", b"PRI * HTTP/2.0",
    b"Content-Type: application/x-www-form-urlencoded\r\n", b"Content-Type: multipart/form-data; boundary=b\r\n", b"--b\r\n\r\n", b"a=b&%zz",
    b"Authorization: Bearer x\r\n", b"X-Forwarded-For: 1.2.3.4, \xff\r\n", b"Cookie: a\r\n", b"Accept-Language: sv;q=x,,*\r\n",
    b"Accept: application/openmetrics-text\r\n", b" folded\r\n", b":\r\n", b"\0", b"\xff", b"\n", b"\r", b"{}", b"[", b'{"a":1e999}',
])  # fmt: skip


@st.composite
def requests(draw):
    """A request line, some fields and a body, spoilt."""
    method = draw(
        st.sampled_from([b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"get", b"X"])
    )
    head = method + b" " + draw(_PATHS) + b" HTTP/1.1\r\n"
    whole = (
        head
        + b"".join(draw(st.lists(_HTTP, max_size=8)))
        + b"\r\n"
        + b"".join(draw(st.lists(_HTTP, max_size=3)))
    )
    return draw(spoilt([whole], _HTTP, most=3))


class HttpDoor:
    """A site that stays open."""

    async def open(self):
        logging.getLogger("uvicorn.error").addHandler(_Complaints(stage().troubles))
        folder = _folder() / "http"
        folder.mkdir()
        self._served = served(folder)
        self.site = await self._served.__aenter__()
        return self

    async def close(self):
        await self._served.__aexit__(None, None, None)

    async def check(self, octets):
        for port in (self.site.port, self.site.admin_port):
            async with asyncio.timeout(PATIENCE_SECONDS):
                said = await self._ask(port, pieces(octets))
            assert not said or re.match(rb"HTTP/1\.[01] [1-5]\d\d", said), said[:200]
            assert not re.match(rb"HTTP/1\.[01] 5(?!03)", said), said[:300]
            async with asyncio.timeout(PATIENCE_SECONDS):
                alive = await self._ask(
                    port, [b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"]
                )
            assert alive.startswith(b"HTTP/1.1 200"), alive[:200]

    async def _ask(self, port, parts):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        said = b""
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            writer.write_eof()
            while octets := await reader.read(65536):
                said += octets
        except OSError:
            pass
        finally:
            writer.close()
        return said


class _Complaints(logging.Handler):
    """What the server logs of errors that nobody caught."""

    def __init__(self, troubles):
        super().__init__(logging.ERROR)
        self._troubles = troubles

    def emit(self, record):
        self._troubles.append(record.getMessage())


@cache
def _http_door():
    return stage().run(HttpDoor().open())


def check_request(octets):
    door = _http_door()
    stage().check(door.check(octets))


def leave_nothing():
    """Closes what was opened, removes what was written, and gives back the session's patience."""
    if _http_door.cache_info().currsize:
        stage().run(_http_door().close())
    _http_door.cache_clear()
    smtp_door.cache_clear()
    if _hasty.cache_info().currsize:
        _hasty().undo()
    _hasty.cache_clear()
    rubbish.leave_nothing()


WIRE = (
    Target("SMTP sessions", talks, check_talk, TESTS / "found" / "smtp", ".bin", 60),
    Target("HTTP requests", requests() | st.binary(max_size=300), check_request,
           TESTS / "found" / "http", ".bin", 60),
)  # fmt: skip
