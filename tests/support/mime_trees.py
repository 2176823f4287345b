"""Hypothesis strategies for messages: MIME trees in all encodings, and hostile octets."""

import binascii
import quopri

from hypothesis import strategies as st

from gatepost.mail.message import normalize
from support.treatments import HEAD

CHARSETS = (
    "us-ascii", "iso-8859-1", "windows-1252", "utf-8", "iso-8859-2", "koi8-r", "shift_jis",
    "gb18030", "iso-2022-jp",
)  # fmt: skip
ENCODINGS = ("7bit", "8bit", "quoted-printable", "base64")

WORDS = st.sampled_from([
    "Hej", "på", "dig", "-", "--", "=", "a=20b", "{{", "}}", "<b>", "</b>", ".", "From ", " ",
    "  ", "\t", "ボ", "{", "日本", "Ж", "\r\n", "\r\n\r\n", "x" * 77, "y" * 200, "å" * 40, "z" * 1100,
])  # fmt: skip
FRAGMENTS = st.sampled_from([
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b"=", b'"', b"\\", b"--", b"a", b"b", b"--a",
    b"--a--", b"Content-Type", b"multipart/mixed", b"boundary", b"text/html", b"charset", b"utf-8",
    b"Content-Transfer-Encoding: base64", b"quoted-printable", b"\x00", b"\xff", b"</body>", b"<!--",
    b"{{unsubscribe_url}}", b"=\r\n", b"=3D", b"AAAA", b"From x", b"boundary=a\r\n", b"\r\n\r\n",
    b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n", b"Bcc: x@example.org\r\n",
])  # fmt: skip
HOSTILE = st.lists(FRAGMENTS, max_size=60).map(b"".join) | st.binary(max_size=300)


def encode_body(text: str, charset: str, encoding: str) -> bytes:
    """`text` the way a mailer would put it into a part."""
    octets = text.encode(charset)
    if encoding == "base64":
        return binascii.b2a_base64(octets)[:-1] if len(octets) < 58 else _wrapped(octets)
    if encoding == "quoted-printable":
        return quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    return octets


def _wrapped(octets: bytes) -> bytes:
    lines = [octets[at : at + 57] for at in range(0, len(octets), 57)]
    return b"\r\n".join(binascii.b2a_base64(line, newline=False) for line in lines)


@st.composite
def leaves(draw: st.DrawFn) -> bytes:
    """A text part, or something that is none."""
    kind = draw(
        st.sampled_from(
            [
                "text/plain",
                "text/html",
                "image/png",
                "text/calendar",
                "text/x-amp-html",
                "attached",
            ]
        )
    )
    text = "".join(draw(st.lists(WORDS, max_size=12)))
    if kind == "image/png":
        body = encode_body("p" * draw(st.integers(0, 300)), "us-ascii", "base64")
        return b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body
    if kind == "attached":
        disposition = b'Content-Disposition: attachment; filename="a.txt"\r\n'
        return b"Content-Type: text/plain\r\n" + disposition + b"\r\nattached"
    charset = draw(st.sampled_from(CHARSETS))
    encoding = draw(st.sampled_from(ENCODINGS))
    seven_bit = encoding == "7bit" and charset != "iso-2022-jp"
    text = text.encode("us-ascii" if seven_bit else charset, "ignore").decode(charset)
    if kind == "text/html":
        text = f"<html><body>{text}</body></html>" + draw(st.sampled_from(["", "\r\n"]))
    head = f'Content-Type: {kind}; charset="{charset}"\r\nContent-Transfer-Encoding: {encoding}\r\n'
    return head.encode() + b"\r\n" + encode_body(text, charset, encoding)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A whole message."""
    tree = draw(st.recursive(leaves(), _multiparts, max_leaves=6))
    return normalize(HEAD + tree)


def _multiparts(children: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    kinds = st.sampled_from(["alternative", "mixed", "related", "unheard-of"])
    return st.tuples(kinds, st.lists(children, min_size=1, max_size=3), st.uuids()).map(_join)


def _join(drawn: tuple[str, list[bytes], object]) -> bytes:
    kind, children, name = drawn
    boundary = f"=_{name}".encode()
    opening = b"Content-Type: multipart/" + kind.encode() + b'; boundary="' + boundary + b'"\r\n'
    inner = b"".join(b"\r\n--" + boundary + b"\r\n" + child for child in children)
    return opening + inner + b"\r\n--" + boundary + b"--\r\n"
