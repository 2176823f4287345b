"""An e-mail address: the spelling that was given, and the one key it is compared by.

In: text or bytes of a path, without the angle brackets. Out: `Address`.
The key is the casefolded local part and the lower-case A-label domain (RFC 5890); a
quoted local part that needs no quotes is the same address as the unquoted one
(RFC 5321 §4.1.2). Plus-tags are part of the local part and are not stripped.

*Fails:* `AddressError`, with a reason fit for an SMTP reply.
A local part beyond ASCII is compared as it is spelled: one with composed letters (NFC, which
RFC 6532 §3.1 recommends) and one with combining marks are two addresses, as they may be to the
server that has the mailbox. To a person they look the same, so `lookalikes` says what else to ask
for before one of them is mailed.
*Known limits:* a spelling that composes some letters and not others is nobody's lookalike.
Obsolete comments and routes (RFC 5322 §4.4) are not addresses here.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import idna

MAX_LOCAL_OCTETS = 64  # RFC 5321 §4.5.3.1.1
MAX_DOMAIN_OCTETS = 255  # RFC 5321 §4.5.3.1.2

_ORDINARY = re.compile(
    r"([A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)"
    r"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*"
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)"
)
_ATOM_CHARACTER = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]|[^\x00-\x9f]")
_QUOTED = re.compile(r'"((?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*)"')
_LITERAL = re.compile(
    r"\[(?:IPv6:[0-9A-Fa-f:.]{2,45}|[0-9]{1,3}(?:\.[0-9]{1,3}){3})\]", re.IGNORECASE
)

ROLE_NAMES = frozenset({
    # RFC 2142, then the names that companies use for the same purpose
    "info", "marketing", "sales", "support", "abuse", "noc", "security", "postmaster",
    "hostmaster", "usenet", "news", "webmaster", "www", "uucp", "ftp",
    "admin", "administrator", "billing", "contact", "help", "helpdesk", "hr", "jobs",
    "mail", "office", "order", "orders", "root", "service", "team", "mailer-daemon",
    "noreply", "no-reply", "ekonomi", "faktura", "kontakt", "kundservice", "kundeservice",
    "kundenservice", "buero", "vertrieb", "salg", "post",
})  # fmt: skip


class AddressError(ValueError):
    """The text is no address; the message says why, without repeating the text."""


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox.

    `given` is the spelling that was received and that goes back on the wire; `key` is what
    ledger, suppressions and envelopes compare.
    """

    given: str
    key: str

    @property
    def local(self) -> str:
        """The local part of the key, casefolded and without needless quotes."""
        return self.key.rpartition("@")[0]

    @property
    def domain(self) -> str:
        """The A-label domain, in lower case."""
        return self.key.rpartition("@")[2]

    @property
    def is_ascii(self) -> bool:
        """Whether the address can be sent without SMTPUTF8 (RFC 6531)."""
        return self.given.isascii()

    @property
    def lookalikes(self) -> tuple[str, ...]:
        """The keys of the same letters spelled otherwise: composed, and with combining marks."""
        if self.key.isascii():
            return ()
        local, at, domain = self.key.rpartition("@")
        bare = unicodedata.normalize("NFD", local)
        forms = {f"{unicodedata.normalize(form, bare)}{at}{domain}" for form in ("NFC", "NFD")}
        return tuple(sorted(forms - {self.key}))

    @property
    def is_role(self) -> bool:
        """Whether this is a role rather than a person (REQUIREMENTS HS-25, A5)."""
        return self.local.partition("+")[0] in ROLE_NAMES

    def __str__(self) -> str:
        """The spelling that was given."""
        return self.given


def parse(text: str) -> Address:
    """The address in `text` (an addr-spec, no brackets, no display name).

    Raises `AddressError`.
    """
    if _ORDINARY.fullmatch(text):
        local, _, domain = text.rpartition("@")
        if len(local) <= MAX_LOCAL_OCTETS and len(domain) <= MAX_DOMAIN_OCTETS:
            return Address(text, f"{local.lower()}@{_a_label(domain)}")
    return _parse_unusual(text)


def _parse_unusual(text: str) -> Address:
    if not text:
        raise AddressError("the address is empty")
    local, at, domain = text.rpartition("@")
    if not at or not domain:
        raise AddressError("the address has no domain")
    if not local:
        raise AddressError("the address has no local part")
    if len(local.encode("utf-8", "replace")) > MAX_LOCAL_OCTETS:
        raise AddressError(f"the local part is longer than {MAX_LOCAL_OCTETS} octets")
    if len(domain.encode("utf-8", "replace")) > MAX_DOMAIN_OCTETS:
        raise AddressError(f"the domain is longer than {MAX_DOMAIN_OCTETS} octets")
    return Address(text, f"{_local_key(local)}@{_domain_key(domain)}")


def _local_key(local: str) -> str:
    quoted = _QUOTED.fullmatch(local)
    if quoted:
        content = re.sub(r"\\(.)", r"\1", quoted.group(1))
        plain = content if _is_dot_atom(content) else _quote(content)
        return plain.casefold()
    if not _is_dot_atom(local):
        raise AddressError("the local part has a character that needs quotes")
    return local.casefold()


def _is_dot_atom(local: str) -> bool:
    return (
        bool(local)
        and all(_ATOM_CHARACTER.fullmatch(character) for character in local)
        and not local.startswith(".")
        and not local.endswith(".")
        and ".." not in local
    )


def _quote(content: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", content) + '"'


def _domain_key(domain: str) -> str:
    if domain.startswith("["):
        if not _LITERAL.fullmatch(domain):
            raise AddressError("the address literal is not one")
        return domain.lower()
    return _a_label(domain)


@lru_cache(maxsize=4096)
def _a_label(domain: str) -> str:
    if domain.isascii():
        if not re.fullmatch(
            r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*"
            r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
            domain,
        ):
            raise AddressError("the domain is not a host name")
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise AddressError("the domain is no valid internationalised name") from error
