"""What the pages are given: the store, the keys, and functions that ask for what may be reloaded.

`app` makes a `Site`; nothing in this room sees the configuration or the mail path.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType
from typing import Protocol

from gatepost.consent.tokens import Claim, Ring
from gatepost.mail.address import Address
from gatepost.mail.duration import Duration
from gatepost.mail.picture import Picture
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream
from gatepost.store.engine import Store
from gatepost.store.streams import KnownStream
from gatepost.store.transaction import Tx

Network = IPv4Network | IPv6Network


class PageTexts(Protocol):
    """Templates and translations, as the pages use them."""

    def render(self, name: str, language: str, /, **values: object) -> str:
        """The template `name`, filled in."""
        ...

    def language(self, tag: str) -> str:
        """The language that a tag such as `sv-FI` means, "" where there is no translation."""
        ...


class Letters(Protocol):
    """Writes one letter of a sender to a person, in the caller's transaction."""

    def __call__(
        self,
        tx: Tx,
        *,
        to: Address,
        sender: Sender,
        template: str,
        language: str,
        note: str,
        stream: Stream | None = None,
        values: Mapping[str, object],
        one_click: Claim | None = None,
        auto: str = "auto-generated",
        submission: int | None = None,
        confirms: bool = False,
    ) -> int:
        """The id of its submission. One that `confirms` also goes to where mail bounced."""
        ...


@dataclass(frozen=True, slots=True)
class Confirming:
    """How long a confirmation is waited for, and when asking again sends another letter."""

    within: Duration
    again: Duration


Farewell = Callable[[Tx, Claim, KnownStream, str], object]
Dossiers = Callable[[int, str, str], Awaitable[str | None]]

_NO_LOGOS: Mapping[str, Picture] = MappingProxyType({})


def _no_logos() -> Mapping[str, Picture]:
    return _NO_LOGOS


def _nothing(_subject: int, _sender: str, _stream: str) -> None:
    return None


def _no_farewell(_tx: Tx, _claim: Claim, _known: KnownStream, _language: str) -> None:
    return None


def _no_networks() -> Sequence[Network]:
    return ()


def _a_week() -> Confirming:
    return Confirming(Duration(seconds=7 * 86400), Duration(seconds=86400))


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
    nothing else. `farewell` is called in the transaction of a withdrawal by the button of our
    page, and may tell the person by mail. `on_left_again` is called in place of `on_withdrawn`
    where the person had left already and nothing was recorded, and for a suppression.
    `dossier(subject, sender, language)` is a whole page of HTML, `None` where there is nothing to
    show. Without `letters` or `dossier` the pages that need them say that they are not there.
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
    logos: Callable[[], Mapping[str, Picture]] = _no_logos
    on_left_again: Callable[[int, str, str], None] = _nothing
    letters: Letters | None = None
    farewell: Farewell = _no_farewell
    confirming: Callable[[], Confirming] = _a_week
    dossier: Dossiers | None = None
