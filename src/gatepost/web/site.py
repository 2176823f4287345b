"""What the pages are given: the store, the keys, and functions that ask for what may be reloaded.

`app` makes a `Site`; nothing in this room sees the configuration or the mail path.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from gatepost.consent.tokens import Ring
from gatepost.mail.duration import Duration
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream
from gatepost.store.engine import Store

Network = IPv4Network | IPv6Network


class PageTexts(Protocol):
    """Templates and translations, as the pages use them."""

    def render(self, name: str, language: str, /, **values: object) -> str:
        """The template `name`, filled in."""
        ...

    def language(self, tag: str) -> str:
        """The language that a tag such as `sv-FI` means, "" where there is no translation."""
        ...


def _no_networks() -> Sequence[Network]:
    return ()


def _unlimited() -> Duration | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything the pages need.

    `on_withdrawn(subject, sender, stream)` is called after the withdrawal is committed and
    before it is answered; stream "" stands for every bulk stream of the sender. `ready`
    answers "" when mail can be taken and links work, otherwise what is missing; the
    recipients' listener does not repeat those words. `X-Forwarded-For` is believed
    only from `trusted_proxies`. A link older than `link_lifetime` lets people leave and does
    nothing else.
    """

    store: Store
    ring: Callable[[], Ring]
    streams: Callable[[], Mapping[str, Stream]]
    senders: Callable[[], Mapping[str, Sender]]
    texts: PageTexts
    on_withdrawn: Callable[[int, str, str], None]
    ready: Callable[[], Awaitable[str]]
    trusted_proxies: Callable[[], Sequence[Network]] = _no_networks
    link_lifetime: Callable[[], Duration | None] = _unlimited
