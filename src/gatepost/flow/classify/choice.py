"""Which stream a message belongs to (DESIGN, "Which stream").

In: traits, how the message arrived, the rules of `[[classify]]`. Out: a `Choice`, or a
`Refusal` with words for the mailer. A client or listener that is bound to one stream has it;
else the header of a trusted client, the first rule that matches, the client's default. None of
them can pick a stream that the client may not send on.

*Fails:* never; what has no stream is refused, because nothing is sent without one (SO-3).
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType

from gatepost.flow.classify.traits import OVERRIDE_HEADER, STREAM_HEADER, Traits
from gatepost.mail.client import Client
from gatepost.mail.envelope import Arrival

MAX_OVERRIDE_CHARACTERS = 500

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class How(StrEnum):
    """What decided on the stream."""

    LISTENER = "listener"
    CLIENT = "client"
    HEADER = "header"
    RULE = "rule"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Choice:
    """The name of the stream, and what decided on it."""

    stream: str
    how: How


@dataclass(frozen=True, slots=True)
class Refusal:
    """No stream: `text` says why, in one line fit for a reply (`550 5.7.1`)."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One `[[classify]]` table: all given conditions must hold; values are globs.

    In a glob `*` stands for any text and `?` for one character; case does not matter. `header`
    maps names to globs; `from_` is compared with each From address.
    """

    stream: str
    client: str = ""
    header: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    from_: str = ""
    subject: str = ""
    recipients_at_least: int = 0

    def matches(self, traits: Traits, client: Client, recipients: int) -> bool:
        """Whether a message from `client` to so many recipients meets all conditions."""
        if recipients < self.recipients_at_least:
            return False
        if self.client and not _matches(self.client, [client.name]):
            return False
        addresses = [one.address.key for one in traits.from_ if one.address]
        if self.from_ and not _matches(self.from_, addresses):
            return False
        if self.subject and not _matches(self.subject, [traits.subject]):
            return False
        return all(
            _matches(glob, traits.headers.get(name.lower(), ()))
            for name, glob in self.header.items()
        )


def header_names(rules: Sequence[Rule]) -> frozenset[str]:
    """The headers that `rules` look at, in lower case, for `read_traits`."""
    return frozenset(name.lower() for rule in rules for name in rule.header)


def bound_stream(arrival: Arrival) -> Choice | Refusal | None:
    """The stream that is known before any content is: at RCPT. `None` if it is not known."""
    client = arrival.client
    if arrival.stream:
        if client.streams and arrival.stream not in client.streams:
            return Refusal("this client may not send on the stream of this port")
        return Choice(arrival.stream, How.LISTENER)
    return Choice(client.only_stream, How.CLIENT) if client.only_stream else None


def choose_stream(
    traits: Traits,
    arrival: Arrival,
    rules: Sequence[Rule],
    streams: Collection[str],
    recipients: int,
) -> Choice | Refusal:
    """The stream of a message to so many recipients; `streams` are all that are configured."""
    choice = bound_stream(arrival)
    if choice is None:
        choice = _by_content(traits, arrival.client, rules, recipients)
    elif isinstance(choice, Choice):
        choice = _unless_contradicted(choice, traits, arrival.client)
    if isinstance(choice, Choice) and choice.stream not in streams:
        return Refusal("the stream of this client is not configured")
    return choice


def override_reason(traits: Traits, client: Client) -> str:
    """The written reason of an override that this client may use, "" without one (SO-7)."""
    if not (client.trust_headers and client.may_override):
        return ""
    return traits.header(OVERRIDE_HEADER)[:MAX_OVERRIDE_CHARACTERS]


def _by_content(
    traits: Traits, client: Client, rules: Sequence[Rule], recipients: int
) -> Choice | Refusal:
    named = _named_streams(traits, client)
    if len(named) > 1:
        return Refusal("X-Gatepost-Stream names more than one stream")
    for name in named:
        if name not in client.streams:
            return _foreign(name)
        return Choice(name, How.HEADER)
    for rule in rules:
        if rule.stream in client.streams and rule.matches(traits, client, recipients):
            return Choice(rule.stream, How.RULE)
    if client.default_stream in client.streams:
        return Choice(client.default_stream, How.DEFAULT)
    return Refusal(
        "no stream: name one in X-Gatepost-Stream, in a rule, or as the client's default"
    )


def _unless_contradicted(choice: Choice, traits: Traits, client: Client) -> Choice | Refusal:
    """A header that names another stream than the bound one says that something is wrong."""
    other = [name for name in _named_streams(traits, client) if name != choice.stream]
    return _foreign(other[0]) if other else choice


def _named_streams(traits: Traits, client: Client) -> list[str]:
    if not client.trust_headers:
        return []
    return list(dict.fromkeys(name for name in traits.headers.get(STREAM_HEADER, ()) if name))


def _foreign(name: str) -> Refusal:
    shown = f' "{name}"' if _PLAIN_NAME.fullmatch(name) else ""
    return Refusal(f"X-Gatepost-Stream names a stream{shown} that this client may not send on")


def _matches(glob: str, values: Collection[str]) -> bool:
    pattern = _compiled(glob.casefold())
    return any(pattern.fullmatch(value.casefold()) for value in values)


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    """A glob as a pattern; atomic groups keep it linear for every star."""
    first, *rest = [
        "".join("." if character == "?" else re.escape(character) for character in piece)
        for piece in glob.split("*")
    ]
    middle = "".join(f"(?>.*?{piece})" for piece in rest[:-1])
    return re.compile(first + middle + (f".*{rest[-1]}" if rest else ""), re.DOTALL)
