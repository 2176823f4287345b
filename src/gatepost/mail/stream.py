"""A stream: one kind of mail with one policy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

from gatepost.mail.duration import Duration
from gatepost.mail.verdict import Disposition


class Kind(StrEnum):
    """What the law makes of the mail."""

    BULK = "bulk"
    TRANSACTIONAL = "transactional"
    SERVICE = "service"
    PERSONAL = "personal"


class Unmodifiable(StrEnum):
    """What to do with signed or encrypted bulk mail, whose body must not change."""

    HEADERS = "headers"
    QUARANTINE = "quarantine"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The policy of one stream, as configured.

    `title` and `description` map a language ("" for any) to a text. `sender` is the name of a
    sender, "" only for a personal stream without one. `upstream` is a name from the
    configuration, "" for the default.
    """

    name: str
    kind: Kind
    sender: str = ""
    title: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    description: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    language: str = "en"
    requires_explicit: bool = True
    soft_opt_in: bool = False
    double_opt_in: bool = False
    categories: frozenset[str] = frozenset()
    max_inactive: Duration | None = None
    allow_role_addresses: bool = False
    on_ineligible: Disposition = Disposition.DROP
    release_within: timedelta = timedelta(hours=48)
    unmodifiable: Unmodifiable = Unmodifiable.HEADERS
    footer_always: bool = False
    verp: bool = False
    observe: bool = False
    upstream: str = ""

    def __post_init__(self) -> None:
        if self.on_ineligible is Disposition.DELIVER:
            raise ValueError("whoever is not eligible cannot be delivered to")

    @property
    def is_bulk(self) -> bool:
        """Whether every recipient needs consent."""
        return self.kind is Kind.BULK

    def title_in(self, language: str) -> str:
        """The title in `language`, else the untranslated one, else any, else the name."""
        return self.title.get(_key(self.title, language)) or self.name

    def title_language(self, language: str) -> str:
        """The language that `title_in` answers in; untranslated is the stream's own."""
        return _key(self.title, language) or self.language

    def description_in(self, language: str) -> str:
        """The description in `language`, else the untranslated one, else any, else ""."""
        return self.description.get(_key(self.description, language), "")

    def description_language(self, language: str) -> str:
        """The language that `description_in` answers in; untranslated is the stream's own."""
        return _key(self.description, language) or self.language


def _key(texts: Mapping[str, str], language: str) -> str:
    """Under which language there is a text."""
    for key in (language, language.partition("-")[0], "", "en"):
        if texts.get(key):
            return key
    return next(iter(texts), "")
