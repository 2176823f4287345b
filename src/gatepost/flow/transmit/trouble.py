"""The one home of delivery trouble: a reply, or the lack of one, becomes an outcome.

In: the stage of the transaction, and upstream's reply or the exception that came instead.
Out: `Outcome` (what becomes of the recipient, and how far the trouble reaches), or a `Reply`
in upstream's stead. Refusals of our own stand here, too, so that reports can tell them from
upstream's (`is_own_refusal`).

Only the basic code decides, and of it the first digit, whatever the text or the enhanced
code say (R5321-19). The few codes that never speak of the mail itself are listed in
`_NOT_THE_MAIL` and `_NOT_TODAY`. Whatever is unknown is temporary.

`Scope.UPSTREAM` and `Scope.CONNECTION` mean that this mail has done nothing wrong: it is tried
again soon, and an upstream of which nothing else is heard is left in peace (`pool`).

*Fails:* never.
"""

import re
from dataclasses import replace
from enum import StrEnum

from gatepost.mail.outcome import Outcome, Result, Scope
from gatepost.mail.reply import Reply


class Stage(StrEnum):
    """What was last asked of upstream."""

    CONNECT = "connection"
    TLS = "TLS handshake"
    EHLO = "EHLO"
    AUTH = "AUTH"
    RSET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BLOCK = "content"
    DOT = "end of data"


_MAX_TEXT = 2000
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?:[ \t]+|$)")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_OPENING = frozenset({Stage.CONNECT, Stage.TLS, Stage.EHLO, Stage.AUTH})

# Permanent replies that are about our session and not about the mail: (stage, code).
_NOT_THE_MAIL = {
    (Stage.RCPT, 552): Scope.RECIPIENT,  # the old "too many recipients" (R5321-8)
    **{
        (stage, 503): Scope.CONNECTION  # bad sequence of commands: ours, not the mail's
        for stage in (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT)
    },
    **{
        (stage, code): Scope.UPSTREAM  # credentials or TLS wanted (RFC 4954 §6, RFC 3207 §4)
        for stage in (Stage.MAIL, Stage.RCPT)
        for code in (530, 534, 535, 538)
    },
}

# Temporary replies that speak of the server: it has no room, or is broken inside.
_NOT_TODAY = frozenset(
    {(Stage.MAIL, 451), (Stage.MAIL, 452), (Stage.MAIL, 454), (Stage.DATA, 451),
     (Stage.DATA, 452), (Stage.DOT, 452)}
)  # fmt: skip

# Positive, and never the answer to a command of a transaction: a help text, a greeting, a
# goodbye, a log-in. Whoever says such a thing is out of step.
STRAY = frozenset({211, 214, 220, 221, 235})

LOST = Reply(451, "4.4.2", "upstream closed the connection")
GARBLED = Reply(451, "4.5.0", "upstream's replies do not match our commands")
STOPPING = Reply(421, "4.3.2", "this server is shutting down")
NOT_STARTED = Reply(451, "4.3.2", "not sent: the copy may not be started any more")
OWN_ERROR = Reply(451, "4.3.0", "this server met an error of its own")
NO_TLS_FOR_PASSWORD = Reply(
    454, "4.7.0", "no TLS with upstream: the password is not sent in clear text"
)

# For good, and before upstream was asked: it offers too little, or the copy cannot be sent at all.
NO_EIGHT_BIT = Reply(554, "5.6.3", "the message has 8-bit content, and upstream takes none")
NO_UTF8_ADDRESS = Reply(550, "5.6.7", "a non-ASCII address needs SMTPUTF8, not offered upstream")
NO_UTF8_HEADER = Reply(554, "5.6.9", "a non-ASCII header needs SMTPUTF8, not offered upstream")
BAD_SENDER = Reply(550, "5.1.7", "the sender's address or parameters have a forbidden character")
BAD_RECIPIENT = Reply(
    550, "5.1.3", "a recipient's address or parameters have a forbidden character"
)
_OWN_REFUSALS = frozenset(
    map(str, (NO_EIGHT_BIT, NO_UTF8_ADDRESS, NO_UTF8_HEADER, BAD_SENDER, BAD_RECIPIENT))
)
_OWN_WORD = re.compile(
    r"45[14] 4\.\d\.\d "
    r"(upstream |upstream's |no answer from upstream|no TLS with upstream|trouble with upstream)"
)
_TOO_LARGE = re.compile(r"552 5\.3\.4 the message has \d+ octets, upstream takes \d+")


def too_large(octets: int, limit: int) -> Reply:
    """The refusal of a message over the size that upstream has told."""
    return Reply(552, "5.3.4", f"the message has {octets} octets, upstream takes {limit}")


def is_own_refusal(said: str) -> bool:
    """Whether a final reply, spelled as on record, is one that no upstream ever gave (RD-2)."""
    return said in _OWN_REFUSALS or _TOO_LARGE.fullmatch(said) is not None


def is_own_word(said: str) -> bool:
    """Whether a reply, spelled as on record, is ours in upstream's stead: it came from nobody."""
    return _OWN_WORD.match(said) is not None


