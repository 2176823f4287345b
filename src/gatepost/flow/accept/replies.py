"""Every reply that is said to a client: reason → code, enhanced code, text.

`for_reason` is the table for verdicts. The `Reply` values are what a conductor answers after
DATA; the `bytes` values are the session's own, encoded once. Every 2yz, 4yz and 5yz has an
enhanced status code of the same class, from the registry of RFC 5248 (RFC 2034, RX-8);
greeting, EHLO and 3yz have none.
"""

from typing import Final

from gatepost.mail.reply import Reply
from gatepost.mail.verdict import Reason

_NO_CONSENT: Final = "this recipient may not be mailed on this stream"

_BY_REASON: Final[dict[Reason, Reply]] = {
    Reason.CONSENTED: Reply(250, "2.1.5", "Recipient OK"),
    Reason.TRANSACTIONAL: Reply(250, "2.1.5", "Recipient OK"),
    Reason.SERVICE: Reply(250, "2.1.5", "Recipient OK"),
    Reason.PERSONAL: Reply(250, "2.1.5", "Recipient OK"),
    Reason.OVERRIDE: Reply(250, "2.1.5", "Recipient OK, by override"),
    Reason.OBSERVED: Reply(250, "2.1.5", "Recipient OK, observed"),
    Reason.NO_CONSENT: Reply(550, "5.7.1", f"No consent on record: {_NO_CONSENT}"),
    Reason.WITHDRAWN: Reply(550, "5.7.1", f"Consent withdrawn: {_NO_CONSENT}"),
    Reason.UNCONFIRMED: Reply(550, "5.7.1", f"Sign-up not confirmed: {_NO_CONSENT}"),
    Reason.EXPIRED: Reply(550, "5.7.1", f"Consent expired: {_NO_CONSENT}"),
    Reason.DORMANT: Reply(550, "5.7.1", f"No sign of life for too long: {_NO_CONSENT}"),
    Reason.WEAK_BASIS: Reply(550, "5.7.1", f"The basis is no consent: {_NO_CONSENT}"),
    Reason.FORBIDDEN_SOURCE: Reply(550, "5.7.1", f"Forbidden source: {_NO_CONSENT}"),
    Reason.UNVERIFIED_SOURCE: Reply(550, "5.7.1", f"Source without a text: {_NO_CONSENT}"),
    Reason.INVALID_TEXT: Reply(550, "5.7.1", f"Consent text not valid: {_NO_CONSENT}"),
    Reason.OUTSIDE_SCOPE: Reply(550, "5.7.1", f"Outside the consent's scope: {_NO_CONSENT}"),
    Reason.ROLE_ADDRESS: Reply(550, "5.7.1", f"A role, not a person: {_NO_CONSENT}"),
    Reason.SUPPRESSED: Reply(550, "5.7.1", "Suppressed: this recipient must not be mailed"),
    Reason.ERASED: Reply(550, "5.7.1", "Erased: this recipient must not be mailed"),
    Reason.WELCOME_PENDING: Reply(450, "4.7.0", "The welcome mail is not out yet, try later"),
    Reason.SENDER_FROZEN: Reply(450, "4.7.0", "The sender's bulk mail is frozen, try later"),
    Reason.PAUSED: Reply(450, "4.7.0", "The stream is paused, try later"),
    Reason.CAMPAIGN_STOPPED: Reply(550, "5.7.1", "The campaign was stopped"),
    Reason.SENDER_MISMATCH: Reply(550, "5.7.1", "From or Sender is not the stream's sender"),
    Reason.OPEN_RECIPIENTS: Reply(550, "5.7.1", "To or Cc would show the other recipients"),
    Reason.UNDECLARED_BULK: Reply(550, "5.7.1", "Bulk mail must come on a bulk stream"),
    Reason.UNMODIFIABLE: Reply(554, "5.6.0", "Signed or encrypted: no footer can be added"),
}


def for_reason(reason: Reason) -> Reply:
    """The reply to RCPT, or to the end of data, for a verdict's reason."""
    return _BY_REASON[reason]


def accepted(reference: str) -> Reply:
    """The message is stored durably; from here on it is ours (R5321-13)."""
    return Reply(250, "2.0.0", f"{reference} accepted")


def stream_refused(text: str) -> Reply:
    """The message cannot be given a stream; `text` says why, on one line."""
    return Reply(550, "5.7.0", text)


def malformed(what: str) -> Reply:
    """The message cannot be repaired without guessing; `what` is wrong, on one line (R5322-2)."""
    return Reply(554, "5.6.0", f"Malformed message: {what}")


STORE_AWAY: Final = Reply(451, "4.4.3", "The store is out of reach, try later")
NO_STORAGE: Final = Reply(452, "4.3.1", "Not enough storage, try later")
OUR_ERROR: Final = Reply(451, "4.3.0", "An error on our side, try later")
LOOP: Final = Reply(554, "5.4.6", "Mail loop: it was here before, or passed too many servers")
NULL_SENDER: Final = Reply(550, "5.7.1", "Bulk mail needs a return path, not <>")


def _wire(code: int, enhanced: str, text: str) -> bytes:
    return Reply(code, enhanced, text).encode()


# Going well
RESET: Final = _wire(250, "2.0.0", "OK")
SENDER_OK: Final = _wire(250, "2.1.0", "Sender OK")
RECIPIENT_OK: Final = _wire(250, "2.1.5", "Recipient OK")
GO_AHEAD: Final = _wire(354, "", "End data with <CR><LF>.<CR><LF>")
BYE: Final = _wire(221, "2.0.0", "Bye")
CANNOT_VERIFY: Final = _wire(252, "2.0.0", "Cannot verify, but will take mail for clients")
HELP: Final = _wire(
    214, "2.0.0", "EHLO HELO STARTTLS AUTH MAIL RCPT DATA RSET NOOP VRFY QUIT (RFC 5321)"
)
READY_FOR_TLS: Final = _wire(220, "2.0.0", "Ready to start TLS")
AUTHENTICATED: Final = _wire(235, "2.7.0", "Authentication successful")

