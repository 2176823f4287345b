"""Letters that Gatepost writes to people about mail that came back.

In: facts, and the date, message id and host as arguments. Out: whole messages as bytes.
`confirmation` answers an unsubscribe mail (RFC 3834: once, to the envelope sender, marked as
automatic; RD-5, RD-6); `letter` is written on a sender's behalf; `forwarded` hands on what
only a person can deal with, whole and as an attachment, so that nobody's signature breaks and
no From is used that is not ours.

*Fails:* never; control characters become blanks.
*Known limits:* a message that is neither 7bit nor 8bit mail (NUL, lines over 998 octets) is
attached as a file.
"""

import base64
import re
from datetime import datetime
from email.utils import format_datetime

from gatepost.mail.writing import (
    MAX_LINE,
    boundary_for,
    clean,
    encoded_words,
    is_seven_bit,
    label,
    to_value,
    write_fields,
    write_multipart,
    write_text_part,
)

_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,240}>")
_LETTER = "It asks for a person: an answer goes to whoever wrote it, not to this mail."
_CASE = (
    "It is a complaint, and has become complaint case {case}. Whoever complained gets no\n"
    "more bulk mail of this sender. Find out why they did, put it right, and have the\n"
    "administrator record it in time:\n\n"
    '    gatepost complaint answer {case} --note "what was found and done"'
)
_PHRASE = re.compile(r"[A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]+")


def confirmation(
    *,
    name: str,
    address: str,
    to: str,
    subject: str,
    text: str,
    in_reply_to: str,
    date: datetime,
    message_id: str,
) -> bytes:
    """The answer to an unsubscribe mail, from `address`, which it was sent to.

    `in_reply_to` is the Message-ID it had; left out if it is not one.
    """
    header = _frame(_mailbox(name, address), to, subject, date, message_id, auto="auto-replied")
    if _MESSAGE_ID.fullmatch(in_reply_to):
        header[5:5] = [("In-Reply-To", in_reply_to), ("References", in_reply_to)]
    return write_fields(header) + write_text_part("text/plain", "", text)


def forwarded(
    *,
    host: str,
    to: str,
    mailbox: str,
    mail_from: str,
    original: bytes,
    date: datetime,
    message_id: str,
    case: int = 0,
) -> bytes:
    """What came to `mailbox` from the envelope sender `mail_from`, for a person to read.

    `case` is the complaint case that it opened, 0 if it opened none.
    """
    boundary = boundary_for(message_id)
    header = [
        *_frame(_ourselves(host), to, f"Mail to {clean(mailbox)}", date, message_id),
        ("Content-Type", f'multipart/mixed;\r\n boundary="{boundary}"'),
    ]
    text = (
        f"The attached message came to {clean(mailbox)}\n"
        f"from {clean(mail_from) or 'a mail server, without a return address'}.\n\n"
    ) + (_CASE.format(case=case) if case else _LETTER)
    parts = [write_text_part("text/plain", "", text), _attached(original)]
    return write_fields(header) + b"\r\n" + write_multipart(boundary, parts)


