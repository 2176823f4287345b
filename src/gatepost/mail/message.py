"""A message as offsets: header fields, the boundary to the body, the tree of MIME parts.

In: the octets of a message, as `bytes` or a memory map. Out: `Message`, which holds only
offsets into them; bodies are never copied. One pass, linear in the size whatever the
boundaries are: every line that begins with "--" is looked up in a dictionary of the open
multiparts' boundaries (an outer boundary ends inner parts, RFC 2046 §5.1.2), all other
octets are passed over with `find`.

*Fails:* never, whatever the octets; what is wrong with them is in `Message.defects`.
*Known limits:* message/rfc822 is a leaf. Parts beyond `MAX_PARTS`, multiparts deeper than
`MAX_DEPTH` and fields beyond `MAX_FIELDS` are not taken apart (and a defect says so).
Encoded words (RFC 2047) are not decoded here.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from gatepost.mail.charset import find_charset
from gatepost.mail.lines import normalize
from gatepost.mail.mime import (
    ContentType,
    decode_octets,
    first_token,
    parse_content_type,
    parse_disposition,
    unfold,
)

if TYPE_CHECKING:
    from mmap import mmap

__all__ = ["Defect", "Field", "Message", "Part", "normalize", "scan", "scan_fields"]

MAX_PARTS = 10_000
MAX_DEPTH = 2_000
MAX_FIELDS = 10_000
MAX_BOUNDARY_OCTETS = 256  # RFC 2046 allows 70; longer ones are met in the wild

_FIELD = re.compile(  # a value has its continuation lines with it
    rb"(?P<name>[!-9;-~]+)[ \t]*:(?P<value>(?:[^\n]*+\n[ \t])*+[^\n]*+(?:\n|\Z))"
)
_EMPTY_LINE = re.compile(rb"(?<=\n)\r?\n")
_ARMOR = re.compile(rb"^-----BEGIN PGP (?:SIGNED )?MESSAGE-----", re.MULTILINE)
_SECURED = {"multipart/signed", "multipart/encrypted"}
_SECURED_LEAVES = {
    "application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted",
}  # fmt: skip
_SINGLE = (
    "from", "date", "sender", "reply-to", "to", "cc", "message-id", "in-reply-to",
    "references", "subject",
)  # fmt: skip


class Defect(StrEnum):
    """What is wrong with a message."""

    NO_SEPARATOR = "the empty line between header and body is missing"
    NO_FROM = "there is no From field"
    REPEATED_FIELD = "a field that may occur once occurs again"
    TOO_MANY_FIELDS = "a header has too many fields"
    TOO_MANY_PARTS = "there are too many parts"
    TOO_DEEP = "parts are nested too deeply"
    NO_BOUNDARY = "a multipart names no boundary"
    NO_PARTS = "a multipart holds no part"
    UNCLOSED = "a multipart does not end"


_NOT_TAKEN_APART = frozenset({Defect.TOO_MANY_PARTS, Defect.TOO_DEEP})


class Field(NamedTuple):
    """One header field: octets [start, end), its CRLF and continuation lines included.

    `name` is in lower case; `value` is raw, with its folding, without the last line end;
    `value_start` is the octet after the colon.
    """

    name: bytes
    start: int
    value_start: int
    end: int
    value: bytes

    @property
    def text(self) -> str:
        """The value unfolded, as UTF-8 or else ISO 8859-1."""
        return decode_octets(unfold(self.value))


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One MIME part: header [start, header_end), body [body_start, end).

    The line end before a delimiter belongs to the delimiter (RFC 2046 §5.1.1). `parent` and
    `children` are indices into `Message.parts`; the root's parent is -1. `separated` says
    whether an empty line stands between header and body. `media`, `charset`, `encoding` and
    `disposition` are in lower case, with the defaults of RFC 2045 filled in.
    """

    index: int
    parent: int
    children: tuple[int, ...]
    fields: tuple[Field, ...]
    start: int
    header_end: int
    body_start: int
    end: int
    separated: bool
    content_type: ContentType
    encoding: str
    disposition: str
    filename: str

    @property
    def media(self) -> str:
        """The media type, such as "text/plain"."""
        return self.content_type.media

    @property
    def charset(self) -> str:
        """The charset parameter in lower case, "us-ascii" where there is none."""
        return self.content_type.value("charset").strip(" \t'\"").lower() or "us-ascii"

    @property
    def is_secured(self) -> bool:
        """Whether its type says signed or encrypted; also S/MIME by its name (RFC 8551 §3.9)."""
        if self.media == "application/octet-stream" and self.parent < 0:
            name = self.filename or self.content_type.value("name")
            return name.strip().lower().endswith(".p7m")
        return self.media in _SECURED or self.media in _SECURED_LEAVES

    @property
    def is_multipart(self) -> bool:
        """Whether the part is one of parts."""
        return self.media.startswith("multipart/")

    @property
    def is_attachment(self) -> bool:
        """Whether the part is a file rather than something to read on opening the mail."""
        return self.disposition not in {"", "inline"} or bool(
            self.filename or self.content_type.value("name")
        )

    def field(self, name: bytes) -> Field | None:
        """The first field called `name` (lower case)."""
        return next((field for field in self.fields if field.name == name), None)


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A message taken apart. `parts` stand in the order of the octets, the root first.

    `header_start` is 0, or the octet after an mbox "From " line that does not belong to it.
    """

    raw: "bytes | mmap"
    parts: tuple[Part, ...]
    defects: frozenset[Defect]
    header_start: int

    @property
    def root(self) -> Part:
        """The part that is the message itself."""
        return self.parts[0]

    def fields(self, name: str) -> tuple[Field, ...]:
        """The header fields called `name`, in any case, from top to bottom."""
        wanted = name.lower().encode("ascii", "replace")
        return tuple(field for field in self.root.fields if field.name == wanted)

    def value(self, name: str) -> str:
        """The first field called `name`, unfolded; "" where there is none."""
        return next((field.text for field in self.fields(name)), "")

    def values(self, name: str) -> tuple[str, ...]:
        """All fields called `name`, unfolded."""
        return tuple(field.text for field in self.fields(name))

    def body(self, part: Part) -> bytes:
        """The octets of a part's body, transfer encoding and all."""
        return self.raw[part.body_start : part.end]

    def content(self, part: Part) -> bytes:
        """A part's body without its transfer encoding, as well as it can be read."""
        return decode_transfer(self.body(part), part.encoding)

    def text(self, part: Part, most: int | None = None) -> str:
        """A text part as a reader sees it, as well as it can be read.

        With `most`, only so many octets of the body are looked at, and no more are copied.
        """
        end = part.end if most is None else min(part.end, part.body_start + most)
        content = decode_transfer(self.raw[part.body_start : end], part.encoding)
        charset = find_charset(part.charset)
        text = charset.decode(content) if charset else None
        return decode_octets(content) if text is None else text

    def leaves(self) -> Iterator[Part]:
        """The parts that are not made of parts."""
        return (part for part in self.parts if not part.children)

    @property
    def carries_dkim(self) -> bool:
        """Whether somebody has already signed the message (RFC 6376)."""
        return self.root.field(b"dkim-signature") is not None

    @property
    def is_signed_or_encrypted(self) -> bool:
        """Whether changing a body would break a signature or an encryption.

        S/MIME, PGP/MIME and inline PGP, anywhere outside attached messages.
        """
        return any(
            part.is_secured or (part.media.startswith("text/") and self._is_armored(part))
            for part in self.parts
        )

    @property
    def must_keep_its_body(self) -> bool:
        """Whether no body may be changed: signed, encrypted, or too deep to be taken apart."""
        return self.is_signed_or_encrypted or bool(self.defects & _NOT_TAKEN_APART)

    def _is_armored(self, part: Part) -> bool:
        if part.encoding == "base64":
            return bool(_ARMOR.search(self.content(part)))
        marker = b"BEGIN PGP " if part.encoding == "quoted-printable" else b"-----BEGIN PGP "
        if self.raw.find(marker, part.body_start, part.end) < 0:
            return False
        return bool(_ARMOR.search(self.content(part)))


