"""DKIM signatures for the copies of a plan (RFC 6376, RFC 8301): rsa-sha256, relaxed/relaxed.

Theory of operation. All copies of a plan differ only in their holes, and no hole holds a
blank or begins or ends a line, so canonicalisation can be done once, on the fixed octets
between the holes. What is hashed is then a `_Stream`: fixed octets and numbers of holes. The
hash over everything before the first hole is computed once and continued per copy.

In: keys, a plan, the values for its slots, the time. Out: signed copies. Signatures stand on
top of the copy, above Received and older signatures (RK-6); there is one per key.

*Fails:* `ValueError` for a key that is not RSA with at least 1024 bits (RK-1), or for a
domain or selector that does not fit.
*Known limits:* Ed25519 is not offered.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gatepost.flow.edit.spans import Hole, Plan, Slot, compose, fill
from gatepost.mail.message import Field, scan_fields

# RK-3; these are signed, too, when they are absent, if the copy is a bulk one.
SIGNED_FIELDS = (
    "From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version",
    "Content-Type", "Content-Transfer-Encoding", "List-Id", "List-Help", "List-Unsubscribe",
    "List-Unsubscribe-Post", "Feedback-ID",
)  # fmt: skip
# RK-4: named once more than present, so that none can be added.
OVERSIGNED_FIELDS = frozenset({"From", "Subject", "To", "Date", "Content-Type"})
OVERSIGNED_LIST_FIELDS = frozenset({"List-Unsubscribe", "List-Unsubscribe-Post"})

_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*"
    r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
)
_BLANKS = re.compile(rb"[ \t]+")
_PADDING = PKCS1v15()
_HASH = Prehashed(SHA256())
_WIDTH = 72
_MAX_INSTANCES = 5  # so that the list in h= stays below 998 octets
_LARGE = 1 << 16  # beyond it, joining what is hashed costs more than hashing it in turn


@dataclass(frozen=True, slots=True, eq=False)
class DkimKey:
    """A private key, and where its public half is published: `selector._domainkey.domain`."""

    domain: str
    selector: str
    key: RSAPrivateKey

    def __post_init__(self) -> None:
        for name in (self.domain, self.selector):
            if not _DOMAIN.fullmatch(name):
                raise ValueError("domain and selector are host names, in ASCII")
        if self.key.key_size < 1024:
            raise ValueError("DKIM wants RSA keys of at least 1024 bits, better 2048")


def load_key(pem: bytes) -> RSAPrivateKey:
    """The RSA private key in a PEM file. Raises `ValueError` if there is none."""
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise ValueError("the key file has a passphrase") from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("the key is not an RSA key")  # noqa: TRY004 - a matter of content
    return key


class Signer:
    """Signs with each of `keys`. `lifetime` in seconds sets x=, `None` leaves it out; it has
    to exceed the time a copy may wait in any queue (RK-5)."""  # noqa: D205, D209

    def __init__(self, keys: Sequence[DkimKey], lifetime: int | None = None) -> None:
        self.keys = tuple(keys)
        self.lifetime = lifetime

    def prepare(self, plan: Plan) -> "Prepared":
        """Everything about the plan's signatures that is the same for all copies."""
        return Prepared(plan, self.keys, self.lifetime)


class Prepared:
    """Makes signed copies of one plan. Holds no state per copy: threads may share it."""

    __slots__ = ("_body", "_heads", "_lifetime", "_plan", "size")

    def __init__(self, plan: Plan, keys: Sequence[DkimKey], lifetime: int | None) -> None:
        sample = compose(plan, [b"A" * hole.size for hole in plan.holes])
        fields = scan_fields(sample)
        header_end = fields[-1].end if fields else 0
        self._plan = plan
        self._lifetime = lifetime
        body = _body_pieces(sample, _after_separator(sample, header_end), plan.holes)
        self._body = _Stream(body)
        names = _signed_names(fields)
        header = [*_header_pieces(sample, _chosen(fields, names), plan.holes)]
        self._heads = tuple(_Head(key, names, header) for key in keys)
        blank = [b"A" * hole.size for hole in plan.holes]
        self.size = plan.size + len(self._signatures(blank, 1_700_000_000))

    def sign(self, values: Mapping[Slot, bytes], now: int) -> bytes:
        """One recipient's copy with its signatures; `now` in seconds since the epoch.

        Every copy has `size` octets until 2286.
        """
        filled = fill(self._plan, values)
        return compose(self._plan, filled, self._signatures(filled, now))

    def _signatures(self, filled: Sequence[bytes], now: int) -> bytes:
        if not self._heads:
            return b""
        body_hash = b64encode(self._body.digest(filled))
        times = b"t=%d" % now
        if self._lifetime is not None:
            times += b"; x=%d" % (now + self._lifetime)
        return b"".join([head.sign(filled, times, body_hash) for head in self._heads])


class _Stream:
    """Octets to be hashed, with the numbers of the holes between them."""

    __slots__ = ("_is_large", "_rest", "_start")

    def __init__(self, pieces: Sequence[bytes | int]) -> None:
        self._start = hashlib.sha256()
        first = next((n for n, p in enumerate(pieces) if isinstance(p, int)), len(pieces))
        for piece in pieces[:first]:
            self._start.update(piece)  # type: ignore[arg-type]
        self._rest = tuple(pieces[first:])
        self._is_large = sum(len(p) for p in self._rest if isinstance(p, bytes)) > _LARGE

    def digest(self, filled: Sequence[bytes], last: bytes = b"") -> bytes:
        """The hash with `filled` in the holes and `last` at the end."""
        state = self._start.copy()
        octets = [filled[p] if isinstance(p, int) else p for p in self._rest]
        octets.append(last)
        for part in octets if self._is_large else (b"".join(octets),):
            state.update(part)
        return state.digest()


