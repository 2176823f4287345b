"""What classification sees of a message: a few header values, read once.

In: a scanned message. Out: `Traits`. Everything else in this room takes traits and never
looks at the message again, except the fingerprint of the text.

*Fails:* never.
*Known limits:* of headers that rules do not name, only the usual ones are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from gatepost.mail.fields import Mailbox, decode_words, parse_mailboxes
from gatepost.mail.message import Message

STREAM_HEADER = "x-gatepost-stream"
CAMPAIGN_HEADER = "x-gatepost-campaign"
OVERRIDE_HEADER = "x-gatepost-override"

_MAILBOXES = frozenset({b"from", b"sender", b"to", b"cc"})
_ALWAYS = frozenset({"subject", "list-id", STREAM_HEADER, CAMPAIGN_HEADER, OVERRIDE_HEADER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """One message, as far as classification looks at it.

    `headers` maps lower-case names to decoded values on one line. `from_` and `sender` hold the
    mailboxes of all fields of that name, `from_fields` how many From fields there are; `shown`
    holds those of To and Cc.
    """

    headers: Mapping[str, tuple[str, ...]]
    from_: tuple[Mailbox, ...] = ()
    from_fields: int = 1
    sender: tuple[Mailbox, ...] = ()
    shown: tuple[Mailbox, ...] = ()

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
    from_fields = 0
    for field in message.root.fields:
        name = field.name
        if name in _MAILBOXES:
            from_fields += name == b"from"
            mailboxes[name] = (*mailboxes.get(name, ()), *parse_mailboxes(field.text))
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
    )


@lru_cache(maxsize=16)
def _wanted(header_names: frozenset[str]) -> Mapping[bytes, str]:
    """The names to look for, as they stand in a scanned message, and as traits call them."""
    names = _ALWAYS.union(name.lower() for name in header_names)
    return {name.encode("ascii", "replace"): name for name in names}
