"""MAIL and RCPT read: paths and parameters, as they were spelled.

In: the text of a command line. Out: `Mail` or `Recipient`. The null reverse-path is "".
Parameter names and fixed values are case-insensitive; ENVID and ORCPT keep their case and
their encoding (RX-9). Source routes are read and forgotten (R5321-5).

*Fails:* `Refused`, which carries the encoded reply.
*Known limits:* an address without brackets, or with blanks inside them, is a syntax error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gatepost.flow.accept import replies
from gatepost.mail import address
from gatepost.mail.address import Address, AddressError
from gatepost.mail.envelope import Recipient

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ORDINARY_RCPT = re.compile(
    rf"RCPT TO: ?<((?:{_ATOM}\.)*{_ATOM}@(?:{_LABEL}\.)*{_LABEL})>", re.IGNORECASE | re.ASCII
)
_PATH = re.compile(
    r'(FROM|TO): ?<((?:"(?:[^"\\]|\\.)*"|[^"<>\s\\])*)>(?: +(.*))?', re.IGNORECASE | re.ASCII
)
_ROUTE = re.compile(r"@[^:\"]*:")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\s=]\S*))?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")  # RFC 3461 §4
_ORIGINAL_RECIPIENT = re.compile(r"([A-Za-z0-9-]+);(.+)")
_NOTIFY = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*")

MAX_ENVID = 100  # RFC 3461 §5.4
MAX_ORCPT = 500


class Refused(Exception):  # noqa: N818  not an error of ours: the answer to a command
    """The command is answered with `reply`, and nothing else happens."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A MAIL command. `size` is 0 where none was declared."""

    sender: str
    size: int = 0
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


def ordinary_recipient(line: str) -> Recipient | None:
    """The recipient of a whole RCPT line, where the line is as nearly all are.

    Gives what `recipient` would give, several times as fast; `None` where it takes more.
    """
    match = _ORDINARY_RCPT.fullmatch(line)
    if match:
        given = match[1]
        # 64 octets are enough for either part alone (R5321-7); longer is for `parse` to judge
        if len(given) <= address.MAX_LOCAL_OCTETS:
            return Recipient(Address(given, given.lower()))
    return None


def mail(argument: str, *, extended: bool) -> Mail:
    """The MAIL command whose text behind the verb is `argument`."""
    path, parameters = _split(argument, "FROM", replies.MAIL_SYNTAX)
    given = _parameters(parameters, extended=extended)
    unknown = given.keys() - {"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"}
    if unknown:
        raise Refused(replies.UNKNOWN_PARAMETER)
    smtputf8 = "SMTPUTF8" in given
    return Mail(
        sender=_sender(path, smtputf8=smtputf8),
        size=_size(given),
        body=_one_of(given, "BODY", ("7BIT", "8BITMIME")) or "7BIT",
        smtputf8=smtputf8 and _without_value(given, "SMTPUTF8"),
        ret=_one_of(given, "RET", ("FULL", "HDRS")),
        envid=_envid(given),
    )


def recipient(argument: str, *, extended: bool, smtputf8: bool, postmaster: Address) -> Recipient:
    """The RCPT command whose text behind the verb is `argument`."""
    path, parameters = _split(argument, "TO", replies.RCPT_SYNTAX)
    given = _parameters(parameters, extended=extended)
    if given.keys() - {"NOTIFY", "ORCPT"}:
        raise Refused(replies.UNKNOWN_PARAMETER)
    if not path:
        raise Refused(replies.address_refused(sender=False, why="the address is empty"))
    if path.lower() == "postmaster":
        mailbox = postmaster
    else:
        mailbox = _address(path, sender=False, smtputf8=smtputf8)
    return Recipient(mailbox, _notify(given), _orcpt(given, smtputf8=smtputf8))


def _split(argument: str, keyword: str, syntax: bytes) -> tuple[str, str]:
    match = _PATH.fullmatch(argument)
    if not match or match[1].upper() != keyword:
        raise Refused(syntax)
    return _ROUTE.sub("", match[2], count=1) if match[2].startswith("@") else match[2], (
        match[3] or ""
    )


def _sender(path: str, *, smtputf8: bool) -> str:
    return _address(path, sender=True, smtputf8=smtputf8).given if path else ""


def _address(path: str, *, sender: bool, smtputf8: bool) -> Address:
    if not (smtputf8 or path.isascii()):
        raise Refused(replies.NEEDS_SMTPUTF8)
    try:
        return address.parse(path)
    except AddressError as error:
        raise Refused(replies.address_refused(sender=sender, why=str(error))) from None


def _parameters(text: str, *, extended: bool) -> Mapping[str, str | None]:
    given: dict[str, str | None] = {}
    for word in text.split():
        match = _PARAMETER.fullmatch(word)
        if not match or match[1].upper() in given:
            raise Refused(replies.BAD_PARAMETER)
        given[match[1].upper()] = match[2]
    if given and not extended:
        raise Refused(replies.UNKNOWN_PARAMETER)
    if "AUTH" in given:  # taken from anybody, trusted from nobody (RFC 4954 §5)
        _check(_XTEXT.fullmatch(given["AUTH"] or ""))
    return given


def _size(given: Mapping[str, str | None]) -> int:
    if "SIZE" not in given:
        return 0
    digits = given["SIZE"] or ""
    _check(re.fullmatch(r"[0-9]{1,20}", digits))
    return int(digits)


def _one_of(given: Mapping[str, str | None], name: str, values: tuple[str, ...]) -> str:
    if name not in given:
        return ""
    value = (given[name] or "").upper()
    _check(value in values)
    return value


def _without_value(given: Mapping[str, str | None], name: str) -> bool:
    _check(given[name] is None)
    return True


def _envid(given: Mapping[str, str | None]) -> str:
    if "ENVID" not in given:
        return ""
    value = given["ENVID"] or ""
    _check(len(value) <= MAX_ENVID and _XTEXT.fullmatch(value))
    return value


def _notify(given: Mapping[str, str | None]) -> str:
    if "NOTIFY" not in given:
        return ""
    value = (given["NOTIFY"] or "").upper()
    _check(_NOTIFY.fullmatch(value))
    return value


def _orcpt(given: Mapping[str, str | None], *, smtputf8: bool) -> str:
    if "ORCPT" not in given:
        return ""
    value = given["ORCPT"] or ""
    match = _ORIGINAL_RECIPIENT.fullmatch(value)
    _check(match and len(value) <= MAX_ORCPT)
    assert match is not None  # noqa: S101  for the type checker; the line above has seen to it
    encoded = match[2]
    if smtputf8 and match[1].lower() == "utf-8":  # RFC 6533 §3: U+0080 and above stand plain
        encoded = re.sub(r"[^\x00-\x9f]", "", encoded) or "-"
    _check(_XTEXT.fullmatch(encoded))
    return value


def _check(holds: object) -> None:
    if not holds:
        raise Refused(replies.BAD_PARAMETER)
