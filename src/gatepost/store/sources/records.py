"""The nouns of sources: what is on record of a place where consent is collected."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from gatepost.consent.attestations import COMPETITION, Attestations, Found, lacks
from gatepost.consent.evidence import TextState
from gatepost.consent.scope import MAIL

# What a source can be. There is none for the spoken word, which nobody can verify (HS-24).
KINDS = ("form", "paper", "shop", "event", "import", "app", "api", COMPETITION)
CHANNELS = (MAIL, "sms", "telephone", "post", "push", "messenger")


class SourceError(ValueError):
    """What was asked of a source cannot be done; the message says why."""


class Stage(StrEnum):
    """Where a version of a text is in its life."""

    DRAFT = "draft"  # never put to use
    ACTIVE = "active"  # what is shown today
    SUCCEEDED = "succeeded"  # was shown, and counts for those who agreed to it


class PictureRecord(NamedTuple):
    """A picture of a text as it was shown; the content is read by `picture_content`."""

    id: int
    name: str
    media_type: str
    sha256: str
    size: int
    added_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecord:
    """One version of a consent text. `used` says that evidence refers to it.

    `names_sender`, `lint` and `accepted_lint` are what a check of its words found, and why
    the errors among it were accepted. `kind` is that of its source.
    """

    source: str
    version: str
    language: str
    body: str
    sha256: str
    attestations: Attestations
    active: bool
    used: bool
    created_at: datetime
    pictures: tuple[PictureRecord, ...]
    kind: str = ""
    names_sender: bool = True
    lint: tuple[str, ...] = ()
    accepted_lint: str = ""
    activated_at: datetime | None = None

    @property
    def found(self) -> Found:
        """What the check of its words found, as one value."""
        return Found(
            names_sender=self.names_sender, lint=self.lint, accepted_lint=self.accepted_lint
        )

    @property
    def lacks(self) -> tuple[str, ...]:
        """What keeps it from being put to use; nothing where all is well."""
        return lacks(self.attestations, self.found, self.kind, len(self.pictures))

    @property
    def stage(self) -> Stage:
        """Where it is in its life."""
        if self.activated_at is None:
            return Stage.DRAFT
        return Stage.ACTIVE if self.active else Stage.SUCCEEDED

    @property
    def state(self) -> TextState:
        """Whether a consent given on this text is one (JU-2, JU-4, JU-5)."""
        counts = self.activated_at is not None and not self.lacks
        return TextState.VALID if counts else TextState.INVALID


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """One source with all versions of its text, oldest first.

    `sender` is who it collects for, `streams` what for (none named: any of the sender's),
    `kind` what it is, one of `KINDS`; sender and kind are "" where nobody said. `channel` is
    what consent is asked for, names with commas between them; `categories` limit it (JU-14).
    `reconstructed` marks a source that was put together from memory and old files, with who
    attests to it and why.
    """

    name: str
    sender: str
    kind: str
    streams: tuple[str, ...]
    description: str
    url: str
    reconstructed: bool
    created_at: datetime
    texts: tuple[TextRecord, ...]
    channel: str = MAIL
    categories: tuple[str, ...] = ()
    attested_by: str = ""
    attested_why: str = ""

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that consent is asked for."""
        return tuple(self.channel.split(","))

    @property
    def current(self) -> TextRecord | None:
        """The text that is shown today; never a draft."""
        return next((text for text in reversed(self.texts) if text.active), None)

    @property
    def referred(self) -> TextRecord | None:
        """What a consent refers to that names no version: the current text, or the last draft."""
        return self.current or (self.texts[-1] if self.texts else None)

    @property
    def marks(self) -> tuple[str, ...]:
        """What whoever looks at the source, or at a consent from it, should know."""
        return self.marks_of(self.referred)

    def marks_of(self, text: TextRecord | None) -> tuple[str, ...]:
        """The same for a consent that refers to `text`, one of its versions or none."""
        marks = ["no text"] if text is None else []
        if text is not None:
            marks += ["draft"] if text.stage is Stage.DRAFT else []
            marks += [] if text.pictures else ["no picture"]
            marks += ["lint accepted"] if text.lint and text.accepted_lint else []
        if self.reconstructed:
            marks.append("reconstructed")
        if MAIL not in self.channels:
            marks.append("not for e-mail")
        return tuple(marks)
