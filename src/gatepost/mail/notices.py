"""Mail that Gatepost itself writes: delivery status notifications and campaign summaries.

In: facts, and the date, message id and host as arguments. Out: whole messages as bytes, CRLF,
7bit, no line over 998 octets. A DSN (RFC 3464) goes out with MAIL FROM:<> and only to the
envelope sender; that, NOTIFY and "never about a report" are the caller's business (RD-3).

Addresses that are not ASCII: in the machine part as utf-8-addr-xtext (RFC 6533 §3), in To as
an empty group that names them (RFC 6857), in the text as they are.

*Fails:* never for values that the nouns admit; control characters become blanks.
"""

import hashlib
import quopri
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime
from enum import StrEnum

from gatepost.mail.envelope import Recipient
from gatepost.mail.reply import Reply
from gatepost.mail.verdict import Disposition, Reason

MAX_HEADER_OCTETS = 65_536  # of the original's header in a DSN
MAX_LISTED = 200  # addresses in a campaign summary

_WIDTH = 76
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_ATOMS = re.compile(r"[A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]*")
_HEX_PAIR = re.compile(r"\+([0-9A-F]{2})")


class Action(StrEnum):
    """What became of a recipient, in the words of RFC 3464 §2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """One recipient in a DSN.

    `reply` is upstream's, or ours in its form, in which case `remote` (upstream's host name)
    is "". `will_retry_until` belongs to `delayed` alone.
    """

    recipient: Recipient
    action: Action
    reply: Reply
    remote: str = ""
    last_attempt: datetime | None = None
    will_retry_until: datetime | None = None


def delivery_failure(
    *,
    host: str,
    to: str,
    fates: Sequence[Fate],
    original_header: bytes,
    arrived: datetime,
    date: datetime,
    message_id: str,
    envid: str = "",
) -> bytes:
    """A DSN about `fates`, which all belong to one message (RD-1 to RD-7).

    `host` is our name, `to` the envelope sender, `envid` as it came with MAIL (xtext),
    `message_id` with its angle brackets, `original_header` the header section of the message.
    The subject and the opening words follow the gravest action among the fates.
    """
    gravest = next(a for a in Action if any(fate.action is a for fate in fates))
    boundary = _boundary(message_id)
    header = [
        ("From", f"Mail delivery at {_label(host)} <postmaster@{host}>"),
        ("To", _to(to)),
        ("Subject", _SUBJECTS[gravest]),
        ("Date", format_datetime(date)),
        ("Message-ID", message_id),
        ("Auto-Submitted", "auto-replied"),
        ("MIME-Version", "1.0"),
        (
            "Content-Type",
            f'multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
        ),
    ]
    parts = [
        _text_part("text/plain", "Notification", _explanation(host, gravest, fates)),
        _part("message/delivery-status", "Delivery report", _status(host, envid, arrived, fates)),
        _original(original_header),
    ]
    return _fields(header) + b"\r\n" + _multipart(boundary, parts)


def campaign_summary(
    *,
    host: str,
    to: str,
    campaign: str,
    stream: str,
    started_at: datetime,
    counts: Mapping[tuple[Disposition, Reason], int],
    not_mailed: Sequence[tuple[str, Disposition, Reason]],
    date: datetime,
    message_id: str,
    listed: int = MAX_LISTED,
) -> bytes:
    """The one mail per campaign to the sender's contact: who was mailed, who was not, and why.

    `counts` holds every recipient once, by verdict and reason; `not_mailed` those who were
    not mailed, of whom the first `listed` are named; it may hold no more than these.
    """
    header = [
        ("From", f"Gatepost at {_label(host)} <postmaster@{host}>"),
        ("To", _to(to)),
        ("Subject", f"Who was mailed, and who was not: {campaign}"),
        ("Date", format_datetime(date)),
        ("Message-ID", message_id),
        ("Auto-Submitted", "auto-generated"),
        ("MIME-Version", "1.0"),
    ]
    body = "\n".join(_summary(campaign, stream, started_at, counts, not_mailed[:listed]))
    return _fields(header) + _text_part("text/plain", "", body)


# The texts

_SUBJECTS = {
    Action.FAILED: "Undelivered mail returned to sender",
    Action.DELAYED: "Delayed mail: still trying",
    Action.RELAYED: "Your mail was handed on",
}
_OPENINGS = {
    Action.FAILED: "Your message could not be delivered to the recipients named below. "
    "It will not be tried again.",
    Action.DELAYED: "Your message could not be delivered yet. You need not send it again: "
    "delivery will be tried further.",
    Action.RELAYED: "Your message was handed to a server that gives no notice of delivery. "
    "You may get no further word of it.",
}


def _explanation(host: str, gravest: Action, fates: Sequence[Fate]) -> str:
    lines = [f"This is the mail server at {host}.", "", *textwrap.wrap(_OPENINGS[gravest], 72), ""]
    for fate in fates:
        lines.append(f"<{_clean(fate.recipient.address.given)}>: {fate.action}")
        said = f"{fate.remote} said: {fate.reply}" if fate.remote else str(fate.reply)
        lines += textwrap.wrap(_clean(said), 72, initial_indent="    ", subsequent_indent="    ")
        if fate.will_retry_until:
            lines.append(f"    tried until {format_datetime(fate.will_retry_until)}")
    return "\n".join(lines)


def _summary(
    campaign: str,
    stream: str,
    started_at: datetime,
    counts: Mapping[tuple[Disposition, Reason], int],
    named: Sequence[tuple[str, Disposition, Reason]],
) -> list[str]:
    total = sum(counts.values())
    mailed = sum(n for (disposition, _), n in counts.items() if disposition is Disposition.DELIVER)
    lines = [
        f"Campaign:   {_clean(campaign)}",
        f"Stream:     {_clean(stream)}",
        f"Started:    {format_datetime(started_at)}",
        "",
        f"{total:>9}  recipients",
        f"{mailed:>9}  to be mailed",
        f"{total - mailed:>9}  not mailed",
        "",
        f"{'count':>9}  {'verdict':<12}reason",
    ]
    order = list(Disposition)
    rows = sorted(counts.items(), key=lambda row: (order.index(row[0][0]), -row[1], row[0][1]))
    lines += [f"{n:>9}  {disposition:<12}{reason}" for (disposition, reason), n in rows if n]
    if total > mailed and named:
        lines += ["", "Not mailed:", ""]
        lines += [f"  {_clean(address)}  ({disposition}, {reason})"
                  for address, disposition, reason in named]  # fmt: skip
        if total - mailed > len(named):
            lines.append(f"  and {total - mailed - len(named)} more")
    return lines


# The machine part of a DSN


def _status(host: str, envid: str, arrived: datetime, fates: Sequence[Fate]) -> bytes:
    blocks = [[("Reporting-MTA", f"dns; {host}"), ("Arrival-Date", format_datetime(arrived))]]
    if envid:
        blocks[0].insert(0, ("Original-Envelope-ID", _clean(_from_xtext(envid))))
    blocks += [_recipient_fields(fate) for fate in fates]
    return b"\r\n".join(b"".join(_folded(name, value) for name, value in block) for block in blocks)


def _recipient_fields(fate: Fate) -> list[tuple[str, str]]:
    recipient = fate.recipient
    given = recipient.address.given
    fields = []
    if recipient.orcpt:
        kind, _, original = recipient.orcpt.partition(";")
        fields.append(
            ("Original-Recipient", f"{_clean(kind)}; {_original_address(kind, original)}")
        )
    final = f"rfc822; {given}" if given.isascii() else f"utf-8; {_utf8_xtext(given)}"
    fields.append(("Final-Recipient", final))
    fields.append(("Action", fate.action))
    fields.append(("Status", _status_code(fate)))
    if fate.remote:
        fields.append(("Remote-MTA", f"dns; {fate.remote}"))
        fields.append(("Diagnostic-Code", f"smtp; {_ascii(_clean(str(fate.reply)))}"))
    elif fate.action is not Action.RELAYED:
        fields.append(("Diagnostic-Code", f"X-Gatepost; {_ascii(_clean(str(fate.reply)))}"))
    if fate.last_attempt:
        fields.append(("Last-Attempt-Date", format_datetime(fate.last_attempt)))
    if fate.will_retry_until and fate.action is Action.DELAYED:
        fields.append(("Will-Retry-Until", format_datetime(fate.will_retry_until)))
    return fields


def _status_code(fate: Fate) -> str:
    """The enhanced code in the class that the action demands (RFC 3464 §2.3.4).

    An attempt that failed for good because time ran out keeps its 4.x.x: action and status
    may disagree (RFC 3464 §2.3.3).
    """
    if fate.reply.enhanced:
        return fate.reply.enhanced
    return f"{fate.reply.code // 100}.0.0"


def _original_address(kind: str, original: str) -> str:
    """The ORCPT address, decoded where that is ASCII (RFC 3461 §4.2), else as it came."""
    decoded = _from_xtext(original)
    if kind.strip().lower() == "utf-8":
        return _utf8_xtext(decoded, special="")
    return _clean(decoded) if decoded.isascii() and decoded.isprintable() else _clean(original)


def _from_xtext(text: str) -> str:
    """RFC 3461 §4, leniently: what is no hexchar stays."""
    octets = _HEX_PAIR.sub(lambda match: chr(int(match.group(1), 16)), text)
    try:
        return octets.encode("latin-1").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return octets


def _utf8_xtext(address: str, special: str = "\\+=") -> str:
    r"""RFC 6533 §3: `special` and what is not printable ASCII as `\x{HEX}`."""
    return "".join(
        rf"\x{{{ord(character):02X}}}"
        if character in special or not "\x20" < character < "\x7f"
        else character
        for character in _clean(address)
    )


# Parts and lines


def _original(header: bytes) -> bytes:
    if len(header) > MAX_HEADER_OCTETS:
        header = header[: header.rfind(b"\n", 0, MAX_HEADER_OCTETS) + 1]
    lines = header.splitlines()
    text = b"".join(line + b"\r\n" for line in lines if line)
    return _part("text/rfc822-headers", "Header of the original message", text)


def _text_part(kind: str, description: str, text: str) -> bytes:
    charset = "us-ascii" if text.isascii() else "utf-8"
    octets = "".join(f"{line}\r\n" for line in text.split("\n")).encode("utf-8", "replace")
    return _part(f"{kind}; charset={charset}", description, octets)


def _part(kind: str, description: str, octets: bytes) -> bytes:
    """A part with 7bit content: as it is, or quoted-printable if it must be (RFC 6522 §4)."""
    fields = [("Content-Type", kind)]
    if description:
        fields.append(("Content-Description", description))
    encoding = "7bit"
    if not _is_seven_bit(octets):
        encoding = "quoted-printable"
        octets = quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    fields.append(("Content-Transfer-Encoding", encoding))
    return _fields(fields) + b"\r\n" + octets


def _is_seven_bit(octets: bytes) -> bool:
    return (
        octets.isascii()
        and b"\0" not in octets
        and all(len(line) <= 998 for line in octets.split(b"\r\n"))
    )


def _multipart(boundary: str, parts: Sequence[bytes]) -> bytes:
    mark = f"--{boundary}\r\n".encode()
    return b"".join(mark + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()


def _fields(fields: Sequence[tuple[str, str]]) -> bytes:
    return b"".join(_field(name, value) for name, value in fields)


def _field(name: str, value: str) -> bytes:
    """A header field: structured values come ready; what is not ASCII or too long is encoded."""
    if name == "Subject":
        clean = _clean(value)
        if not clean.isascii() or len(clean) > 900:
            value = Header(clean, "utf-8", maxlinelen=_WIDTH, header_name=name).encode(
                linesep="\r\n"
            )
        else:
            return _folded(name, clean)
    return f"{name}: {value}\r\n".encode("ascii", "replace")


def _folded(name: str, value: str) -> bytes:
    """A field of words, folded between them so that lines stay short where they can."""
    lines = textwrap.wrap(
        f"{name}: {value}",
        _WIDTH,
        subsequent_indent=" ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    folded = "".join(f"{piece}\r\n" for line in lines for piece in _cut(line))
    return folded.encode("ascii", "replace")


def _cut(line: str) -> list[str]:
    """A line in pieces of legal length; only a word of more than 900 characters has several."""
    return [line[:900], *(f" {line[at : at + 900]}" for at in range(900, len(line), 900))]


def _to(address: str) -> str:
    clean = _clean(address)
    if clean.isascii():
        return f"<{clean}>"
    return Header(clean, "utf-8", maxlinelen=_WIDTH).encode(linesep="\r\n") + ":;"


def _label(host: str) -> str:
    """A host name inside an unquoted display name."""
    return host if _ATOMS.fullmatch(host) else f'"{host}"'


def _clean(text: str) -> str:
    return _CONTROLS.sub(" ", text).strip()


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii")


def _boundary(message_id: str) -> str:
    """Made of the message id; no line of ours begins with it by chance."""
    return "=_" + hashlib.blake2b(message_id.encode("utf-8", "replace"), digest_size=15).hexdigest()
