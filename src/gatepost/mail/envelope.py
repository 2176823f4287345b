"""The envelope of one SMTP transaction, and how it arrived.

Paths are kept as given; the null reverse-path is the empty string, never `"<>"`.
"""

from dataclasses import dataclass, field
from datetime import datetime

from gatepost.mail.address import Address
from gatepost.mail.client import Client
from gatepost.mail.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Recipient:
    """One forward-path with its DSN parameters (RFC 3461 §4), spelled as they came.

    `notify` is "" (absent), "NEVER", or a comma-separated list of SUCCESS, FAILURE, DELAY in
    upper case. `orcpt` keeps its case and its xtext encoding.
    """

    address: Address
    notify: str = ""
    orcpt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a submission came in: everything the Received field and the log want to know.

    `protocol` is the WITH value of RFC 3848 or RFC 6531 §4.3, such as "ESMTPSA";
    `cipher` is the TLS clause's value, "" without TLS; `at` is UTC.
    """

    client: Client
    peer: str
    port: int
    ehlo: str
    protocol: str
    at: datetime
    cipher: str = ""
    listener: str = ""
    stream: str = ""  # the stream the listener is bound to, "" if none


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One transaction: reverse-path, recipients without repetition, parameters of MAIL.

    `refused` are recipients that were answered 5yz at RCPT; they are kept so that every
    recipient ends with a recorded verdict. `body` is "7BIT" or "8BITMIME"; `ret` is "",
    "FULL" or "HDRS"; `envid` keeps its case and xtext encoding.
    """

    mail_from: str
    recipients: tuple[Recipient, ...]
    refused: tuple[tuple[Recipient, Verdict], ...] = field(default=())
    smtputf8: bool = False
    body: str = "7BIT"
    ret: str = ""
    envid: str = ""
