"""The bytes of one transaction: commands with their parameters, and content made safe.

In: a `Copy` and what upstream offers. Out: command lines as `bytes`, or the reply that says
why this upstream cannot take the copy. DSN parameters go out unchanged where DSN is offered
and not at all elsewhere (RX-9); SIZE, BODY and SMTPUTF8 likewise only where offered.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gatepost.flow.transmit import trouble
from gatepost.flow.transmit.copy import Copy
from gatepost.mail import address
from gatepost.mail.envelope import Recipient
from gatepost.mail.reply import Reply

SLICE = 262_144
END = b".\r\n"

_FORBIDDEN = re.compile(rb"[\x00-\x1f\x7f]")
_BARE_NEWLINE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What upstream offered in its answer to EHLO; `size` 0 means no limit was told."""

    pipelining: bool = False
    chunking: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    sizes: bool = False
    size: int = 0

    @classmethod
    def read(cls, extensions: Mapping[str, str]) -> "Offer":
        """The offer in EHLO's keywords (lower-case) and parameters."""
        size = extensions.get("size", "").strip()
        return cls(
            pipelining="pipelining" in extensions,
            chunking="chunking" in extensions,
            eight_bit="8bitmime" in extensions,
            smtputf8="smtputf8" in extensions,
            dsn="dsn" in extensions,
            sizes="size" in extensions,
            size=int(size) if size.isascii() and size.isdigit() and len(size) < 20 else 0,
        )


class Wire(NamedTuple):
    """One copy as it goes out: MAIL, then one RCPT for each recipient, then `content`.

    `dsn` says whether upstream was told the DSN parameters that the copy has; `dotless` that
    content is known to need no stuffing.
    """

    mail: bytes
    rcpts: tuple[bytes, ...]
    content: bytes
    dsn: bool
    dotless: bool = False


def compose(copy: Copy, offer: Offer) -> Wire | Reply:
    """The commands and safe content for `copy`, or why upstream cannot take it."""
    content = copy.content if copy.whole_lines else whole_lines(copy.content)
    if copy.eight_bit and not offer.eight_bit:
        return trouble.NO_EIGHT_BIT
    if offer.size and len(content) > offer.size:
        return trouble.too_large(len(content), offer.size)
    plain = not offer.smtputf8
    if plain and copy.smtputf8 and not _header(content).isascii():
        return trouble.NO_UTF8_HEADER
    try:
        mail = _mail(copy, offer, len(content))
        rcpts = tuple([_rcpt(recipient, offer) for recipient in copy.recipients])
    except (UnicodeEncodeError, address.AddressError):
        return trouble.NO_UTF8_ADDRESS
    if _FORBIDDEN.search(mail, 0, len(mail) - 2):
        return trouble.BAD_SENDER
    for rcpt in rcpts:
        if _FORBIDDEN.search(rcpt, 0, len(rcpt) - 2):
            return trouble.BAD_RECIPIENT
    return Wire(mail, rcpts, content, offer.dsn, copy.dotless and content is copy.content)


def _mail(copy: Copy, offer: Offer, size: int) -> bytes:
    path = copy.mail_from
    line = f"MAIL FROM:<{_path(path, offer)}>"
    if offer.sizes:
        line += f" SIZE={size}"
    if copy.eight_bit:
        line += " BODY=8BITMIME"
    if offer.smtputf8 and (
        copy.smtputf8
        or not path.isascii()
        or not all(recipient.address.is_ascii for recipient in copy.recipients)
    ):
        line += " SMTPUTF8"
    if offer.dsn:
        if copy.ret:
            line += f" RET={copy.ret}"
        if copy.envid:
            line += f" ENVID={copy.envid}"
    return (line + "\r\n").encode("utf-8" if offer.smtputf8 else "ascii")


def _rcpt(recipient: Recipient, offer: Offer) -> bytes:
    line = f"RCPT TO:<{_path(recipient.address.given, offer)}>"
    if offer.dsn:
        if recipient.notify:
            line += f" NOTIFY={recipient.notify}"
        if recipient.orcpt:
            line += f" ORCPT={recipient.orcpt}"
    return (line + "\r\n").encode("utf-8" if offer.smtputf8 else "ascii")


def _path(given: str, offer: Offer) -> str:
    """The address as upstream can take it.

    Where only the domain is not ASCII, its A-label form does without SMTPUTF8 (RFC 6531 §3.2).
    """
    if offer.smtputf8 or given.isascii():
        return given
    return f"{given.rpartition('@')[0]}@{address.parse(given).domain}"


def dotless(content: bytes) -> bool:
    """Whether no line of whole content begins with a dot: `stuff` would only add the end."""
    return not content.startswith(b".") and b"\r\n." not in content


def _header(content: bytes) -> bytes:
    return content.partition(b"\r\n\r\n")[0]


def whole_lines(content: bytes) -> bytes:
    """`content` ending in CRLF and free of bare CR and LF; as it is if it is so already.

    Nothing in it can then be taken for the end of data (RS-4, RS-6).
    """
    if _is_whole_lines(content):
        return content
    content = _BARE_NEWLINE.sub(b"\r\n", content)
    return content if not content or content.endswith(b"\r\n") else content + b"\r\n"


def _is_whole_lines(content: bytes) -> bool:
    if len(content) > SLICE:
        pairs = content.count(b"\r\n")
        whole = content.count(b"\n") == pairs == content.count(b"\r")
        return whole and content.endswith(b"\r\n")
    # For ordinary sizes half the price: each line end, CR, LF or both, must have two octets.
    lines = content.splitlines()
    return len(content) - sum(map(len, lines)) == 2 * len(lines)


def stuff(content: bytes) -> bytes:
    """Whole content with its dots doubled (RFC 5321 §4.5.2, RQ-7), and the final dot."""
    stuffed = content.replace(b"\r\n.", b"\r\n..") + END
    return b"." + stuffed if content.startswith(b".") else stuffed


def ended(wire: Wire) -> tuple[bytes, ...]:
    """The same bytes as `stuff` gives, without a look at what is known to have no dots."""
    return (wire.content, END) if wire.dotless else (stuff(wire.content),)


def stuff_in_slices(content: bytes, size: int = SLICE) -> Iterator[bytes]:
    """The same bytes as `stuff` gives, some `size` at a time: large content is not held twice."""
    if content.startswith(b"."):
        yield b"."
    start = 0
    while start < len(content):
        end = min(start + size, len(content))
        while end < len(content) and content[end - 1] in b"\r\n":
            end += 1  # never cut inside CR LF dot
        yield content[start:end].replace(b"\r\n.", b"\r\n..")
        start = end
    yield END
