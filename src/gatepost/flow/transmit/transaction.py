"""One mail transaction: which reply belongs to which command, and what came of it.

In: a composed copy, then upstream's replies in order. Out: what is wanted next (`wants`), and
in the end one outcome per recipient. No I/O: the session writes what is wanted.

The order of replies is fixed (RFC 2920 §3.2): [RSET] MAIL RCPT… DATA, then the end of data;
with BDAT the content goes out with the commands and has one reply. In serial mode each
command waits for the reply before it, and refused mail ends early.

*Fails:* `GarbledError` for a reply that cannot be one to its command (354 to RCPT, 250 to DATA,
anything before the command is written): commands and replies are then out of step.
"""

from collections.abc import Sequence
from enum import Enum, auto

from gatepost.flow.transmit import trouble
from gatepost.flow.transmit.commands import Wire
from gatepost.flow.transmit.copy import Copy
from gatepost.flow.transmit.replies import GarbledError
from gatepost.flow.transmit.trouble import Stage
from gatepost.mail.outcome import Outcome, Scope
from gatepost.mail.reply import Reply

_RSET, _MAIL = -1, 0


class Want(Enum):
    """What a transaction needs to go on."""

    COMMAND = auto()  # serial mode: the next command is to be written
    REPLY = auto()
    CONTENT = auto()  # 354 came and somebody is to get it
    LONE_DOT = auto()  # 354 came although every recipient was refused (RX-2)
    NOTHING = auto()  # over


class Mode(Enum):
    """How commands are written."""

    SERIAL = auto()
    PIPELINED = auto()
    CHUNKED = auto()  # pipelined, with BDAT


_COMMAND, _REPLY = Want.COMMAND, Want.REPLY  # looked up for every reply
_SERIAL, _CHUNKED = Mode.SERIAL, Mode.CHUNKED
_STRAY = trouble.STRAY
_STRAINING = frozenset({Scope.CONNECTION, Scope.UPSTREAM})


