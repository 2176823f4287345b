"""What classification sees of a message: a few header values, read once.

In: a scanned message. Out: `Traits`. Everything else in this room takes traits and never
looks at the message again, except the fingerprint of the text.

*Fails:* never.
*Known limits:* of headers that rules do not name, only the usual ones are read.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from gatepost.mail.address import Address, AddressError, parse
from gatepost.mail.fields import Mailbox, decode_words, parse_mailboxes
from gatepost.mail.message import Message

STREAM_HEADER = "x-gatepost-stream"
CAMPAIGN_HEADER = "x-gatepost-campaign"
OVERRIDE_HEADER = "x-gatepost-override"

_MAILBOXES = frozenset({b"from", b"sender", b"to", b"cc"})
_SHOWING = frozenset({b"to", b"cc", b"resent-to", b"resent-cc"})
_WORD = re.compile(r"[^\s<>()\[\],;:\"]+")
_ALWAYS = frozenset({"subject", "list-id", STREAM_HEADER, CAMPAIGN_HEADER, OVERRIDE_HEADER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """One message, as far as classification looks at it.

    `headers` maps lower-case names to decoded values on one line. `from_` and `sender` hold the
    mailboxes of all fields of that name, `from_fields` how many From fields there are; `shown`
    holds those of To and Cc. `stray` are addresses that people see there all the same: in a list
    that cannot be read for certain, such as `a@b.example <c@d.example>`, or in Resent- fields.
    """

    headers: Mapping[str, tuple[str, ...]]
    from_: tuple[Mailbox, ...] = ()
    from_fields: int = 1
    sender: tuple[Mailbox, ...] = ()
    shown: tuple[Mailbox, ...] = ()
    stray: tuple[Address, ...] = ()

    def header(self, name: str) -> str:
        """The first value of the header called `name` (lower case), "" without one."""
        return next(iter(self.headers.get(name, ())), "")

    @property
    def subject(self) -> str:
        """The subject, decoded, on one line."""
        return self.header("subject")

    @property
    def list_id(self) -> str:
        """The identifier in angle brackets of List-Id (RFC 2919), in lower case."""
        inside = self.header("list-id").rpartition("<")[2]
        return inside.partition(">")[0].strip().casefold()


def read_traits(message: Message, header_names: frozenset[str] = frozenset()) -> Traits:
    """The traits of `message`; `header_names` are further headers that rules look at."""
    wanted = _wanted(header_names)
    headers: dict[str, tuple[str, ...]] = {}
    mailboxes: dict[bytes, tuple[Mailbox, ...]] = {}
    stray: list[Address] = []
    from_fields = 0
    for field in message.root.fields:
        name = field.name
        if name in _MAILBOXES:
            from_fields += name == b"from"
            found = parse_mailboxes(field.text)
            mailboxes[name] = (*mailboxes.get(name, ()), *found)
            if name in _SHOWING and not all(one.address for one in found):
                stray += _addresses_in(field.text)
        elif name in _SHOWING:
            stray += _addresses_in(field.text)
        known_as = wanted.get(name)
        if known_as:
            value = " ".join(decode_words(field.text).split())
            headers[known_as] = (*headers.get(known_as, ()), value)
    return Traits(
        headers=headers,
        from_=mailboxes.get(b"from", ()),
        from_fields=from_fields,
        sender=mailboxes.get(b"sender", ()),
        shown=(*mailboxes.get(b"to", ()), *mailboxes.get(b"cc", ())),
        stray=tuple(stray),
    )


def _addresses_in(text: str) -> Iterator[Address]:
    """What a person would take for addresses in `text`, which `Anna@Home` is not."""
    for word in _WORD.findall(text):  # no pattern with an @: it would look for one ever anew
        if "." in word.rpartition("@")[2]:
            try:
                yield parse(word)
            except AddressError:
                continue


@lru_cache(maxsize=16)
def _wanted(header_names: frozenset[str]) -> Mapping[bytes, str]:
    """The names to look for, as they stand in a scanned message, and as traits call them."""
    names = _ALWAYS.union(name.lower() for name in header_names)
    return {name.encode("ascii", "replace"): name for name in names}