# Lines and commands
UNKNOWN_COMMAND: Final = _wire(500, "5.5.2", "Command not recognized")
NOT_IMPLEMENTED: Final = _wire(502, "5.5.1", "Command not implemented")
LINE_TOO_LONG: Final = _wire(500, "5.5.2", "Line too long")
BARE_NEWLINE: Final = _wire(500, "5.5.2", "A line must end with <CR><LF>; bare <CR> or <LF> found")
ODD_OCTETS: Final = _wire(500, "5.5.2", "A line must be UTF-8 without NUL")
NO_ARGUMENT: Final = _wire(501, "5.5.4", "This command takes no argument")
NEEDS_ARGUMENT: Final = _wire(501, "5.5.4", "An argument is missing")
BAD_NAME: Final = _wire(501, "5.5.4", "Say a domain name or an address literal")
MAIL_SYNTAX: Final = _wire(501, "5.5.4", "Syntax: MAIL FROM:<address> [parameters]")
RCPT_SYNTAX: Final = _wire(501, "5.5.4", "Syntax: RCPT TO:<address> [parameters]")
BAD_PARAMETER: Final = _wire(501, "5.5.4", "A parameter is malformed or given twice")
UNKNOWN_PARAMETER: Final = _wire(555, "5.5.4", "A parameter is not recognized")
NEEDS_SMTPUTF8: Final = _wire(553, "5.6.7", "A non-ASCII address needs the SMTPUTF8 parameter")
NEED_HELLO: Final = _wire(503, "5.5.1", "Send EHLO or HELO first")
NEED_MAIL: Final = _wire(503, "5.5.1", "Send MAIL first")
NESTED_MAIL: Final = _wire(503, "5.5.1", "A transaction is open already")
NO_RECIPIENTS: Final = _wire(554, "5.5.1", "No valid recipients")

# Policy and limits
AUTH_REQUIRED: Final = _wire(530, "5.7.0", "Authentication required")
RELAYING_DENIED: Final = _wire(550, "5.7.1", "Relaying denied")
NO_SUCH_USER: Final = _wire(550, "5.1.1", "No such mailbox here")
TOO_FAST: Final = _wire(450, "4.7.0", "Too many messages for now, try later")
CROWDED: Final = _wire(452, "4.4.5", "Too much mail at once, try later")
TOO_LARGE: Final = _wire(552, "5.3.4", "The message is larger than the limit")
TOO_MANY_RECIPIENTS: Final = _wire(452, "4.5.3", "Too many recipients, send the rest apart")
BARE_NEWLINE_IN_DATA: Final = _wire(
    554, "5.6.0", "Lines must end with <CR><LF>; the message has bare <CR> or <LF>"
)
NUL_IN_DATA: Final = _wire(554, "5.6.0", "The message has NUL octets")
STORAGE_FULL: Final = NO_STORAGE.encode()
INTERNAL_ERROR: Final = OUR_ERROR.encode()

# TLS and AUTH
TLS_FIRST: Final = _wire(530, "5.7.0", "Issue STARTTLS first")
TLS_NOT_HERE: Final = _wire(534, "5.7.9", "Passwords are taken only under TLS")
TLS_ACTIVE: Final = _wire(503, "5.5.1", "TLS is active already")
ALREADY_AUTHENTICATED: Final = _wire(503, "5.5.1", "Authenticated already")
AUTH_IN_TRANSACTION: Final = _wire(503, "5.5.1", "Not during a transaction")
UNKNOWN_MECHANISM: Final = _wire(504, "5.5.4", "Mechanism not recognized: PLAIN or LOGIN")
AUTH_FAILED: Final = _wire(535, "5.7.8", "Authentication credentials invalid")
AUTH_UNAVAILABLE: Final = _wire(454, "4.7.0", "Temporary authentication failure")
AUTH_PUT_OFF: Final = _wire(454, "4.7.0", "Too many failed authentications, try later")
AUTH_CANCELLED: Final = _wire(501, "5.7.0", "Authentication cancelled")
AUTH_BAD_BASE64: Final = _wire(501, "5.5.2", "Base64 cannot be decoded")
AUTH_LINE_TOO_LONG: Final = _wire(500, "5.5.6", "Authentication exchange line is too long")

# Saying good-bye unasked
TOO_MANY_CONNECTIONS: Final = _wire(421, "4.7.0", "Too many connections, try later")
TOO_MANY_FAILURES: Final = _wire(421, "4.7.0", "Too many failed authentications")
TOO_MANY_ERRORS: Final = _wire(421, "4.7.0", "Too many errors; closing")
TOO_MANY_COMMANDS: Final = _wire(421, "4.7.0", "Too many commands without a message; closing")
NOT_SMTP: Final = _wire(421, "4.7.0", "This is SMTP; closing")
INJECTION: Final = _wire(421, "4.7.0", "Octets after STARTTLS; closing")
IDLE: Final = _wire(421, "4.4.2", "Time-out, closing")
SHUTTING_DOWN: Final = _wire(421, "4.3.2", "Shutting down, try later")


def address_refused(*, sender: bool, why: str) -> bytes:
    """The path holds no address; `why` does not repeat the text."""
    return _wire(501, "5.1.7" if sender else "5.1.3", f"Bad address: {why}")
