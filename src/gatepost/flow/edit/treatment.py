"""The treatment: everything a plan puts into a message or takes out of it.

In: values from the conductor, made once per submission. Out: frozen values, checked at birth
so that nothing in them can break out of its header field (R5322-6, REQUIREMENTS §2.10).

*Fails:* `TreatmentError` for a value with CR, LF or NUL in the wrong place, or with the wrong
shape.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from gatepost.mail.placeholder import MEANINGS, Spellings, is_spelling

# Removed from every copy. A name that ends in "*" stands for all that begin so.
REMOVED_FIELDS = ("bcc", "resent-bcc", "return-path", "x-gatepost-*")

TOKEN_OCTETS = 49
MAX_SLOT_OCTETS = 72  # a slot stays whole on one line of quoted-printable

_URL_BASE = re.compile(r"https?://[A-Za-z0-9._~:/\[\]%@-]{1,400}/")
_FIELDS = re.compile(
    rb"(?:[!-9;-~]+:[ \t][^\r\n\0]*(?:\r\n[ \t][^\r\n\0]*[^ \t\r\n\0][^\r\n\0]*)*\r\n)*"
)
_LIST_ID = re.compile(r"(?:[ -;=?-~]* )?<[A-Za-z0-9._-]+>")  # R2919-1
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,255}")
_LINE = re.compile(r"[ -~]*")


class TreatmentError(ValueError):
    """A value does not fit its place; the message names it."""


@dataclass(frozen=True, slots=True)
class Footer:
    """The footer's rendered texts, with `{{unsubscribe_url}}` and `{{preferences_url}}` in
    them; `html` is markup, already escaped."""  # noqa: D205, D209

    text: str
    html: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BulkTreatment:
    """What bulk copies get on top. Made once per stream and configuration.

    `list_id` is the value of List-Id, its phrase in ASCII (encoded words, if need be); a bare
    label is put into brackets. The bases are URLs up to and with the last slash, to which a
    copy's token is added. `mailto` is the address for unsubscribing by mail, "" for none; its
    token has `mailto_octets`. `help_url` "" makes List-Help point at the preferences.
    `identity_text` and `identity_html` replace `{{sender_identity}}`. `placeholders` are
    further spellings with what they mean, such as `("*|UNSUB|*", "unsubscribe_url")`.
    `other_links` are bases of links that other senders' copies have, each with what it means.
    With `headers_only` no body is touched.
    """

    list_id: str
    unsubscribe_base: str
    preferences_base: str
    footer: Footer
    identity_text: str
    identity_html: str
    legal_name: str
    postal_address: str
    mailto: str = ""
    mailto_octets: int = TOKEN_OCTETS
    token_octets: int = TOKEN_OCTETS
    help_url: str = ""
    feedback_id: str = ""
    footer_always: bool = False
    headers_only: bool = False
    placeholders: Spellings = ()
    other_links: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name in ("unsubscribe_base", "preferences_base"):
            _require(name, _URL_BASE.fullmatch(getattr(self, name)))
        _require("list_id", _LIST_ID.fullmatch(self.list_id_value))
        _require("list_id", len(self.list_id_value) <= 255)  # R2919-2
        _require("mailto", not self.mailto or _ADDRESS.fullmatch(self.mailto))
        for name in ("help_url", "feedback_id"):
            value = getattr(self, name)
            _require(name, _LINE.fullmatch(value) and len(value) <= 900)
        _require("help_url", not re.search(r"[<> ]", self.help_url))
        for spelling, meaning in self.placeholders:
            if not is_spelling(spelling) or meaning not in MEANINGS:
                raise TreatmentError(f"{spelling!r} cannot be a placeholder for {meaning!r}")
        for octets in (self.token_octets, self.mailto_octets):
            _require("token_octets", 0 < octets <= MAX_SLOT_OCTETS)

    @property
    def links(self) -> tuple[tuple[str, int, str], ...]:
        """What links of ours look like, and the placeholder that each was (`Links`)."""
        bases = (
            (self.unsubscribe_base, "unsubscribe_url"),
            (self.preferences_base, "preferences_url"),
            *self.other_links,
        )
        return tuple((base, self.token_octets, meaning) for base, meaning in bases)

    @property
    def list_id_value(self) -> str:
        """The value of List-Id, with its brackets."""
        return self.list_id if "<" in self.list_id else f"<{self.list_id}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What every copy gets.

    `received` is one or more whole header fields with their CRLF, put on top. `date` and
    `message_id` are the values for fields the message lacks (RFC 6409 §8), b"" adds none.
    DKIM signatures of `own_domains` are removed, because editing breaks them and they are
    made anew (RK-6). With `keep_signatures` none is removed and no body is changed.
    """

    received: bytes
    date: bytes = b""
    message_id: bytes = b""
    remove: tuple[str, ...] = REMOVED_FIELDS
    own_domains: frozenset[str] = frozenset()
    keep_signatures: bool = False
    bulk: BulkTreatment | None = None

    def __post_init__(self) -> None:
        _require("received", _FIELDS.fullmatch(self.received))
        for name in ("date", "message_id"):
            _require(name, re.fullmatch(rb"[ -~]*", getattr(self, name)))

    def removes(self, name: bytes) -> bool:
        """Whether fields called `name` (lower case) are taken out."""
        names, beginnings = _names_of(self.remove)
        return name in names or name.startswith(beginnings)


@lru_cache(maxsize=16)
def _names_of(patterns: tuple[str, ...]) -> tuple[frozenset[bytes], tuple[bytes, ...]]:
    """The whole names among `patterns`, and what the others begin with."""
    given = [pattern.encode() for pattern in patterns]
    names = frozenset(one for one in given if not one.endswith(b"*"))
    return names, tuple(one[:-1] for one in given if one.endswith(b"*"))


def _require(name: str, holds: object) -> None:
    if not holds:
        raise TreatmentError(f"{name} does not fit into a header field")
