"""A copy: the message as one recipient (or one unmodified group) gets it, ready to be sent.

*Known limits:* a copy holds its whole content; the pool counts those bytes. Servers need not
take more than 100 recipients in one transaction (RFC 5321 §4.5.3.1.8), so whoever makes
copies cuts larger groups at `MAX_RECIPIENTS` (R5321-8).
"""

from dataclasses import dataclass

from gatepost.mail.envelope import Recipient

MAX_RECIPIENTS = 100


@dataclass(slots=True, eq=False)  # there are many: freezing would treble the price of one
class Copy:
    """One transaction to be.

    `mail_from` is "" for the null reverse-path. `content` has CRLF line ends and is not
    dot-stuffed. `smtputf8` says that the submission asked for it, `eight_bit` that content has
    octets above 127, and `convertible` that its maker can make it without. `whole_lines` says
    that content is known to end in CRLF and to have no CR or LF but in pairs, `dotless` that
    none of its lines begins with a dot; without them the wire looks. `envid` and `ret` are DSN
    parameters as they came, "" if absent. `urgent` ones go before the others that wait for the
    same upstream. `tag` belongs to the caller.
    """

    mail_from: str
    recipients: tuple[Recipient, ...]
    content: bytes
    smtputf8: bool = False
    eight_bit: bool = False
    convertible: bool = False
    whole_lines: bool = False
    dotless: bool = False
    envid: str = ""
    ret: str = ""
    urgent: bool = False
    tag: object = None