class Transaction:
    """One copy on one connection.

    `content_sent`: the whole content with its end has been written. `begun`: upstream has
    answered MAIL. `leaves_open`: upstream may still hold an open transaction at the end, so
    that RSET is due. `strain`: a reply that speaks of upstream or the connection, not of
    the mail.
    """

    __slots__ = (
        "_accepted", "_final", "_outcomes", "_position", "_rcpts", "_refusal",
        "begun", "content_sent", "copy", "leaves_open", "mode", "strain", "wants", "wire",
    )  # fmt: skip

    def __init__(self, copy: Copy, wire: Wire, mode: Mode, *, reset: bool) -> None:
        self.copy = copy
        self.wire = wire
        self.mode = mode
        self.wants = Want.COMMAND if mode is Mode.SERIAL else Want.REPLY
        self.content_sent = False
        self.begun = False
        self.leaves_open = False
        self.strain: Reply | None = None
        self._position = _RSET if reset else _MAIL
        self._accepted = 0
        self._refusal: Outcome | None = None
        self._final: Outcome | None = None
        self._rcpts = len(wire.rcpts)
        self._outcomes: list[Outcome | None] = [None] * self._rcpts

    @property
    def stage(self) -> Stage:
        """What the next reply will answer."""
        position = self._position
        if position == _RSET:
            return Stage.RSET
        if position == _MAIL:
            return Stage.MAIL
        if position <= self._rcpts:
            return Stage.RCPT
        if position == self._rcpts + 1 and self.mode is not Mode.CHUNKED:
            return Stage.DATA
        return Stage.DOT

    def command(self) -> bytes:
        """The command at this position, in serial mode."""
        self.wants = Want.REPLY
        match self.stage:
            case Stage.RSET:
                return b"RSET\r\n"
            case Stage.MAIL:
                return self.wire.mail
            case Stage.RCPT:
                return self.wire.rcpts[self._position - 1]
            case _:
                return b"DATA\r\n"

    def write_all(self, out: list[bytes]) -> None:
        """Appends all commands, and for BDAT the content, to `out`."""
        if self._position == _RSET:
            out.append(b"RSET\r\n")
        out.append(self.wire.mail)
        out += self.wire.rcpts
        if self.mode is Mode.CHUNKED:
            out.append(b"BDAT %d LAST\r\n" % len(self.wire.content))
            out.append(self.wire.content)
            self.content_sent = True
        else:
            out.append(b"DATA\r\n")

    def take(self, code: int, text: bytes, *, used: bool) -> None:
        """Takes the next reply. `used` as in `trouble.outcome`. Raises `GarbledError`."""
        if self.wants is not _REPLY or code in _STRAY:
            raise GarbledError(f"{code} answers nothing")
        position = self._position
        self._position = position + 1
        self.wants = _COMMAND if self.mode is _SERIAL else _REPLY
        if position > self._rcpts:
            self._take_end(position, code, text, used)
        elif 300 <= code < 400:
            raise GarbledError(f"{code} is no answer to a command")
        elif position > _MAIL:
            self._take_rcpt(position - 1, code, text, used)
        elif position == _MAIL:
            self.begun = True
            if code >= 300:
                self._refuse(code, text, used)
        elif code >= 300:
            raise GarbledError(f"{code} is no answer to RSET")

    def _take_end(self, position: int, code: int, text: bytes, used: bool) -> None:
        """The answer to DATA, or to the end of data or BDAT."""
        asked = position == self._rcpts + 1 and self.mode is not _CHUNKED
        if code < 400 and (code >= 300) is not asked:
            raise GarbledError(f"{code} is no answer to {'DATA' if asked else 'content'}")
        if not asked:
            self._finish(Stage.DOT, code, text, used)
        elif code < 400:
            self.wants = Want.CONTENT if self._accepted else Want.LONE_DOT
        else:
            self.leaves_open = True
            self._finish(Stage.DATA, code, text, used)

    @property
    def awaits_end(self) -> bool:
        """Whether the next reply is the last one, to content that somebody is to get."""
        return self.content_sent and self._accepted > 0 and self._position == self._rcpts + 2

    @property
    def is_simple(self) -> bool:
        """Whether MAIL, one RCPT and DATA are all that was written, and nothing is answered."""
        return self._position == _MAIL and self._rcpts == 1 and self.mode is Mode.PIPELINED

    def take_opening(self) -> None:
        """Takes 250, 250 and 354 at once, where it `is_simple`: what three `take` would do."""
        self.begun = True
        self._accepted = 1
        self._position = 3
        self.wants = Want.CONTENT

    def take_delivery(self, text: bytes) -> None:
        """Takes 250 where it `awaits_end`: what `take` would do."""
        self._position += 1
        self.wants = Want.NOTHING
        self._delivered(250, text)

    def outcomes(self, rest: Outcome) -> Sequence[Outcome]:
        """One outcome per recipient; `rest` for those whom no reply decided."""
        rest = self._refusal or self._final or rest
        if self._rcpts == 1:
            return (self._outcomes[0] or rest,)
        return [outcome or rest for outcome in self._outcomes]

    def _take_rcpt(self, index: int, code: int, text: bytes, used: bool) -> None:
        if self._refusal is None:
            if code < 300:
                self._accepted += 1
            else:
                self._outcomes[index] = self._refused(Stage.RCPT, code, text, used)
        if self.mode is _SERIAL and not self._accepted and index + 1 == self._rcpts:
            self.leaves_open = True
            self.wants = Want.NOTHING

    def _refuse(self, code: int, text: bytes, used: bool) -> None:
        self._refusal = self._refused(Stage.MAIL, code, text, used)
        if self.mode is _SERIAL:
            self.wants = Want.NOTHING

    def _finish(self, stage: Stage, code: int, text: bytes, used: bool) -> None:
        self.wants = Want.NOTHING
        if self.mode is _CHUNKED and code >= 300:
            self.leaves_open = True
        if not self._accepted:
            return
        if code >= 300:
            self._final = self._refused(stage, code, text, used)
            return
        self._delivered(code, text)

    def _delivered(self, code: int, text: bytes) -> None:
        self._final = trouble.delivered(_reply(code, text), dsn=self.wire.dsn)
        if self._accepted < self._rcpts:
            self._outcomes = [trouble.after_delivery(one) for one in self._outcomes]

    def _refused(self, stage: Stage, code: int, text: bytes, used: bool) -> Outcome:
        outcome = trouble.outcome(stage, _reply(code, text), used=used)
        if outcome.scope in _STRAINING:
            self.strain = outcome.reply
        return outcome


def _reply(code: int, text: bytes) -> Reply:
    return trouble.read(code, text.decode("utf-8", "replace"))