def outcome(stage: Stage, reply: Reply, *, used: bool = False, dsn: bool = True) -> Outcome:
    """What `reply`, received at `stage`, means for the recipients it is about.

    `used` says that this connection has carried other mail before: a 421 to MAIL then is only
    a full connection, and no attempt is lost. A 2yz is final at `Stage.DOT` alone; `dsn` is
    what `Outcome.dsn_passed` then says.
    """
    if stage is Stage.DOT and reply.positive:
        return delivered(reply, dsn=dsn)
    scope = _SCOPES.get(stage, Scope.CONNECTION)
    if stage in _OPENING:
        return Outcome(Result.UNSENT, reply, Scope.UPSTREAM)
    if reply.code == 421:
        unsent = used and stage in {Stage.MAIL, Stage.RSET}
        return Outcome(Result.UNSENT if unsent else Result.DEFERRED, reply, Scope.CONNECTION)
    if reply.permanent and stage is not Stage.RSET:
        excused = _NOT_THE_MAIL.get((stage, reply.code))
        return Outcome(Result.DEFERRED, reply, excused) if excused else failed(reply, scope)
    return Outcome(
        Result.DEFERRED, reply, Scope.UPSTREAM if (stage, reply.code) in _NOT_TODAY else scope
    )


_SCOPES = {
    Stage.MAIL: Scope.MESSAGE,
    Stage.RCPT: Scope.RECIPIENT,
    Stage.DATA: Scope.MESSAGE,
    Stage.BLOCK: Scope.MESSAGE,
    Stage.DOT: Scope.MESSAGE,
}


def delivered(reply: Reply, *, dsn: bool) -> Outcome:
    """Upstream has it; `dsn` as in `Outcome.dsn_passed`."""
    return Outcome(Result.DELIVERED, reply, Scope.MESSAGE, dsn)


def failed(reply: Reply, scope: Scope = Scope.MESSAGE) -> Outcome:
    """Never again: upstream said so, or cannot take such mail."""
    return Outcome(Result.FAILED, reply, scope)


def interrupted(reply: Reply, *, begun: bool, in_doubt: bool = False) -> Outcome:
    """The end of a copy whose connection ended, as `reply` says (RQ-3).

    `begun` is false for a copy of which upstream answered nothing and got no complete
    content: it loses no attempt. Only a copy whose end of data was sent, `in_doubt`, may
    arrive twice.
    """
    if in_doubt:
        reply = replace(reply, text=f"{reply.text}; the copy may have arrived all the same")
    result = Result.DEFERRED if begun else Result.UNSENT
    return Outcome(result, reply, Scope.CONNECTION, in_doubt=in_doubt)


def after_delivery(refusal: Outcome | None) -> Outcome | None:
    """What a refusal at RCPT comes to where upstream took the copy for others (R5321-8).

    452, and 552 of old, says that this was one too many, who goes with the next transaction.
    It may mean a full mailbox as well; then that transaction tells, in which nobody else is.
    """
    if refusal and refusal.reply.code in {452, 552} and refusal.scope is Scope.RECIPIENT:
        return withheld(refusal.reply, Scope.MESSAGE)
    return refusal


def withheld(reply: Reply, scope: Scope = Scope.UPSTREAM) -> Outcome:
    """The attempt did not begin."""
    return Outcome(Result.UNSENT, reply, scope)


def timed_out(stage: Stage, seconds: float) -> Reply:
    """The reply in place of the one that did not come."""
    return Reply(451, "4.4.2", f"upstream did not finish the {stage} within {seconds:g} s")


def read(code: int, text: str) -> Reply:
    """The reply of upstream with its enhanced code taken from the text, line by line.

    An enhanced code of another class than the basic code is left where it is (R5321-19).
    """
    text = text[:_MAX_TEXT]
    if text.isprintable():  # one line, as nearly all are
        return Reply(code, *_part(code, text))
    lines = _CONTROLS.sub(" ", text.replace("\r", "")).split("\n")
    parted = [_part(code, line) for line in lines]
    found = next((enhanced for enhanced, _ in parted if enhanced), "")
    return Reply(code, found, "\n".join([rest for _, rest in parted]))


def _part(code: int, line: str) -> tuple[str, str]:
    """The enhanced code of a line, if it belongs to the basic code, and the rest."""
    match = _ENHANCED.match(line)
    if match is None or int(match[1]) != code // 100:
        return "", line
    return match[0].rstrip(), line[match.end() :]


def reply_for(stage: Stage, error: BaseException) -> Reply:
    """A reply in place of upstream's for an exception while connecting.

    Exceptions that carry upstream's `code` and `message` give that reply, if it is a refusal.
    """
    code, message = getattr(error, "code", None), getattr(error, "message", None)
    if isinstance(code, int) and 400 <= code < 600 and isinstance(message, str):
        return read(code, message)
    said = _CONTROLS.sub(" ", str(message or error or type(error).__name__))[:_MAX_TEXT]
    if isinstance(error, TimeoutError):
        return Reply(451, "4.4.1", f"no answer from upstream in time: {said}")
    if stage is Stage.TLS or _is_tls(error) or _is_tls(error.__cause__):
        return Reply(454, "4.7.5", f"no TLS with upstream: {said}")
    if stage is Stage.AUTH:
        return Reply(454, "4.7.0", f"upstream did not let us log in: {said}")
    if isinstance(error, OSError):
        return Reply(451, "4.4.1", f"upstream is out of reach: {said}")
    return Reply(451, "4.3.0", f"trouble with upstream at {stage}: {said}")


def _is_tls(error: BaseException | None) -> bool:
    """Whether the error is one of the `ssl` module, which pure rooms do not import."""
    return any(kind.__module__ == "ssl" for kind in type(error).__mro__)