class _Head:
    """One key's signature field, but for what differs per copy."""

    __slots__ = ("_header", "_key", "_start")

    def __init__(self, key: DkimKey, names: Sequence[str], header: Sequence[bytes | int]) -> None:
        self._key = key.key
        self._header = _Stream(header)
        self._start = (
            f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={key.domain}; s={key.selector}; "
            f"h={':'.join(names)}; "
        ).encode("ascii")

    def sign(self, filled: Sequence[bytes], times: bytes, body_hash: bytes) -> bytes:
        """The whole field, folded, with its CRLF."""
        tags = self._start + times + b"; bh=" + body_hash + b"; b="
        digest = self._header.digest(filled, b"dkim-signature:" + tags)
        signature = b64encode(self._key.sign(digest, _PADDING, _HASH))
        return b"DKIM-Signature: " + _fold(tags) + _fold_signature(signature) + b"\r\n"


def _fold(tags: bytes) -> bytes:
    """The tags in lines; relaxed canonicalisation takes the folds for the blanks they were.

    The list in h= has no blanks, so it is a line of its own, below 998 octets.
    """
    return tags.replace(b"; ", b";\r\n\t")


def _fold_signature(signature: bytes) -> bytes:
    lines = [signature[at : at + _WIDTH] for at in range(0, len(signature), _WIDTH)]
    return b"\r\n\t ".join(lines)


def _signed_names(fields: Sequence[Field]) -> list[str]:
    """The names for h=, each as often as it occurs, and the oversigned once more."""
    present = [field.name for field in fields]
    bulk = b"list-unsubscribe-post" in present
    names: list[str] = []
    for name in SIGNED_FIELDS:
        count = min(present.count(name.lower().encode("ascii")), _MAX_INSTANCES)
        oversigned = name in OVERSIGNED_FIELDS or (bulk and name in OVERSIGNED_LIST_FIELDS)
        names += [name] * (count + 1 if oversigned else max(count, int(bulk)))
    return names


def _chosen(fields: Sequence[Field], names: Sequence[str]) -> Iterator[Field]:
    """The fields that `names` mean: the lowest first (RFC 6376 §5.4.2)."""
    waiting: dict[bytes, list[Field]] = {}
    for field in fields:
        waiting.setdefault(field.name, []).append(field)
    for name in names:
        if stack := waiting.get(name.lower().encode("ascii")):
            yield stack.pop()


def _header_pieces(
    sample: bytes, fields: Iterator[Field], holes: Sequence[Hole]
) -> Iterator[bytes | int]:
    """The fields in canonical form (RFC 6376 §3.4.2), with the holes left open."""
    for field in fields:
        yield field.name + b":"
        pieces = list(_cut(sample, field.value_start, field.end, holes))
        for number, piece in enumerate(pieces):
            if isinstance(piece, int):
                yield piece
                continue
            text = _BLANKS.sub(b" ", piece.replace(b"\r\n", b""))
            text = text.lstrip(b" ") if number == 0 else text
            yield text.rstrip(b" ") if number == len(pieces) - 1 else text
        yield b"\r\n"


def _body_pieces(sample: bytes, start: int, holes: Sequence[Hole]) -> list[bytes | int]:
    """The body in canonical form (RFC 6376 §3.4.4), with the holes left open."""
    pieces: list[bytes | int] = []
    at = start
    for number, hole in enumerate(holes):
        if hole.offset >= start:
            pieces += [*_relaxed(sample, at, hole.offset), number]
            at = hole.offset + hole.size
    pieces += _relaxed(sample, at, len(sample))
    while pieces and isinstance(last := pieces[-1], bytes):
        pieces.pop()
        if text := last.rstrip(b" \r\n"):  # blank lines at the end do not count
            pieces.append(text)
            break
    if pieces:
        pieces.append(b"\r\n")
    return pieces


def _relaxed(sample: bytes, start: int, end: int) -> Iterator[bytes]:
    """The octets [start, end) in canonical form, so many lines at a time.

    An expression would keep each word of the text as an object of its own, fifty octets for five.
    """
    while start < end:
        stop = sample.find(b"\n", start + _LARGE, end) + 1 or end
        text = sample[start:stop].replace(b"\t", b" ")
        while b"  " in text:
            text = text.replace(b"  ", b" ")
        yield text.replace(b" \r\n", b"\r\n")
        start = stop


def _cut(sample: bytes, start: int, end: int, holes: Sequence[Hole]) -> Iterator[bytes | int]:
    """The octets [start, end) of a copy, cut at its holes."""
    at = start
    for number, hole in enumerate(holes):
        if start <= hole.offset < end:
            yield sample[at : hole.offset]
            yield number
            at = hole.offset + hole.size
    yield sample[at:end]


def _after_separator(sample: bytes, header_end: int) -> int:
    opening = sample[header_end : header_end + 2]
    return header_end + (2 if opening == b"\r\n" else 1 if opening[:1] == b"\n" else 0)