def letter(
    *,
    name: str,
    address: str,
    reply_to: str,
    to: str,
    subject: str,
    text: str,
    html: str,
    language: str,
    date: datetime,
    message_id: str,
    auto: str,
    unsubscribe_url: str,
) -> bytes:
    """A letter from `name` at `address` to one person: text and the same in HTML, 7bit.

    `reply_to` and `unsubscribe_url` (one-click, RFC 8058 §3.1) are left out where they are "".
    """
    boundary = boundary_for(message_id)
    header = [
        ("From", _mailbox(name, address)),
        ("Reply-To", f"<{clean(reply_to)}>"),
        ("To", to_value(to)),
        ("Subject", subject),
        ("Date", format_datetime(date)),
        ("Message-ID", message_id),
        ("Auto-Submitted", auto),
        ("List-Unsubscribe", f"<{unsubscribe_url}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("Content-Language", language),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/alternative;\r\n boundary="{boundary}"'),
    ]
    absent = set() if reply_to else {"Reply-To"}
    absent |= set() if unsubscribe_url else {"List-Unsubscribe", "List-Unsubscribe-Post"}
    fields = [field for field in header if field[0] not in absent]
    parts = [write_text_part("text/plain", "", text), write_text_part("text/html", "", html)]
    return write_fields(fields) + b"\r\n" + write_multipart(boundary, parts)


def ledger_head(
    *, host: str, to: str, head: str, height: int, date: datetime, message_id: str
) -> bytes:
    """The head of the ledger's chain, for a sender's contact to keep away from the gateway."""
    subject = f"Please keep: the ledger of consents at block {height}"
    header = _frame(_ourselves(host), to, subject, date, message_id)
    text = (
        f"This is Gatepost at {clean(host)}.\n\n"
        "It records who agreed to your mail, and seals the record block by block.\n"
        f"Today its last block is number {height}, and its head is\n\n"
        f"    {head}\n\n"
        "There is nothing to do but keep this mail, in a mailbox that is not on that\n"
        "server. It contains no personal data.\n\n"
        "If somebody ever doubts that the record is complete, the administrator runs\n\n"
        f"    gatepost ledger verify --head {head}\n\n"
        f"That this finds nothing shows that all that was recorded up to {date:%Y-%m-%d}\n"
        "is still there, in its order and unaltered, and that nothing was slipped in.\n\n"
        "How often this mail comes is set by mail_head in [ledger]."
    )
    return write_fields(header) + write_text_part("text/plain", "", text)


def frozen_unanswered(
    *,
    host: str,
    to: str,
    sender: str,
    cases: str,
    first: int,
    within: str,
    date: datetime,
    message_id: str,
) -> bytes:
    """Tells a sender's contact that it is frozen because `cases` (in words) were not answered."""
    subject = f"{clean(sender)} is frozen: {clean(cases)}"
    header = _frame(_ourselves(host), to, subject, date, message_id)
    text = (
        f"This is Gatepost at {clean(host)}.\n\n"
        f"Nobody answered within {within}: {clean(cases)}.\n"
        f"The bulk mail of {clean(sender)} is refused from now on, and what was queued\n"
        "waits. Its other mail goes on.\n\n"
        "When you have found out why people complained, and put it right, the\n"
        "administrator records that for each case and takes the mail again:\n\n"
        "    gatepost complaint list --open\n"
        f'    gatepost complaint answer {first} --note "what was found and done"\n'
        f"    gatepost sender thaw {clean(sender)}\n\n"
        "How long there is to answer, and whether a sender is frozen after that, is set by\n"
        "answer_within and freeze_unanswered in [complaints]."
    )
    return write_fields(header) + write_text_part("text/plain", "", text)


def unsubscribe_request(
    *,
    name: str,
    address: str,
    to: str,
    subject: str,
    text: str,
    date: datetime,
    message_id: str,
) -> bytes:
    """What the mailto of a List-Unsubscribe asks for (RFC 2369 §3.2), from the sender `name`."""
    header = _frame(_mailbox(name, address), to, subject, date, message_id)
    return write_fields(header) + write_text_part("text/plain", "", text.replace("\r\n", "\n"))


def _frame(
    from_: str,
    to: str,
    subject: str,
    date: datetime,
    message_id: str,
    *,
    auto: str = "auto-generated",
) -> list[tuple[str, str]]:
    """The fields of every mail of ours, in their order."""
    return [
        ("From", from_),
        ("To", to_value(to)),
        ("Subject", subject),
        ("Date", format_datetime(date)),
        ("Message-ID", message_id),
        ("Auto-Submitted", auto),
        ("MIME-Version", "1.0"),
    ]


def _ourselves(host: str) -> str:
    return f"Gatepost at {label(host)} <postmaster@{host}>"


def _mailbox(name: str, address: str) -> str:
    return f"{_phrase(name)} <{clean(address)}>"


def _attached(original: bytes) -> bytes:
    """RFC 2046 §5.2.1: message/rfc822 has no encoding but 7bit and 8bit."""
    seven_bit = is_seven_bit(original)
    if seven_bit or (b"\0" not in original and _has_short_lines(original)):
        fields = [
            ("Content-Type", "message/rfc822"),
            ("Content-Disposition", "attachment"),
            ("Content-Transfer-Encoding", "7bit" if seven_bit else "8bit"),
        ]
        return write_fields(fields) + b"\r\n" + original
    fields = [
        ("Content-Type", "application/octet-stream"),
        ("Content-Disposition", 'attachment; filename="original.eml"'),
        ("Content-Transfer-Encoding", "base64"),
    ]
    octets = base64.encodebytes(original).replace(b"\n", b"\r\n")
    return write_fields(fields) + b"\r\n" + octets


def _has_short_lines(octets: bytes) -> bool:
    return all(len(line) <= MAX_LINE for line in octets.split(b"\r\n"))


def _phrase(name: str) -> str:
    """A display name as RFC 5322 §3.2.5 and RFC 2047 §5 want it."""
    text = clean(name)
    if _PHRASE.fullmatch(text):
        return text
    if text.isascii():
        return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
    return encoded_words(text, "From")
