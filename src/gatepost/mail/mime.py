"""The values of MIME header fields: content type with parameters, and single tokens.

In: the raw value of a field. Out: `ContentType`, whose parameters know where they stand in
the value, so that one of them can be replaced without touching the others; or a lower-case
token (`first_token`). RFC 2045 §5.1 and RFC 2231, read as leniently as mail demands.

*Fails:* never; what cannot be read is absent.
*Known limits:* only the first 8 KB of a value are read; comments are understood after a
parameter, not inside one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

MAX_VALUE_OCTETS = 8192

_TYPE = re.compile(rb"[ \t\r\n]*([^\s;/()]+)[ \t]*/[ \t]*([^\s;()]+)")
_PARAMETER = re.compile(rb"[ \t\r\n]*([^\s=;\"()]++)[ \t\r\n]*=[ \t\r\n]*")
_TOKEN = re.compile(rb'[ \t\r\n"]*([^\s;"()]+)')
_QUOTED = re.compile(rb'"((?:[^"\\]++|\\.)*+)"?', re.DOTALL)
_BARE = re.compile(rb"[^;\r\n]*+")
_SECTION = re.compile(r"([^*]+)(?:\*(\d{1,3}))?(\*)?")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its decoded value, and the octets [start, end) that spell it."""

    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type in lower case, and its parameters by lower-case name."""

    media: str
    parameters: Mapping[str, Parameter]

    def value(self, name: str) -> str:
        """The value of a parameter, "" where there is none."""
        parameter = self.parameters.get(name)
        return parameter.value if parameter else ""


NO_PARAMETERS: Mapping[str, Parameter] = MappingProxyType({})


def parse_content_type(value: bytes) -> ContentType:
    """The content type in a raw field value; `media` is "" if there is none."""
    return _parse_content_type(value[:MAX_VALUE_OCTETS])


@lru_cache(maxsize=256)  # there are few of them in all mail, boundaries aside
def _parse_content_type(value: bytes) -> ContentType:
    match = _TYPE.match(value)
    if not match:
        return ContentType("", NO_PARAMETERS)
    media = b"/".join(match.groups()).decode("ascii", "replace").lower()
    return ContentType(media, _parameters(value, match.end()))


def first_token(value: bytes) -> str:
    """The first token of a value in lower case: `attachment`, `base64`; "" for none."""
    if not value:
        return ""
    match = _TOKEN.match(value[:MAX_VALUE_OCTETS])
    return match.group(1).decode("ascii", "replace").lower() if match else ""


def parse_disposition(value: bytes) -> tuple[str, str]:
    """The disposition and the file name of a Content-Disposition value."""
    if not value:
        return "", ""
    value = value[:MAX_VALUE_OCTETS]
    names = _parameters(value, 0).get("filename")
    return first_token(value), names.value if names else ""


def unfold(value: bytes) -> bytes:
    """A raw field value on one line, without blanks around it (RFC 5322 §2.2.3)."""
    return (_FOLD.sub(b"", value) if b"\n" in value else value).strip(b" \t\r\n")


def decode_octets(value: bytes) -> str:
    """Octets of a header as text: UTF-8 (RFC 6532), else ISO 8859-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _parameters(value: bytes, at: int) -> Mapping[str, Parameter]:
    found: dict[str, Parameter] = {}
    sections: dict[str, dict[int, tuple[Parameter, bool]]] = {}
    while (at := value.find(b";", at)) >= 0:
        match = _PARAMETER.match(value, at + 1)
        if not match:
            at += 1
            continue
        text, at = _parameter_value(value, match.end())
        parameter = Parameter(text, match.start(1), at)
        name = match.group(1).decode("ascii", "replace").lower()
        section = _SECTION.fullmatch(name)
        if section and "*" in name:
            order = int(section.group(2) or 0)
            pieces = sections.setdefault(section.group(1), {})
            pieces.setdefault(order, (parameter, bool(section.group(3))))
        else:
            found.setdefault(name, parameter)
    for name, pieces in sections.items():
        found.setdefault(name, _join_sections(pieces))
    return found


def _parameter_value(value: bytes, at: int) -> tuple[str, int]:
    if value[at : at + 1] == b'"':
        match = _QUOTED.match(value, at)
        if match:
            text = re.sub(rb"\\(.)", rb"\1", _FOLD.sub(b"", match.group(1)), flags=re.DOTALL)
            return decode_octets(text), match.end()
    match = _BARE.match(value, at)
    text = match.group().partition(b"(")[0].rstrip(b" \t") if match else b""
    return decode_octets(text), at + len(text)


def _join_sections(pieces: Mapping[int, tuple[Parameter, bool]]) -> Parameter:
    """One parameter from its RFC 2231 sections; it spans from the first to the last."""
    ordered = [pieces[order] for order in sorted(pieces)]
    charset = "utf-8"
    octets = b""
    for index, (parameter, extended) in enumerate(ordered):
        text = parameter.value
        if extended and index == 0 and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        octets += _unpercent(text) if extended else text.encode("utf-8", "replace")
    try:
        joined = octets.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):
        joined = octets.decode("latin-1")
    starts = [parameter.start for parameter, _ in ordered]
    ends = [parameter.end for parameter, _ in ordered]
    return Parameter(joined, min(starts), max(ends))


def _unpercent(text: str) -> bytes:
    octets = text.encode("utf-8", "replace")
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda m: bytes([int(m.group(1), 16)]), octets)
