"""What classification sees of a message: a few header values, read once.

In: a scanned message. Out: `Traits`. Everything else in this room takes traits and never
looks at the message again, except the fingerprint of the text.

*Fails:* never.
*Known limits:* of headers that rules do not name, only the usual ones are read.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gatepost.mail.fields import Mailbox, decode_words, parse_mailboxes
from gatepost.mail.message import Message

STREAM_HEADER = "x-gatepost-stream"
CAMPAIGN_HEADER = "x-gatepost-campaign"
OVERRIDE_HEADER = "x-gatepost-override"

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


def read_traits(message: Message, header_names: Collection[str] = ()) -> Traits:
    """The traits of `message`; `header_names` are further headers that rules look at."""
    wanted = _ALWAYS.union(name.lower() for name in header_names)
    headers: dict[str, tuple[str, ...]] = {}
    mailboxes: dict[bytes, list[Mailbox]] = {b"from": [], b"sender": [], b"to": [], b"cc": []}
    from_fields = 0
    for field in message.root.fields:
        if field.name in mailboxes:
            from_fields += field.name == b"from"
            mailboxes[field.name].extend(parse_mailboxes(field.text))
        name = field.name.decode("ascii", "replace")
        if name in wanted:
            value = " ".join(decode_words(field.text).split())
            headers[name] = (*headers.get(name, ()), value)
    return Traits(
        headers=headers,
        from_=tuple(mailboxes[b"from"]),
        from_fields=from_fields,
        sender=tuple(mailboxes[b"sender"]),
        shown=(*mailboxes[b"to"], *mailboxes[b"cc"]),
    )
