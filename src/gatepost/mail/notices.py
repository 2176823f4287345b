"""Mail that Gatepost itself writes: delivery status notifications and campaign summaries.

In: facts, and the date, message id and host as arguments. Out: whole messages as bytes, CRLF,
7bit, no line over 998 octets. A DSN (RFC 3464) goes out with MAIL FROM:<> and only to the
envelope sender; that, NOTIFY and "never about a report" are the caller's business (RD-3).

Addresses that are not ASCII: in the machine part as utf-8-addr-xtext (RFC 6533 §3), in To as
an empty group that names them (RFC 6857), in the text as they are.

*Fails:* never for values that the nouns admit; control characters become blanks.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum

from gatepost.mail.envelope import Recipient
from gatepost.mail.reply import Reply
from gatepost.mail.verdict import Disposition, Reason
from gatepost.mail.writing import (
    ascii_only,
    boundary_for,
    clean,
    fold_words,
    label,
    to_value,
    write_fields,
    write_multipart,
    write_part,
    write_text_part,
)

MAX_HEADER_OCTETS = 65_536  # of the original's header in a DSN
MAX_LISTED = 200  # addresses in a campaign summary

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
    """
    boundary = boundary_for(message_id)
    header = [
        ("From", f"Mail delivery at {label(host)} <postmaster@{host}>"),
        ("To", to_value(to)),
        ("Subject", subject_for(fates)),
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
        write_text_part("text/plain", "Notification", _explanation(host, fates)),
        write_part(
            "message/delivery-status", "Delivery report", _status(host, envid, arrived, fates)
        ),
        _original(original_header),
    ]
    return write_fields(header) + b"\r\n" + write_multipart(boundary, parts)


def subject_for(fates: Sequence[Fate]) -> str:
    """The subject of a DSN; it follows the gravest action among the fates."""
    return _SUBJECTS[next(a for a in Action if any(fate.action is a for fate in fates))]


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
        ("From", f"Gatepost at {label(host)} <postmaster@{host}>"),
        ("To", to_value(to)),
        ("Subject", f"Who was mailed, and who was not: {campaign}"),
        ("Date", format_datetime(date)),
        ("Message-ID", message_id),
        ("Auto-Submitted", "auto-generated"),
        ("MIME-Version", "1.0"),
    ]
    body = "\n".join(_summary(campaign, stream, started_at, counts, not_mailed[:listed]))
    return write_fields(header) + write_text_part("text/plain", "", body)


# The texts

_SUBJECTS = {
    Action.FAILED: "Undelivered mail returned to sender",
    Action.DELAYED: "Delayed mail: still trying",
    Action.RELAYED: "Your mail was handed on",
}
_OPENINGS = {
    Action.FAILED: "Your message could not be delivered to these recipients. "
    "It will not be tried again.",
    Action.DELAYED: "Your message could not be delivered to these recipients yet. You need not "
    "send it again: delivery will be tried further.",
    Action.RELAYED: "For these recipients your message was handed to a server that gives no "
    "notice of delivery. You may get no further word of it.",
}


def _explanation(host: str, fates: Sequence[Fate]) -> str:
    """What happened, the gravest first."""
    lines = [f"This is the mail server at {host}."]
    for action in Action:
        alike = [fate for fate in fates if fate.action is action]
        if alike:
            lines += ["", *textwrap.wrap(_OPENINGS[action], 72), ""]
        for fate in alike:
            lines += _account(fate)
    return "\n".join(lines)


def _account(fate: Fate) -> list[str]:
    said = f"{fate.remote} said: {fate.reply}" if fate.remote else str(fate.reply)
    lines = [
        f"<{clean(fate.recipient.address.given)}>: {fate.action}",
        *textwrap.wrap(clean(said), 72, initial_indent="    ", subsequent_indent="    "),
    ]
    if fate.will_retry_until:
        lines.append(f"    tried until {format_datetime(fate.will_retry_until)}")
    return lines


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
        f"Campaign:   {clean(campaign)}",
        f"Stream:     {clean(stream)}",
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
        lines += [f"  {clean(address)}  ({disposition}, {reason})"
                  for address, disposition, reason in named]  # fmt: skip
        if total - mailed > len(named):
            lines.append(f"  and {total - mailed - len(named)} more")
    return lines


# The machine part of a DSN


def _status(host: str, envid: str, arrived: datetime, fates: Sequence[Fate]) -> bytes:
    blocks = [[("Reporting-MTA", f"dns; {host}"), ("Arrival-Date", format_datetime(arrived))]]
    if envid:
        blocks[0].insert(0, ("Original-Envelope-ID", clean(_from_xtext(envid))))
    blocks += [_recipient_fields(fate) for fate in fates]
    return b"\r\n".join(
        b"".join(fold_words(name, value) for name, value in block) for block in blocks
    )


def _recipient_fields(fate: Fate) -> list[tuple[str, str]]:
    recipient = fate.recipient
    given = recipient.address.given
    fields = []
    if recipient.orcpt:
        kind, _, original = recipient.orcpt.partition(";")
        fields.append(("Original-Recipient", f"{clean(kind)}; {_original_address(kind, original)}"))
    final = f"rfc822; {given}" if given.isascii() else f"utf-8; {_utf8_xtext(given)}"
    fields.append(("Final-Recipient", final))
    fields.append(("Action", fate.action))
    fields.append(("Status", _status_code(fate)))
    if fate.remote:
        fields.append(("Remote-MTA", f"dns; {fate.remote}"))
        fields.append(("Diagnostic-Code", f"smtp; {ascii_only(clean(str(fate.reply)))}"))
    elif fate.action is not Action.RELAYED:
        fields.append(("Diagnostic-Code", f"X-Gatepost; {ascii_only(clean(str(fate.reply)))}"))
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
    return clean(decoded) if decoded.isascii() and decoded.isprintable() else clean(original)


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
        for character in clean(address)
    )


def _original(header: bytes) -> bytes:
    if len(header) > MAX_HEADER_OCTETS:
        header = header[: header.rfind(b"\n", 0, MAX_HEADER_OCTETS) + 1]
    lines = header.splitlines()
    text = b"".join(line + b"\r\n" for line in lines if line)
    return write_part("text/rfc822-headers", "Header of the original message", text)
