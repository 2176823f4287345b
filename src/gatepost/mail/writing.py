"""The parts of mail that we write: fields, folded and encoded; parts; multiparts.

In: names and values. Out: octets with CRLF, 7bit unless a part says otherwise, no line over
998 octets.

*Fails:* never; control characters become blanks.
"""

import hashlib
import quopri
import re
import textwrap
from collections.abc import Sequence
from email.header import Header

MAX_LINE = 998

_WIDTH = 76
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_ATOMS = re.compile(r"[A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]*")


def write_text_part(kind: str, description: str, text: str) -> bytes:
    """A part with `text`, in US-ASCII or else UTF-8."""
    charset = "us-ascii" if text.isascii() else "utf-8"
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    octets = "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")
    return write_part(f"{kind}; charset={charset}", description, octets)


def write_part(kind: str, description: str, octets: bytes) -> bytes:
    """A part with 7bit content: as it is, or quoted-printable if it must be (RFC 6522 §4)."""
    fields = [("Content-Type", kind)]
    if description:
        fields.append(("Content-Description", description))
    encoding = "7bit"
    if not is_seven_bit(octets):
        encoding = "quoted-printable"
        octets = quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    fields.append(("Content-Transfer-Encoding", encoding))
    return write_fields(fields) + b"\r\n" + octets


def is_seven_bit(octets: bytes) -> bool:
    """Whether these octets may go as they are (RFC 5321 §2.3.8, §4.5.3.1.6)."""
    return (
        octets.isascii()
        and b"\0" not in octets
        and all(len(line) <= MAX_LINE for line in octets.split(b"\r\n"))
    )


def write_multipart(boundary: str, parts: Sequence[bytes]) -> bytes:
    """The body of a multipart."""
    mark = f"--{boundary}\r\n".encode()
    return b"".join(mark + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()


def write_fields(fields: Sequence[tuple[str, str]]) -> bytes:
    """Header fields: names, and values that come ready except for Subject."""
    return b"".join(_field(name, value) for name, value in fields)


def _field(name: str, value: str) -> bytes:
    """A header field: structured values come ready; what is not ASCII or too long is encoded."""
    if name == "Subject":
        text = clean(value)
        if text.isascii() and len(text) <= 900:
            return fold_words(name, text)
        value = encoded_words(text, name)
    return f"{name}: {value}\r\n".encode("ascii", "replace")


def fold_words(name: str, value: str) -> bytes:
    """A field of words, folded between them so that lines stay short where they can."""
    lines = textwrap.wrap(
        f"{name}: {value}",
        _WIDTH,
        subsequent_indent=" ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    text = "".join(f"{piece}\r\n" for line in lines for piece in _cut(line))
    return text.encode("ascii", "replace")


def _cut(line: str) -> list[str]:
    """A line in pieces of legal length; only a word of more than 900 characters has several."""
    return [line[:900], *(f" {line[at : at + 900]}" for at in range(900, len(line), 900))]


def to_value(address: str) -> str:
    """The value of To for one address; a group without members if it is not ASCII (RFC 6857)."""
    text = clean(address)
    return f"<{text}>" if text.isascii() else f"{encoded_words(text)}:;"


def encoded_words(text: str, name: str | None = None) -> str:
    """`text` in encoded words (RFC 2047), folded, to stand behind the field name `name`."""
    header = Header(text, "utf-8", maxlinelen=_WIDTH, header_name=name)
    return header.encode(linesep="\r\n")


def label(host: str) -> str:
    """A host name inside an unquoted display name."""
    return host if _ATOMS.fullmatch(host) else f'"{host}"'


def clean(text: str) -> str:
    """`text` on one line, without control characters."""
    return _CONTROLS.sub(" ", text).strip()


def ascii_only(text: str) -> str:
    """What is not ASCII as an escape."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def boundary_for(message_id: str) -> str:
    """Made of the message id; no line of ours begins with it by chance."""
    return "=_" + hashlib.blake2b(message_id.encode("utf-8", "replace"), digest_size=15).hexdigest()
