"""What came of an attempt to hand a copy to upstream."""

from enum import StrEnum
from typing import NamedTuple

from gatepost.mail.reply import Reply


class Result(StrEnum):
    """The end of one attempt for one recipient."""

    DELIVERED = "delivered"  # upstream answered 2yz to the end of data
    DEFERRED = "deferred"  # try again later
    FAILED = "failed"  # never again; a DSN is due
    UNSENT = "unsent"  # the attempt did not begin (upstream away, withdrawn, shutting down)


class Scope(StrEnum):
    """How far the trouble reaches, so that the rest of the queue can act on it."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    CONNECTION = "connection"
    UPSTREAM = "upstream"


class Outcome(NamedTuple):
    """One attempt's end. `reply` is upstream's, or one in its form for trouble without any.

    `dsn_passed` is false where upstream took the copy and knows no DSN: it will never say what
    became of it (RFC 3461 §5.2). `in_doubt`: upstream had the whole copy, and its answer was
    lost; it may have arrived.
    """

    result: Result
    reply: Reply
    scope: Scope = Scope.RECIPIENT
    dsn_passed: bool = True
    in_doubt: bool = False
