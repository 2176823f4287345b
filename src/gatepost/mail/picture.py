"""A picture that pages show: a sender's logo, checked before anybody sees it.

In: the bytes of a file. Out: a `Picture`, whose type is read from the bytes and never from a
name. PNG, JPEG and WebP are taken as they are. SVG is a language: it is taken only if it draws
and does nothing else, with no script, no event, no link to anything outside, no entity.

*Fails:* `ValueError`, whose message says what is wrong.
*Known limits:* raster pictures are recognised, not decoded.
"""

import re
from dataclasses import dataclass
from xml.parsers import expat

MAX_OCTETS = 256 * 1024
SVG = "image/svg+xml"

_SVG_NAMESPACE = "http://www.w3.org/2000/svg"
_FORBIDDEN_ELEMENTS = frozenset(
    {"script", "foreignobject", "iframe", "object", "embed", "audio", "video", "canvas", "a"}
    | {"image", "feimage", "animate", "animatemotion", "animatetransform", "set", "handler"}
)
_REFERENCE = re.compile(
    r"url\s*\(\s*['\"]?\s*(?!#)|@import|javascript:|expression\s*\(", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Picture:
    """The bytes of a picture and its media type."""

    content: bytes
    media_type: str

    @property
    def extension(self) -> str:
        """The usual ending of a file name, without the dot."""
        return self.media_type.partition("/")[2].partition("+")[0]


def picture(content: bytes) -> Picture:
    """The picture in `content`. Raises `ValueError`."""
    if len(content) > MAX_OCTETS:
        raise ValueError(f"is larger than {MAX_OCTETS // 1024} KB")
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return Picture(content, "image/png")
    if content.startswith(b"\xff\xd8\xff"):
        return Picture(content, "image/jpeg")
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return Picture(content, "image/webp")
    if b"<svg" in content[:4096]:
        _check_svg(content)
        return Picture(content, SVG)
    raise ValueError("is no PNG, JPEG, WebP or SVG picture")


def _check_svg(content: bytes) -> None:
    """Raises `ValueError` for a drawing that could do anything but be looked at."""
    parser = expat.ParserCreate(namespace_separator=" ")
    styles: list[str] = []
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        namespace, _, element = name.rpartition(" ")
        if not depth and (namespace, element) != (_SVG_NAMESPACE, "svg"):
            raise ValueError("is XML, but no SVG picture")
        depth += 1
        if element.lower() in _FORBIDDEN_ELEMENTS:
            raise ValueError(f"holds <{element}>, which a logo does not need")
        for key, value in attributes.items():
            _check_attribute(key.rpartition(" ")[2], value)

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_: object) -> None:
        raise ValueError("holds a DOCTYPE: save it without one")

    def instruction(target: str, _: str) -> None:
        raise ValueError(f"holds <?{target}?>, which a logo does not need")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = styles.append
    parser.StartDoctypeDeclHandler = doctype
    parser.ProcessingInstructionHandler = instruction
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise ValueError(f"is no well-formed SVG: {error}") from error
    if _REFERENCE.search("".join(styles)):
        raise ValueError("refers to something outside itself")


def _check_attribute(name: str, value: str) -> None:
    if name.lower().startswith("on"):
        raise ValueError(f"holds {name}=, which runs a script")
    foreign = name.lower() in {"href", "src"} and not value.strip().startswith("#")
    if foreign or _REFERENCE.search(value):
        raise ValueError(f"refers to something outside itself in {name}=")
