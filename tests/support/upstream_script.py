"""What a scripted upstream is told to do, and what it got: see `support.upstream`."""

import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Drop:
    reply: str = ""


@dataclass(frozen=True)
class Reset:
    pass


@dataclass(frozen=True)
class Hang:
    pass


@dataclass(frozen=True)
class Endless:
    line: bytes = b"250-and so on\r\n"


@dataclass(frozen=True)
class Raw:
    data: bytes


@dataclass(frozen=True)
class Slow:
    seconds: float
    step: "str | Drop | Reset | Hang | Raw | None" = None


@dataclass(frozen=True)
class Drip:
    reply: str
    seconds: float


Step = str | Drip | Drop | Endless | Hang | Raw | Reset | Slow | None

EXTENSIONS = (
    "PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN",
)  # fmt: skip


@dataclass
class Script:
    """What the upstream offers and how it answers; see the module's docstring.

    `recipients` are steps for RCPT by address (casefolded); of one transaction no more than
    `most_recipients` are taken (0: all). Connections beyond `most_senders` (0: none) are let in and
    hear `busy` at MAIL. `users` (name to password) makes AUTH offered and, if
    `require_auth`, demanded at MAIL. `tls` is "none", "starttls" or "implicit", with `context`.
    """

    steps: dict[str, Step | Sequence[Step]] = field(default_factory=dict)
    recipients: Mapping[str, Step | Sequence[Step]] = field(default_factory=dict)
    extensions: tuple[str, ...] = EXTENSIONS
    tls: str = "none"
    context: ssl.SSLContext | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    require_auth: bool = False
    most_recipients: int = 0
    most_senders: int = 0
    busy: str = "421 4.7.0 too many connections"

    @classmethod
    def read(cls, path: Path) -> "Script":
        """A script from JSON: `steps` and `recipients` as strings or lists of strings, where
        "drop", "hang" and null have their meaning, and `extensions`.
        """
        data = json.loads(path.read_text())
        for name in ("steps", "recipients"):
            data[name] = {key: _from_json(value) for key, value in data.get(name, {}).items()}
        if "extensions" in data:
            data["extensions"] = tuple(data["extensions"])
        return cls(**data)


def _from_json(value: object) -> "Step | Sequence[Step]":
    if isinstance(value, list):
        return [_from_json(one) for one in value]
    return {"drop": Drop(), "hang": Hang()}.get(value, value)


@dataclass
class Message:
    """One complete message as it came: paths and parameters as given, content unstuffed."""

    mail_from: str
    mail_parameters: str
    recipients: list[str]
    recipient_parameters: list[str]
    content: bytes
    connection: int
    began: float  # time.time() at MAIL
    content_began: float  # at the first octet of content
    ended: float  # at the end of data
    secure: bool
    user: str
    chunked: bool
    reply: str = ""

    @property
    def taken(self) -> bool:
        """Whether upstream has taken responsibility, told or not."""
        return self.reply.startswith("2") or not self.reply
