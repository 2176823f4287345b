"""The mailboxes of a returns listener: which address is for what.

In: an address, and who is configured. Out: a `Mailbox`, or `None` for an address that is
none of ours. A token in an address is not looked into here.

- `TOKEN@anything` is the return path of one copy: the token proves itself, so that bounces
  still find home after a bounce domain was changed.
- `[senders.X] unsubscribe_mailto`, plain or with `+TOKEN`, and `STREAM-request@bounce_domain`
  (RFC 2142 §6) take unsubscribe mail.
- `complaints@` and `fbl@` the bounce domain are for feedback loops, `abuse@` and
  `postmaster@` for programs and people alike (RFC 2142, RA-6); the last two also at our own
  name. They belong to the first sender with that bounce domain; at our own name, to the
  first sender with a contact.

*Fails:* never.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gatepost.mail.address import Address, AddressError, parse
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream

_TOKEN = re.compile(r"[a-z2-7]{60}")


class Place(StrEnum):
    """What a mailbox is for."""

    BOUNCES = "bounces"
    LEAVING = "leaving"
    COMPLAINTS = "complaints"  # of programs: whatever comes is about a copy
    PEOPLE = "people"  # of programs and people


_ROLES = {
    "complaints": Place.COMPLAINTS,
    "fbl": Place.COMPLAINTS,
    "abuse": Place.PEOPLE,
    "postmaster": Place.PEOPLE,
}


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One of our mailboxes. `token` is the one in the address, "" for none.

    `sender` is whose mailbox it is, `None` for a return path.
    """

    place: Place
    sender: Sender | None = None
    token: str = ""


def find_mailbox(
    address: Address,
    senders: Mapping[str, Sender],
    streams: Mapping[str, Stream],
    hostname: str,
) -> Mailbox | None:
    """What `address` is for."""
    local, domain = address.local, address.domain
    if _TOKEN.fullmatch(local):
        return Mailbox(Place.BOUNCES, token=local)
    for sender in senders.values():
        base = _key(sender.unsubscribe_mailto)
        if address.key == base:
            return Mailbox(Place.LEAVING, sender)
        head, _, token = local.rpartition("+")
        if head and f"{head}@{domain}" == base:
            return Mailbox(Place.LEAVING, sender, token)
    for sender in senders.values():
        if domain == sender.bounce_domain.lower():
            if local in _ROLES:
                return Mailbox(_ROLES[local], sender)
            stream = streams.get(local.removesuffix("-request"))
            if local.endswith("-request") and stream and stream.sender == sender.name:
                return Mailbox(Place.LEAVING, sender)
    if domain == hostname.lower() and _ROLES.get(local) is Place.PEOPLE:
        return Mailbox(Place.PEOPLE, next((s for s in senders.values() if s.contact), None))
    return None


def _key(text: str) -> str:
    try:
        return parse(text).key if text else ""
    except AddressError:
        return ""
