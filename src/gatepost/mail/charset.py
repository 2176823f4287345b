"""Charsets as mail names them: which codec reads one, and whether ASCII is ASCII in it.

In: the charset parameter of a part. Out: `Charset`, or `None` where nobody knows it.

*Fails:* never.
*Known limits:* a charset in which ASCII octets mean something else (UTF-16, UTF-7, EBCDIC)
counts as unknown, because ASCII could not be put into it octet by octet.
"""

import codecs
import re
from dataclasses import dataclass
from functools import lru_cache

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,39}")
_ALIASES = {
    "iso-8859-8-i": "iso-8859-8", "iso-8859-8-e": "iso-8859-8", "x-sjis": "shift_jis",
    "windows-31j": "cp932", "x-gbk": "gbk", "x-euc-jp": "euc_jp", "x-mac-roman": "mac_roman",
    "macintosh": "mac_roman", "unicode-1-1-utf-8": "utf-8", "utf8mb4": "utf-8",
    "unknown-8bit": "us-ascii", "x-unknown": "us-ascii", "7bit": "us-ascii", "8bit": "us-ascii",
    "windows-874": "cp874", "ansi": "cp1252", "x-cp1252": "cp1252",
    "cp-850": "cp850", "x-windows-949": "cp949", "gb_2312-80": "gb2312", "iso88591": "iso-8859-1",
}  # fmt: skip
_ESCAPES = {"raw_unicode_escape", "raw-unicode-escape", "unicode_escape", "idna", "punycode"}
_LOOK_BACK = 4000
# In these an octet that looks like ASCII may be the second half of a character ...
_SWALLOWING = {
    "shift_jis", "shift_jisx0213", "shift_jis_2004", "cp932", "big5", "big5hkscs", "gbk",
    "gb18030", "cp949", "cp950", "johab",
}  # fmt: skip
_NEVER_SECOND = (b"\n", b" ", b'"', b"/", b"=")  # ... but none of these ever is
_ASCII = "".join(map(chr, range(0x20, 0x7F))) + "\r\n\t"


@dataclass(frozen=True, slots=True)
class Charset:
    """A charset in which ASCII octets are ASCII. `codec` is Python's name for it.

    `stateful` charsets (ISO 2022) are ASCII only between escape sequences; those that are
    `swallowing` (Shift JIS, Big5, GBK) make one character of an octet and an ASCII one.
    """

    codec: str
    stateful: bool = False
    swallowing: bool = False

    def is_ascii_at(self, data: bytes, at: int) -> bool:
        """Whether ASCII put in at octet `at` of `data` would be read as ASCII.

        Every line begins in ASCII (RFC 1468); "no" is said where a line is too long to look.
        """
        if self.swallowing:
            return not self._is_open_at(data, at)
        if not self.stateful:
            return True
        line = data.rfind(b"\n", max(0, at - _LOOK_BACK), at) + 1
        if not line and at > _LOOK_BACK:
            return False
        escape = data.rfind(b"\x1b", line, at)
        shifted = data.rfind(b"\x0e", line, at) > data.rfind(b"\x0f", line, at)
        return not shifted and (escape < 0 or data[escape : escape + 3] in (b"\x1b(B", b"\x1b(J"))

    def _is_open_at(self, data: bytes, at: int) -> bool:
        """Whether a character of several octets is begun and not finished at octet `at`."""
        least = max(0, at - _LOOK_BACK)
        start = max(data.rfind(octet, least, at) for octet in _NEVER_SECOND) + 1
        if not start and least:
            return True
        decoder = codecs.getincrementaldecoder(self.codec)("replace")
        decoder.decode(data[start:at])
        return bool(decoder.getstate()[0])

    def decode(self, data: bytes) -> str | None:
        """`data` as the reader sees it, `None` if it is not in this charset.

        Octets 128 to 159 of ISO 8859-1 are read as windows-1252 and unlabelled 8-bit text as
        UTF-8, as mail readers do.
        """
        for codec in _READ_AS.get(self.codec, (self.codec,)):
            try:
                return data.decode(codec)
            except UnicodeDecodeError:
                continue
        return None


_READ_AS = {"iso8859-1": ("cp1252", "iso8859-1"), "ascii": ("utf-8",)}


@lru_cache(maxsize=256)
def find_charset(name: str) -> Charset | None:
    """The charset called `name` in mail, "" being US-ASCII (RFC 2046 §4.1.2)."""
    name = name.strip().lower() or "us-ascii"
    name = _ALIASES.get(name, name)
    if not _NAME.fullmatch(name) or name in _ESCAPES:
        return None
    try:
        codec = codecs.lookup(name).name
        # "".encode would also take codecs that are none for text, were it not for this check
        if codec in _ESCAPES or _ASCII.encode(name) != _ASCII.encode("ascii"):
            return None
    except (LookupError, ValueError):
        return None
    return Charset(codec, codec.startswith("iso2022"), codec in _SWALLOWING)
