"""Checks DKIM signatures by the letter of RFC 6376 §6.1, apart from the code that makes them.

In: a message as it was received, a public key. Out: what its signatures say, and whether they
hold. Nothing of `flow.edit` is used, so that a mistake there is not made here again.

*Fails:* never; whatever cannot be read is a signature that does not hold.
*Known limits:* rsa-sha256 only, and no l= (RFC 6376 §8.2). t= and x= are not looked at.
"""

import hashlib
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

Field = tuple[bytes, bytes]  # the name, and everything behind the colon up to the CRLF

_FIELD = re.compile(rb"([!-9;-~]+[ \t]*):((?:[^\r\n]|\r\n[ \t])*)\r\n")
_OWN_VALUE = re.compile(rb"((?:^|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*")
_BLANKS = re.compile(rb"[ \t]+")


@dataclass(frozen=True, slots=True)
class Signature:
    """One DKIM-Signature field: its tags without blanks, and the field itself."""

    tags: Mapping[str, str]
    field: Field

    @property
    def domain(self) -> str:
        """The d= tag."""
        return self.tags.get("d", "").lower()

    @property
    def selector(self) -> str:
        """The s= tag."""
        return self.tags.get("s", "")

    @property
    def names(self) -> Sequence[str]:
        """What h= lists, in lower case."""
        return self.tags.get("h", "").lower().split(":")


def signatures(content: bytes) -> list[Signature]:
    """The signatures of a message, from the top."""
    return [
        Signature(_tags(field[1]), field)
        for field in _fields(content)
        if field[0].strip().lower() == b"dkim-signature"
    ]


def trouble_with(content: bytes, signature: Signature, key: RSAPublicKey) -> str:
    """Why `signature` does not hold, "" if it does."""
    tags = signature.tags
    header_way, _, body_way = tags.get("c", "simple/simple").partition("/")
    if tags.get("v") != "1" or tags.get("a") != "rsa-sha256" or "l" in tags:
        return "it is not a whole rsa-sha256 signature"
    if "from" not in signature.names:
        return "it does not cover From"
    body = content.partition(b"\r\n\r\n")[2]
    digest = hashlib.sha256(_canonical_body(body, body_way or "simple")).digest()
    try:
        if b64decode(tags.get("bh", "")) != digest:
            return "the body was changed, or signed in another form"
        signed = b"".join(_signed(content, signature, header_way))
        key.verify(b64decode(tags.get("b", "")), signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        return "the header was changed, or another key signed"
    except ValueError:
        return "its base64 is broken"
    return ""


def _fields(content: bytes) -> list[Field]:
    header = content.partition(b"\r\n\r\n")[0] + b"\r\n"
    return [(found[1], found[2]) for found in _FIELD.finditer(header)]


def _tags(value: bytes) -> dict[str, str]:
    tags = {}
    for piece in value.decode("utf-8", "replace").split(";"):
        name, _, text = piece.partition("=")
        tags[name.strip()] = re.sub(r"\s", "", text)
    return tags


def _signed(content: bytes, signature: Signature, way: str) -> Iterator[bytes]:
    """The fields that h= names, the lowest first, then the signature itself without its b=."""
    waiting = _fields(content)
    for name in signature.names:
        for at in range(len(waiting) - 1, -1, -1):
            if waiting[at][0].strip().lower() == name.encode():
                yield _canonical_field(waiting.pop(at), way) + b"\r\n"
                break
    own, value = signature.field
    yield _canonical_field((own, _OWN_VALUE.sub(rb"\1", value)), way)


def _canonical_field(field: Field, way: str) -> bytes:
    name, value = field
    if way == "simple":
        return name + b":" + value
    text = _BLANKS.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")
    return name.strip().lower() + b":" + text


def _canonical_body(body: bytes, way: str) -> bytes:
    lines = body.split(b"\r\n")
    if way == "relaxed":
        lines = [_BLANKS.sub(b" ", line).rstrip(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return b"" if way == "relaxed" else b"\r\n"
    return b"\r\n".join(lines) + b"\r\n"
