"""What receivers demand of bulk mail, asked of one copy as it was received (§3.1, §3.2).

In: a copy, the public keys of its signatures, the sender. Out: a finding per demand, with the
receiver's rule in words. Parsed by the standard library, not by the code that made the copy.
"""

import re
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gatepost.cli.findings import Finding, Mark, holds
from gatepost.cli.signature import Signature, signatures, trouble_with
from gatepost.mail.sender import Sender

ONE_CLICK = "List-Unsubscribe=One-Click"
PAIR = ("list-unsubscribe", "list-unsubscribe-post")
_SINGLE = ("From", "To", "Subject", "Date", "Message-ID", "Sender", "Reply-To", "MIME-Version",
           "Content-Type", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Id")  # fmt: skip
_URI = re.compile(r"<([^<>\s]+)>")
_LINK = re.compile(r"https?://[^\s\"'<>]+")
_MESSAGE_ID = re.compile(r"<[^<>@\s]+@[^<>@\s]+>")

Keys = Callable[[Signature], RSAPublicKey | str]  # the key, or why there is none


class Copy:
    """One copy, parsed as a receiver would."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.message: EmailMessage = message_from_bytes(content, policy=policy.default)

    def values(self, name: str) -> list[str]:
        """The fields called `name`, as they stand there, folds and all."""
        header = self.content.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
        found = re.findall(rf"(?im)^{re.escape(name)}:((?:.|\n[ \t])*)$", header)
        return [str(value).rstrip("\r") for value in found]

    @property
    def one_click(self) -> str:
        """The https address in List-Unsubscribe, "" where there is none."""
        uris = _URI.findall(" ".join(self.values("List-Unsubscribe")))
        return next((uri for uri in uris if uri.startswith("https://")), "") or next(
            (uri for uri in uris if uri.startswith("http://")), ""
        )

    @property
    def from_domain(self) -> str:
        """The domain in From."""
        addresses = getaddresses(self.values("From"))
        return addresses[0][1].rpartition("@")[2].lower() if addresses else ""

    def text(self, kind: str) -> str | None:
        """The readable part of that kind, `None` where there is none."""
        part = self.message.get_body((kind,))
        return str(part.get_content()) if part else None

    def links(self, base: str) -> list[str]:
        """Every link into our pages, in header and texts."""
        texts = [*self.values("List-Unsubscribe"), *self.values("List-Help")]
        texts += [self.text("plain") or "", self.text("html") or ""]
        found = dict.fromkeys(
            link.rstrip(".,)&;") for text in texts for link in _LINK.findall(text)
        )
        return [link for link in found if link.startswith(f"{base.rstrip('/')}/")]


def header_findings(copy: Copy) -> Iterator[Finding]:
    """The header, by RFC 8058, Gmail (G-3, G-5) and Yahoo (Y-2)."""
    yield from _one_click_findings(copy)
    repeated = [name for name in _SINGLE if len(copy.values(name)) > 1]
    yield holds("header fields that may occur once", not repeated, ", ".join(repeated) or "they do")
    senders = getaddresses(copy.values("From"))
    yield holds("From has one address", len(senders) == 1, f"{len(senders)}")
    ids = copy.values("Message-ID")
    good = len(ids) == 1 and bool(_MESSAGE_ID.fullmatch(ids[0].strip()))
    yield holds("Message-ID", good, ids[0].strip() if ids else "missing")
    yield holds(
        "Date", len(copy.values("Date")) == 1, "present" if copy.values("Date") else "missing"
    )
    identity = " ".join("".join(copy.values("List-Id")).split())
    yield holds("List-Id", bool(identity), identity or "missing")
    longest = max(len(line) for line in copy.content.split(b"\r\n"))
    yield holds("no line is over 998 octets", longest <= 998, f"the longest has {longest}")


def _one_click_findings(copy: Copy) -> Iterator[Finding]:
    fields, posts = copy.values("List-Unsubscribe"), copy.values("List-Unsubscribe-Post")
    uris = _URI.findall(fields[0]) if fields else []
    secure = [uri for uri in uris if uri.startswith("https:")]
    plain = [uri for uri in uris if uri.startswith("http:")]
    one_line = "\n" not in "".join(fields)
    yield holds(
        "List-Unsubscribe", len(fields) == 1 and len(secure) == 1 and not plain and one_line,
        f"fields: {len(fields)}, https links: {len(secure)}, http links: {len(plain)}",
        "receivers want one field with one https link: set [server] public_url to an https address",
    )  # fmt: skip
    good = len(posts) == 1 and posts[0].strip() == ONE_CLICK
    yield holds("List-Unsubscribe-Post", good, "; ".join(posts).strip() or "missing")


def body_findings(copy: Copy, sender: Sender) -> Iterator[Finding]:
    """A visible way out and who sends it, in every part that is read (G-3, Y-2, C-3)."""
    base = f"{sender.public_url.rstrip('/')}/"
    for kind, name in (("plain", "text"), ("html", "HTML")):
        text = copy.text(kind)
        if text is None:
            continue
        words = " ".join(text.split())
        out = any(link.startswith(base) for link in _LINK.findall(text))
        yield holds(f"a way out in the {name}", out, "a link" if out else "none")
        named = sender.legal_name in words or kind == "html"
        address = " ".join(sender.postal_address.split())
        where = address in words or (kind == "html" and address.split(",")[0] in words)
        yield holds(
            f"name and postal address in the {name}", named and where,
            "present" if named and where else "missing",
        )  # fmt: skip


def signature_findings(copy: Copy, keys: Keys) -> Iterator[Finding]:
    """Valid, aligned, and covering both unsubscribe headers (R8058-10, G-3, Y-2)."""
    found = signatures(copy.content)
    covering: list[str] = []
    aligned = False
    for one in found:
        about = f"DKIM signature of {one.domain}, selector {one.selector}"
        key = keys(one)
        if isinstance(key, str):
            yield Finding(Mark.OPEN, about, key)
            continue
        trouble = trouble_with(copy.content, one, key)
        if trouble:
            yield Finding(Mark.BAD, about, trouble)
            continue
        yield holds(about, key.key_size >= 1024, f"valid, {key.key_size} bits")
        if all(name in one.names for name in PAIR):
            covering.append(one.domain)
        aligned = aligned or _is_aligned(one.domain, copy.from_domain)
    if not found:
        yield Finding(
            Mark.OPEN, "DKIM", "unsigned: the one-click headers count for nothing until a "
            "signature covers both",
            "make a key with `gatepost dkim generate`, or let upstream sign both headers and check "
            "a copy that was received behind it: gatepost selftest --received FILE",
        )  # fmt: skip
        return
    yield holds(
        "a valid signature covers both unsubscribe headers", bool(covering),
        ", ".join(covering) or "none does",
        "whoever signs must list List-Unsubscribe and List-Unsubscribe-Post in h= (RFC 8058)",
    )  # fmt: skip
    yield holds(
        "a valid signature is of the From domain", aligned, copy.from_domain,
        "DMARC wants one: make a key of the domain in From",
    )  # fmt: skip


def _is_aligned(domain: str, author: str) -> bool:
    """Relaxed alignment, but for the list of public suffixes: one lies within the other."""
    return bool(domain) and (
        domain == author or author.endswith(f".{domain}") or domain.endswith(f".{author}")
    )
