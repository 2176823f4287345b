"""Unsubscribe mail, and mail that no person wrote.

In: a scanned message. Out: the tokens it may leave by, and whether it may be answered. Our
List-Unsubscribe has the token in the subject; `Re:`, `Unsubscribe` or a language's word for it
may stand around it, and case may be lost on the way.

*Fails:* never.
"""

from itertools import pairwise

from gatepost.feedback.marks import marks_in
from gatepost.mail.fields import decode_words
from gatepost.mail.message import Message

_AUTOMATIC_FIELDS = (
    "x-autoreply", "x-autorespond", "x-auto-response-suppress", "feedback-id", "list-id",
    "list-help", "list-unsubscribe", "list-post", "list-owner", "list-subscribe", "list-archive",
)  # fmt: skip
_AUTOMATIC_PRECEDENCE = frozenset({"bulk", "junk", "list", "auto_reply"})
_PROGRAMS = frozenset({
    "mailer-daemon", "postmaster", "daemon", "root", "noreply", "no-reply", "bounce", "bounces",
    "listserv", "majordomo",
})  # fmt: skip


def tokens_in_subject(message: Message) -> tuple[str, ...]:
    """What may be tokens in the subject, a folded one put together again."""
    subject = decode_words(message.value("subject"))
    words = subject.split()
    joined = ("".join(pair) for pair in pairwise(words))  # what was written before it stands apart
    return (
        marks_in(subject).addresses
        or marks_in(*joined).addresses
        or marks_in("".join(words)).addresses
    )


def is_automatic(message: Message, mail_from: str) -> bool:
    """Whether a program sent this (RFC 3834 §2, RD-6): never to be answered."""
    submitted = message.value("auto-submitted").partition(";")[0].partition("(")[0]
    if submitted.strip().lower() not in {"", "no"} or not mail_from:
        return True
    if message.value("precedence").strip().lower() in _AUTOMATIC_PRECEDENCE:
        return True
    local = mail_from.rpartition("@")[0].lower().partition("+")[0]
    if local in _PROGRAMS or local.startswith("owner-") or local.endswith("-request"):
        return True
    return any(message.fields(name) for name in _AUTOMATIC_FIELDS)
