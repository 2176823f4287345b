"""Bounces: which recipient a report speaks of, and what that says about the address.

In: a scanned message, or a reply of upstream. Out: `Bounce` values and a `Severity`.
Delivery status notifications (RFC 3464, RFC 6533) are read here; what other servers write in
their own words is recognised by flufl.bounce, and the status code taken from their text.

The table (RA-5): addresses that do not exist are *hard*; full mailboxes and other trouble of
the mailbox are *soft*; what speaks of the sender, the message, the network or a policy
(x.4.x, x.5.x, x.6.x, x.7.x, x.3.4 and their like) is *policy* and never held against the
address. Where status and diagnostic disagree, policy wins, then the status; a diagnostic may name
several codes, such as that of a server which asked another one about the address. Words are asked
where no code says anything: a server that blocks us must not suppress all of its users. What only
warns that a mail is late is no failure, in whatever words.

*Fails:* never.
*Known limits:* of a report in a server's own words, the first `MAX_OCTETS` are looked at.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes
from enum import StrEnum
from itertools import pairwise

from flufl.bounce import all_failures

from gatepost.feedback.groups import Group, first, read_groups
from gatepost.mail.message import Message
from gatepost.mail.reply import Reply

MAX_OCTETS = 16 * 1024  # its detectors take quadratic time over what a stranger made up
MAX_LINE = 998  # octets (RFC 5322 §2.1.1); over longer lines, too
MAX_TEXT = 500  # characters of a diagnostic that are worth keeping

_STATUS_MEDIA = frozenset({"message/delivery-status", "message/global-delivery-status"})
_CODE = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?!\.?\d)")
_ADDRESS = re.compile(r"<?[^\s<>@]{1,64}@[^\s<>@]{1,255}>?")
_REFUSES_US = re.compile(
    r"\b(?:spam|(?:black|block|deny)[ -]?list|blocked|dnsbl|rbl|polic(?:y|ies)|prohibit(?:ed|ion)|"
    r"reputation|spf|dkim|dmarc|relaying|relay access|(?:to|not) relay|relay (?:not|denied))\b",
    re.IGNORECASE,
)
_LATE = re.compile(
    rb"not\s+yet\s+been\s+delivered|WARNING\s+MESSAGE\s+ONLY|message\s+still\s+undelivered|"
    rb"will\s+keep\s+trying|delivery\s+attempts\s+will\s+continue",
    re.IGNORECASE,
)
_ORIGINAL = re.compile(rb"\n-{2,}|\nReceived:|\nReturn-Path:")
_HARD = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
_POLICY_SUBJECTS = frozenset({"4", "5", "6", "7"})  # network, protocol, content, security
_POLICY_DETAILS = frozenset({"1.7", "1.8", "2.3", "3.4"})  # the sender's address; too large
_NULL_MX = 556
_ABOUT_MAILBOX = frozenset({450, 451, 452, 550, 551, 552, 553})


class Severity(StrEnum):
    """What a bounce says about the address."""

    HARD = "hard"  # it does not exist: never again
    SOFT = "soft"  # not now: several in a row say never again
    POLICY = "policy"  # the fault is not with the address
    NONE = "none"  # no failure: delayed, relayed, delivered


_GRAVEST_FIRST = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Bounce:
    """What a report says of one recipient, each "" where it does not say.

    `action` is in lower case; `status` is an enhanced status code (RFC 3463).
    """

    recipient: str
    action: str
    status: str
    diagnostic: str

    def __str__(self) -> str:
        """For the record: code and words, without addresses."""
        said = f"{self.status} {self.diagnostic}"[: 4 * MAX_TEXT]
        said = _ADDRESS.sub("(address)", said)
        said = "".join(letter if letter.isprintable() else " " for letter in said)
        return " ".join(said.split())[:MAX_TEXT]


def find_bounces(message: Message) -> tuple[Bounce, ...]:
    """What `message` says of the recipients of a mail, nothing if it is no report."""
    reports = [part for part in message.parts if part.media in _STATUS_MEDIA]
    if reports:
        groups = [group for part in reports for group in read_groups(message.content(part))]
        return tuple(_bounce(group) for group in groups if _is_about_recipient(group))
    return _in_own_words(message)


def judge(bounce: Bounce) -> Severity:
    """What `bounce` says about the address."""
    if bounce.action not in {"", "failed"}:
        return Severity.NONE
    return _judge_codes(bounce.status, bounce.diagnostic) or Severity.SOFT


def judge_all(bounces: Sequence[Bounce]) -> tuple[Severity, str]:
    """The gravest of `bounces`, all about one copy, and its words for the record.

    A copy that reached somebody (an alias with several people behind it) did not fail.
    """
    if any(bounce.action == "delivered" for bounce in bounces):
        return Severity.NONE, ""
    judged = [(judge(bounce), str(bounce)) for bounce in bounces]
    return min(judged, key=lambda one: _GRAVEST_FIRST.index(one[0]), default=(Severity.NONE, ""))


def judge_reply(reply: Reply) -> Severity:
    """What the last reply to an attempt that failed for good says about the address.

    A code without an enhanced one is hard only where it can mean nothing else (RFC 7504).
    """
    if reply.code == _NULL_MX:
        return Severity.HARD
    if reply.positive:
        return Severity.NONE
    vote = _judge_codes(reply.enhanced, reply.text)
    if vote:
        return vote
    return Severity.SOFT if reply.code in _ABOUT_MAILBOX else Severity.POLICY


def _judge_codes(status: str, words: str) -> Severity | None:
    """What a status and all codes in the words beside it say; policy wins, then the first.

    Without a code that says anything, the words are asked whether it is us that they refuse.
    """
    codes = [status, *(found.group() for found in _CODE.finditer(words))]
    votes = [vote for vote in map(_judge_code, codes) if vote]
    said = "" if votes else _ADDRESS.sub("", words[: 4 * MAX_TEXT])  # anybody's name is no reason
    if Severity.POLICY in votes or _REFUSES_US.search(said):
        return Severity.POLICY
    return next(iter(votes), None)


def _judge_code(status: str) -> Severity | None:
    """`None` where the code is none, or says nothing (x.0.0)."""
    match = _CODE.fullmatch(status)
    if not match or match.group(1) == "2" or match.group(2) == "0":
        return None
    detail = f"{match.group(2)}.{match.group(3)}"
    if match.group(2) in _POLICY_SUBJECTS or detail in _POLICY_DETAILS:
        return Severity.POLICY
    return Severity.HARD if status in _HARD else Severity.SOFT


def _code_in(text: str) -> str:
    match = _CODE.search(text)
    return match.group() if match else ""


def _is_about_recipient(group: Group) -> bool:
    return any(name in group for name in ("final-recipient", "original-recipient", "action"))


def _bounce(group: Group) -> Bounce:
    groups = [group]
    address = first(groups, "original-recipient") or first(groups, "final-recipient")
    action = first(groups, "action").partition("(")[0].strip().lower()
    return Bounce(
        recipient=_typed(address).strip("<>"),
        action=action,
        status=_code_in(first(groups, "status")),
        diagnostic=_typed(first(groups, "diagnostic-code")),
    )


def _typed(value: str) -> str:
    """What stands behind the type: `rfc822; a@b.example`, `smtp; 550 …`."""
    kind, mark, rest = value.partition(";")
    return rest.strip() if mark and re.fullmatch(r"[A-Za-z0-9-]+", kind.strip()) else value.strip()


def _in_own_words(message: Message) -> tuple[Bounce, ...]:
    parsed = message_from_bytes(_without_gaps(bytes(message.raw[:MAX_OCTETS])))
    if "from" not in parsed:
        parsed["From"] = "<>"  # a detector counts on one
    try:
        delayed, failed = all_failures(parsed)
    except Exception:  # noqa: BLE001  a detector stumbled over what a stranger wrote
        return ()
    said = _words(message)
    status = _code_in(said)
    if _is_late(message):
        delayed, failed = delayed | failed, frozenset[bytes]()
    return tuple(
        Bounce(address.decode("utf-8", "replace"), action, status, said)
        for addresses, action in ((failed, "failed"), (delayed, "delayed"))
        for address in sorted(addresses)
    )


def _without_gaps(octets: bytes) -> bytes:
    """One empty line for several, which the detectors would try in every combination."""
    lines = [line[:MAX_LINE] for line in octets.splitlines()]
    kept = [
        line for line, next_line in pairwise([*lines, b"."]) if line.strip() or next_line.strip()
    ]
    return b"\n".join(kept)


def _is_late(message: Message) -> bool:
    """Whether the human part says that delivery goes on: detectors take some for a failure."""
    text = next((part for part in message.leaves() if part.media == "text/plain"), None)
    if text is None:
        return False
    end = min(text.end, text.body_start + MAX_OCTETS)
    return bool(_LATE.search(_ORIGINAL.split(bytes(message.raw[text.body_start : end]), 1)[0]))


def _words(message: Message) -> str:
    """The human part, without the copy of our mail that often follows it."""
    text = next((part for part in message.leaves() if part.media == "text/plain"), None)
    if text is None or text.end - text.body_start > MAX_OCTETS:
        return ""
    words = re.split(_ORIGINAL.pattern.decode(), message.text(text))[0]
    found = _CODE.search(words)
    start = max(0, found.start() - MAX_TEXT // 2) if found else 0
    return " ".join(words[start : start + MAX_TEXT].split())
