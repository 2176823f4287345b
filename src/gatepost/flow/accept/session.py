"""An SMTP session: the commands, and the transaction they build (RFC 5321, RFC 6409).

In: lines and content from the wire. Out: replies, and calls of the handler. Order is
enforced with 503 and changes nothing (R5321-4); a recipient enters the envelope only after
the decision (REQUIREMENTS 2.11-5); a repeated one is answered and kept once.

*Fails:* never towards the client: an exception from the handler is answered 451 4.3.0.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Final

from gatepost import houselog, maillog
from gatepost.flow.accept import commands, replies
from gatepost.flow.accept.cellar import Crowded
from gatepost.flow.accept.content import Content, Trouble
from gatepost.flow.accept.door import Door, Role, Tls
from gatepost.flow.accept.secured import Secured
from gatepost.flow.accept.tls import cipher_name
from gatepost.mail.client import Client
from gatepost.mail.envelope import Arrival, Envelope, Recipient
from gatepost.mail.verdict import Disposition, Verdict

_RETURNS: Final = Client(name="returns")  # nobody submits there, but every arrival has a client
MAX_OFFENCES = 20  # errors since the last message
MAX_IDLE_COMMANDS = 1000  # within a minute, since the last message
_IDLE_SECONDS = 60.0
_IDLE: Final = frozenset({"NOOP", "RSET", "VRFY", "HELP", "EHLO", "HELO"})
# A page in a browser, or any server that can be talked into a request, could post commands
# to a port that trusts its network; what they speak is known by its first word.
_OTHER_PROTOCOLS: Final = frozenset(
    {"GET", "POST", "PUT", "HEAD", "OPTIONS", "PATCH", "DELETE", "CONNECT", "HOST:", "PRI"}
)
_HOST = re.compile(r"[A-Za-z0-9_.-]{1,255}|\[[A-Za-z0-9.:_-]{1,255}\]")
_CONTENT_TROUBLE: Final = {
    Trouble.TOO_LARGE: replies.TOO_LARGE,
    Trouble.NUL: replies.NUL_IN_DATA,
    Trouble.BARE_NEWLINE: replies.BARE_NEWLINE_IN_DATA,
    Trouble.NO_ROOM: replies.STORAGE_FULL,
}


@dataclass(slots=True)
class _Transaction:
    """What MAIL began. `recipients` and `refused` are by key, so that each is there once."""

    arrival: Arrival
    mail: commands.Mail
    recipients: dict[str, Recipient] = field(default_factory=dict)
    refused: dict[str, tuple[Recipient, Verdict]] = field(default_factory=dict)
    overfull: bool = False

    def envelope(self) -> Envelope:
        return Envelope(
            mail_from=self.mail.sender,
            recipients=tuple(self.recipients.values()),
            refused=tuple(self.refused.values()),
            smtputf8=self.mail.smtputf8,
            body=self.mail.body,
            ret=self.mail.ret,
            envid=self.mail.envid,
        )


class Session(Secured):
    """One client's conversation."""

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(door, loop)
        self._transaction: _Transaction | None = None
        self._stranger_noted = False
        self._offences = self._idle_commands = 0
        self._idle_since = 0.0

    # The wire's events

    def greet(self) -> None:
        """220, or 421 when this client has too many connections."""
        self.door.sessions.add(self)
        if self.take_seat():
            self.send(f"220 {self.door.hostname} ESMTP Gatepost\r\n".encode())
        else:
            maillog.connection_refused(self.door.name, str(self.peer), "too many connections")
            self.say_goodbye(replies.TOO_MANY_CONNECTIONS)

    def on_line(self, line: bytes) -> None:
        """One command."""
        try:
            text = line.decode()
        except UnicodeDecodeError:
            self.send(replies.ODD_OCTETS)
            self.offend()
            return
        if self._transaction:
            recipient = commands.ordinary_recipient(text)
            if recipient:
                reply = self._add(self._transaction, recipient)
                self._answer_with(reply)
                if reply is replies.NO_SUCH_USER:  # said on listeners for returns alone
                    self.offend()
                return
        verb, _, argument = text.partition(" ")
        verb = verb.upper()
        command = self._COMMANDS.get(verb)
        if command is None:
            self._unknown(verb)
            return
        try:
            reply = command(self, argument.strip(" \t"))
        except commands.Refused as refused:
            reply = refused.reply
        self._answer_with(reply)
        if verb in _IDLE:
            self._dawdle()
        elif reply is not None and reply[:1] == b"5" and self._counts_against(verb):
            self.offend()

    def on_content(self, content: Content) -> None:
        """The end of data: one reply for the whole message (R5321-11)."""
        self._offences = self._idle_commands = 0
        if content.is_put_away:
            self.wait_for(self._fetch(content))
            return
        try:
            transaction = self._settle_content(content.finish())
        except BaseException:
            self._abandon()  # the message is over, or the next MAIL would be refused for good
            raise
        if transaction:
            self.wait_for(self._deliver(*transaction), must_finish=True)

    async def _fetch(self, content: Content) -> None:
        """Large content: waits for memory to read it back, and goes on with it."""
        transaction = self._transaction
        if transaction is None:
            return
        if not self.door.storage_ok(content.size):
            self._settle_content(Trouble.NO_ROOM)
            return
        cellar = self.door.cellar
        try:
            async with cellar.room(transaction.arrival.client.name, content.size):
                self._task_must_finish = True  # not while it waits: the client would ask again
                settled = self._settle_content(await cellar.fetch(content))
                if settled:
                    await self._deliver(*settled)
        except Crowded:
            self.send(self._turned_down(replies.CROWDED))
        finally:
            self._abandon()  # as above

    def _settle_content(self, finished: bytes | Trouble) -> tuple[_Transaction, bytes] | None:
        """What is to be delivered; a refusal, if need be, is said and ends the transaction."""
        if isinstance(finished, Trouble):
            self.send(self._turned_down(_CONTENT_TROUBLE[finished]))
            self._abandon()
            return None
        transaction, self._transaction = self._transaction, None
        return (transaction, finished) if transaction else None

    def on_lost(self) -> None:
        """Give back what the connection held."""
        self.leave_seat()
        self._abandon()
        self.door.left(self)

    def on_secured(self) -> None:
        """TLS is up: begin again (RFC 3207 §4.2)."""
        self._abandon()

    @property
    def at_rest(self) -> bool:
        """Between transactions."""
        return self._transaction is None

    # Patience: an honest client comes near none of these bounds

    def offend(self) -> None:
        """One more mistake; too many without a message between them end the connection."""
        self._offences += 1
        if self._offences > MAX_OFFENCES:
            self._show_the_door("too many errors", replies.TOO_MANY_ERRORS)

    def _dawdle(self) -> None:
        """One more command that leads to nothing; 30 seconds apart they may go on for ever."""
        now = self.loop.time()
        if now - self._idle_since > _IDLE_SECONDS:
            self._idle_since, self._idle_commands = now, 0
        self._idle_commands += 1
        if self._idle_commands > MAX_IDLE_COMMANDS:
            self._show_the_door("too many commands without a message", replies.TOO_MANY_COMMANDS)

    def _counts_against(self, verb: str) -> bool:
        """A client's list may hold any number of bad recipients; a stranger's guesses count."""
        return verb != "RCPT" or self.door.role is Role.RETURNS

    def _unknown(self, verb: str) -> None:
        """Not SMTP. Another protocol's request must not lead to commands further down."""
        if verb in _OTHER_PROTOCOLS:
            self._show_the_door("not SMTP", replies.NOT_SMTP)
        else:
            self.send(replies.UNKNOWN_COMMAND)
            self.offend()

    def _show_the_door(self, why: str, reply: bytes) -> None:
        maillog.connection_refused(self.door.name, str(self.peer), why)
        self.say_goodbye(reply, linger=True)

    # The commands; each gives its reply, or None where the reply comes later

    def _ehlo(self, argument: str) -> bytes:
        refusal = self._hello(argument, extended=True)
        return refusal or self._keywords()

    def _helo(self, argument: str) -> bytes:
        refusal = self._hello(argument, extended=False)
        return refusal or f"250 {self.door.hostname}\r\n".encode()

    def _mail(self, argument: str) -> bytes | None:
        if not self.session.host_name:
            return replies.NEED_HELLO
        if self._transaction:
            return replies.NESTED_MAIL
        if self.door.stopping:
            self.say_goodbye(replies.SHUTTING_DOWN)
            return None
        client = _RETURNS if self.door.role is Role.RETURNS else self.client
        if client is None:
            return self._turned_away()
        mail = commands.mail(argument, extended=self.session.extended_smtp)
        if mail.size > self.door.limits.message_size:
            return self._turned_down(replies.TOO_LARGE, client)
        if not self.door.storage_ok(mail.size):
            return replies.STORAGE_FULL
        if not self.door.usage.spend(client, self.loop.time()):
            return self._turned_down(replies.TOO_FAST, client)
        self._transaction = _Transaction(self._arrival(client, mail), mail)
        return replies.SENDER_OK

    def _rcpt(self, argument: str) -> bytes | None:
        transaction = self._transaction
        if transaction is None:
            return replies.NEED_MAIL
        recipient = commands.recipient(
            argument,
            extended=self.session.extended_smtp,
            smtputf8=transaction.mail.smtputf8,
            postmaster=self.door.postmaster,
        )
        return self._add(transaction, recipient)

    def _data(self, argument: str) -> bytes:
        if argument:
            return replies.NO_ARGUMENT
        if self._transaction is None:
            return replies.NEED_MAIL
        if not self._transaction.recipients:
            return replies.NO_RECIPIENTS
        self.expect_content(
            Content(
                self.door.limits.message_size,
                reject_bare_newlines=self.door.reject_bare_newlines,
            )
        )
        return replies.GO_AHEAD

    def _rset(self, argument: str) -> bytes:
        if argument:
            return replies.NO_ARGUMENT
        self._abandon()
        return replies.RESET

    def _noop(self, _argument: str) -> bytes:
        return replies.RESET

    def _quit(self, argument: str) -> bytes | None:
        if argument:
            return replies.NO_ARGUMENT
        self.say_goodbye(replies.BYE)
        return None

    def _vrfy(self, argument: str) -> bytes:
        return replies.CANNOT_VERIFY if argument else replies.NEEDS_ARGUMENT

    def _help(self, _argument: str) -> bytes:
        return replies.HELP

    def _not_implemented(self, _argument: str) -> bytes:
        return replies.NOT_IMPLEMENTED

    def _starttls(self, argument: str) -> bytes | None:
        return self.start_tls(argument)

    def _auth(self, argument: str) -> bytes | None:
        if not self.session.host_name:
            return replies.NEED_HELLO
        return replies.AUTH_IN_TRANSACTION if self._transaction else self.authenticate(argument)

    # What they share

    def _answer_with(self, reply: bytes | None) -> None:
        if reply is not None:
            self.send(reply)

    def _hello(self, argument: str, *, extended: bool) -> bytes | None:
        if not _HOST.fullmatch(argument):
            return replies.BAD_NAME
        self._abandon()
        self.session.host_name = argument
        self.session.extended_smtp = extended
        return None

    def _keywords(self) -> bytes:
        words = [
            self.door.hostname,
            "PIPELINING",  # RFC 2920
            f"SIZE {self.door.limits.message_size}",  # RFC 1870
            "8BITMIME",  # RFC 6152
            "SMTPUTF8",  # RFC 6531
            "ENHANCEDSTATUSCODES",  # RFC 2034
            "DSN",  # RFC 3461
        ]
        if self.door.tls is Tls.STARTTLS and not self.under_tls:
            words.append("STARTTLS")
        if self.may_authenticate:
            words.append("AUTH PLAIN LOGIN")
        lines = [f"250-{word}\r\n" for word in words[:-1]]
        return "".join([*lines, f"250 {words[-1]}\r\n"]).encode()

    def _arrival(self, client: Client, mail: commands.Mail) -> Arrival:
        under_tls = self.under_tls
        secured = ("S" if under_tls else "") + ("A" if self.session.authenticated else "")
        if not self.session.extended_smtp:
            protocol = "SMTP"
        else:
            protocol = ("UTF8SMTP" if mail.smtputf8 else "ESMTP") + secured
        return Arrival(
            client=client,
            peer=str(self.peer),
            port=self.peer_port,
            ehlo=self.session.host_name or "",
            protocol=protocol,
            at=datetime.now(UTC),
            cipher=cipher_name(self.transport.get_extra_info("ssl_object")) if under_tls else "",
            listener=self.door.name,
            stream=self.door.stream,
        )

    def _add(self, transaction: _Transaction, recipient: Recipient) -> bytes | None:
        key = recipient.address.key
        if key in transaction.recipients:
            return replies.RECIPIENT_OK
        known = len(transaction.recipients) + len(transaction.refused)
        limit = self.door.limits.recipients_per_message
        if known >= limit and key not in transaction.refused:
            if not transaction.overfull:
                transaction.overfull = True
                arrival = transaction.arrival
                maillog.too_many_recipients(
                    client=arrival.client.name, peer=arrival.peer, limit=limit
                )
            return replies.TOO_MANY_RECIPIENTS
        if key == self.door.postmaster.key:
            return self._settle_recipient(transaction, recipient, None)
        if self.door.role is Role.RETURNS:
            if not self.door.accepts(recipient.address):
                return replies.NO_SUCH_USER
            return self._settle_recipient(transaction, recipient, None)
        verdict = self.door.handler.check_recipient(
            transaction.arrival, transaction.mail.sender, recipient
        )
        if verdict is None or isinstance(verdict, Verdict):
            return self._settle_recipient(transaction, recipient, verdict)
        self.wait_for(self._settle_later(transaction, recipient, verdict))
        return None

    async def _settle_later(
        self,
        transaction: _Transaction,
        recipient: Recipient,
        verdict: Awaitable[Verdict | None],
    ) -> None:
        self.send(self._settle_recipient(transaction, recipient, await verdict))

    def _settle_recipient(
        self, transaction: _Transaction, recipient: Recipient, verdict: Verdict | None
    ) -> bytes:
        key = recipient.address.key
        if verdict is None or verdict.disposition is not Disposition.REJECT:
            transaction.recipients[key] = recipient
            transaction.refused.pop(key, None)
            return replies.RECIPIENT_OK
        reply = replies.for_reason(verdict.reason)
        if reply.temporary:
            return reply.encode()  # it will be asked for again, and have its verdict then
        transaction.refused[key] = (recipient, verdict)
        return replies.RELAYING_DENIED if reply.positive else reply.encode()

    async def _deliver(self, transaction: _Transaction, content: bytes) -> None:
        reply = await self.door.handler.take(transaction.arrival, transaction.envelope(), content)
        self.send(reply.encode())

    def _turned_away(self) -> bytes:
        """The reply to a stranger's MAIL, logged once per connection."""
        reply = replies.AUTH_REQUIRED if self.could_authenticate else replies.RELAYING_DENIED
        if not self._stranger_noted:
            self._stranger_noted = True
            why = reply.decode("ascii").strip()
            maillog.connection_refused(self.door.name, str(self.peer), why)
        return reply

    def _turned_down(self, reply: bytes, client: Client | None = None) -> bytes:
        """`reply` to a message that no handler sees, logged."""
        transaction = self._transaction
        if client is None and transaction is not None:
            client = transaction.arrival.client
        maillog.refused(
            client=client.name if client else "",
            peer=str(self.peer),
            stream=self.door.stream,
            recipients=len(transaction.recipients) if transaction else 0,
            reply=reply.decode("ascii").strip(),
        )
        return reply

    def _abandon(self) -> None:
        """End the transaction, if there is one, without a message."""
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            return
        self.door.usage.give_back(transaction.arrival.client, self.loop.time())
        if transaction.refused:
            try:
                self.door.handler.abandoned(transaction.arrival, transaction.envelope())
            except Exception as error:  # noqa: BLE001  the session goes on whatever it is
                houselog.session_error(self.door.name, error)

    _COMMANDS: ClassVar[Mapping[str, Callable[["Session", str], bytes | None]]] = {
        "EHLO": _ehlo,
        "HELO": _helo,
        "MAIL": _mail,
        "RCPT": _rcpt,
        "DATA": _data,
        "RSET": _rset,
        "NOOP": _noop,
        "QUIT": _quit,
        "VRFY": _vrfy,
        "EXPN": _not_implemented,
        "HELP": _help,
        "BDAT": _not_implemented,
        "ETRN": _not_implemented,
        "STARTTLS": _starttls,
        "AUTH": _auth,
    }