def decode_transfer(body: bytes, encoding: str) -> bytes:
    """`body` without its transfer encoding; broken base64 gives what can be read of it."""
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding != "base64":
        return body
    letters = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
    whole = len(letters) - (len(letters) % 4 == 1)
    return binascii.a2b_base64(letters[:whole] + b"=" * (-whole % 4))


def scan(raw: "bytes | mmap") -> Message:
    """`raw` taken apart. Linear time, never raises."""
    return _Scanner(raw).scan()


def scan_fields(raw: "bytes | mmap", start: int = 0) -> tuple[Field, ...]:
    """The fields of the header that begins at octet `start`."""
    return _Scanner(raw).read_header(start).fields


@dataclass(slots=True)
class _Header:
    fields: tuple[Field, ...]
    end: int
    body_start: int
    separated: bool


@dataclass(slots=True)
class _Draft:
    """A part whose end and children are not known yet."""

    parent: int
    start: int
    header: _Header
    content_type: ContentType
    boundary: bytes
    children: list[int]
    end: int = -1


class _Scanner:
    """The state of one pass.

    `path` holds the open parts from the root down to the one being read; `active` maps each
    boundary that is being waited for to the place in `path` of the multipart it belongs to;
    `needles` holds, for each part of `path`, what all delimiters begin with that may come in it.
    """

    def __init__(self, raw: "bytes | mmap") -> None:
        self.raw = raw
        self.size = len(raw)
        self.defects: set[Defect] = set()
        self.drafts: list[_Draft] = []
        self.path: list[int] = []
        self.active: dict[bytes, int] = {}
        self.needles: list[bytes] = []

    def scan(self) -> Message:
        start = self._skip_mbox_line()
        position = self._open_part(start)
        if not self.drafts[0].header.separated:
            self.defects.add(Defect.NO_SEPARATOR)
        while self.active and Defect.TOO_MANY_PARTS not in self.defects:
            newline = self.raw.find(self.needles[-1], position - 1)
            if newline < 0:
                break
            position = self._meet_delimiter(newline + 1)
        if self.active:
            self.defects.add(Defect.UNCLOSED)
        self._close_parts(0, self.size)
        parts = tuple(self._finish(index, draft) for index, draft in enumerate(self.drafts))
        self._find_header_defects(parts[0])
        return Message(self.raw, parts, frozenset(self.defects), start)

    def _skip_mbox_line(self) -> int:
        if self.raw[:5] == b"From " or self.raw[:6] == b">From ":
            return self.raw.find(b"\n") + 1 or self.size
        return 0

    def _meet_delimiter(self, line: int) -> int:
        """Handle the line at `line`, which begins with "--"; the place to go on from."""
        after = self.raw.find(b"\n", line) + 1 or self.size
        found = self._delimiter_at(line, after)
        if found is None:
            return after
        owner, closing = found
        self._close_parts(owner + 1, self._before_line_end(line))
        if closing:
            self.active.pop(self.drafts[self.path[owner]].boundary, None)
            return after
        if len(self.drafts) >= MAX_PARTS:
            self.defects.add(Defect.TOO_MANY_PARTS)
            return after
        return self._open_part(after)

    def _delimiter_at(self, line: int, after: int) -> tuple[int, bool] | None:
        if after - line > MAX_BOUNDARY_OCTETS + 80:
            return None
        text = self.raw[line + 2 : after].rstrip(b" \t\r\n")
        if text in self.active:
            return self.active[text], False
        if text.endswith(b"--") and text[:-2] in self.active:
            return self.active[text[:-2]], True
        return None

    def _open_part(self, start: int) -> int:
        """Read a part's header at `start`; the place where its body begins."""
        parent = self.path[-1] if self.path else -1
        header = self.read_header(start)
        content_type = self._content_type(header, parent)
        boundary = b""
        if content_type.media.startswith("multipart/"):
            boundary = content_type.value("boundary").encode("utf-8", "replace").rstrip(b" \t")
            boundary = boundary if len(boundary) <= MAX_BOUNDARY_OCTETS else b""
            if not boundary:
                self.defects.add(Defect.NO_BOUNDARY)
        index = len(self.drafts)
        self.drafts.append(_Draft(parent, start, header, content_type, boundary, []))
        if parent >= 0:
            self.drafts[parent].children.append(index)
        self.path.append(index)
        self.needles.append(self._needle(boundary))
        if boundary and len(self.path) > MAX_DEPTH:
            self.defects.add(Defect.TOO_DEEP)
        elif boundary:
            self.active.setdefault(boundary, len(self.path) - 1)
        return header.body_start

    def _needle(self, boundary: bytes) -> bytes:
        """The needle of the part around, as far as it fits `boundary`, too."""
        delimiter = b"\n--" + boundary
        if not boundary or not self.active:
            return self.needles[-1] if self.active else delimiter
        around = self.needles[-1]
        pairs = enumerate(zip(around, delimiter, strict=False))
        return around[: next((at for at, (one, other) in pairs if one != other), len(delimiter))]

    def _content_type(self, header: _Header, parent: int) -> ContentType:
        field = next((f for f in header.fields if f.name == b"content-type"), None)
        found = parse_content_type(field.value) if field else ContentType("", {})
        if found.media:
            return found
        digest = parent >= 0 and self.drafts[parent].content_type.media == "multipart/digest"
        return ContentType("message/rfc822" if digest else "text/plain", found.parameters)

    def _close_parts(self, depth: int, end: int) -> None:
        """End all open parts from `depth` in the path downwards at octet `end`."""
        while len(self.path) > depth:
            draft = self.drafts[self.path.pop()]
            self.needles.pop()
            draft.end = max(end, draft.header.body_start)
            if self.active.get(draft.boundary) == len(self.path):
                del self.active[draft.boundary]
                self.defects.add(Defect.UNCLOSED)

    def _before_line_end(self, at: int) -> int:
        if at and self.raw[at - 1 : at] == b"\n":
            at -= 1
            if at and self.raw[at - 1 : at] == b"\r":
                at -= 1
        return at

    def read_header(self, start: int) -> _Header:
        """The header block at `start`: up to an empty line, a delimiter or no field."""
        raw, at = self.raw, start
        fields: list[Field] = []
        while match := _FIELD.match(raw, at):
            name, value = match.groups()
            if name.startswith(b"--") and self._is_delimiter(at):
                return _Header(tuple(fields), at, at, False)
            if len(fields) == MAX_FIELDS:
                self.defects.add(Defect.TOO_MANY_FIELDS)
                return self._cut_off(fields, at)
            start, end = match.span("value")
            fields.append(Field(name.lower(), at, start, end, value.rstrip(b"\r\n")))
            at = end
        opening = raw[at : at + 2]
        if opening == b"\r\n" or opening[:1] == b"\n":
            return _Header(tuple(fields), at, at + 1 + (opening == b"\r\n"), True)
        return _Header(tuple(fields), at, at, False)

    def _is_delimiter(self, line: int) -> bool:
        after = self.raw.find(b"\n", line) + 1 or self.size
        return self._delimiter_at(line, after) is not None

    def _cut_off(self, fields: list[Field], at: int) -> _Header:
        """A header of which the rest, from `at` to the empty line, is not taken apart."""
        empty = _EMPTY_LINE.search(self.raw, at)
        end, body_start = empty.span() if empty else (self.size, self.size)
        return _Header(tuple(fields), end, body_start, empty is not None)

    def _finish(self, index: int, draft: _Draft) -> Part:
        header = draft.header
        named = {field.name: field.value for field in reversed(header.fields)}
        disposition, filename = parse_disposition(named.get(b"content-disposition", b""))
        if draft.boundary and not draft.children:
            self.defects.add(Defect.NO_PARTS)
        return Part(
            index=index,
            parent=draft.parent,
            children=tuple(draft.children),
            fields=header.fields,
            start=draft.start,
            header_end=header.end,
            body_start=header.body_start,
            end=draft.end,
            separated=header.separated,
            content_type=draft.content_type,
            encoding=first_token(named.get(b"content-transfer-encoding", b"")) or "7bit",
            disposition=disposition,
            filename=filename,
        )

    def _find_header_defects(self, root: Part) -> None:
        if root.field(b"from") is None:
            self.defects.add(Defect.NO_FROM)
        if _repeated(root):
            self.defects.add(Defect.REPEATED_FIELD)


def _repeated(root: Part) -> tuple[str, ...]:
    names = [field.name for field in root.fields]
    if len(set(names)) == len(names):
        return ()
    return tuple(name for name in _SINGLE if names.count(name.encode()) > 1)
