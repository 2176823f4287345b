"""Links: what a token in a URL stands for.

In: a token and the purpose its path demands. Out: a `Link`: the subject, and the stream and
sender as they are configured now or, for a stream that is gone from the configuration, as
the store remembers them. Tokens never expire (R8058-15, HR-5): where the configuration gives
links a lifetime, an older one is retired, which means that it still lets people leave (ME-2)
but gives no way to the preferences. A link whose submission is not on record any more is not
counted as old.

*Fails:* `StoreUnavailable` where a stream that left the configuration, or the age of a
submission, must be looked up and cannot.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gatepost.consent.tokens import Claim, Purpose, Ring, stream_tag
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream
from gatepost.store.spool.reading import received_at
from gatepost.store.streams import KnownStream, stream_of_tag
from gatepost.web import words
from gatepost.web.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An opened link. `stream` and `sender` are `None` where the configuration lacks them."""

    claim: Claim
    stream_name: str
    sender_name: str
    stream: Stream | None
    sender: Sender | None
    token: str
    ring: Ring
    is_retired: bool = False

    @property
    def preferences_token(self) -> str:
        """For the way from leaving to choosing; "" where the link lets people leave only."""
        if self.is_retired or self.ring.is_compromised(self.token):
            return ""
        return self.ring.seal(Purpose.PREFERENCES, self.claim)

    @property
    def unsubscribe_token(self) -> str:
        """For the way from choosing to leaving."""
        return self.ring.seal(Purpose.UNSUBSCRIBE, self.claim)

    def title(self, language: str) -> str:
        """What the recipient knows the stream as."""
        return words.title(self.stream, language) if self.stream else self.stream_name

    def description(self, language: str) -> str:
        """The stream's description, "" for none."""
        return words.description(self.stream, language) if self.stream else ""

    @property
    def legal_name(self) -> str:
        """The sender's legal name; its configured short name if that is all there is."""
        return self.sender.legal_name if self.sender else self.sender_name


class Links:
    """Opens tokens."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._streams: Mapping[str, Stream] = {}
        self._by_tag: dict[int, Stream] = {}

    async def open(self, purpose: Purpose, token: str) -> Link | None:
        """What `token` stands for; `None` if it is none, or none for this purpose."""
        ring = self._site.ring()
        claim = ring.open(purpose, token)
        if claim is None:
            return None
        stream = self._configured(claim.stream)
        if stream is not None:
            known = KnownStream(stream.name, stream.sender)
        else:
            remembered = await self._site.store.read(lambda tx: stream_of_tag(tx, claim.stream))
            if remembered is None:
                return None
            known = remembered
        return Link(
            claim=claim,
            stream_name=known.name,
            sender_name=known.sender,
            stream=stream,
            sender=self._site.senders().get(known.sender),
            token=token,
            ring=ring,
            is_retired=await self._is_retired(claim),
        )

    async def _is_retired(self, claim: Claim) -> bool:
        lifetime = self._site.link_lifetime()
        if lifetime is None:
            return False  # the usual case takes no look-up
        received = await self._site.store.read(lambda tx: received_at(tx, claim.submission))
        if received is None:
            return claim.submission != 0  # the row is kept as long as links work, and is gone
        return lifetime.after(received) < self._site.store.now()

    def _configured(self, tag: int) -> Stream | None:
        streams = self._site.streams()
        if streams is not self._streams:  # reloaded
            self._by_tag = {stream_tag(name): stream for name, stream in streams.items()}
            self._streams = streams
        return self._by_tag.get(tag)
