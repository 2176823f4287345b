"""Link tokens: authenticated, opaque, of one length, and good for ever.

In: a claim (subject, stream, submission) and a purpose. Out: text for a URL, or for the local
part of a mail address. A token is AES-SIV (RFC 5297) over the claim, with the purpose as
associated data, so that tokens of different purposes never stand in for each other. The
same claim always gives the same token; it reveals nothing, needs no row, and may be used
again (HR-5).

Keys form a ring with ids 0 to 63; old keys stay, so that old mails work. A key marked
compromised still lets people leave (UNSUBSCRIBE, MAILTO) and opens nothing else.

*Fails:* `ValueError` for a ring that makes no sense or a claim that does not fit;
`open` and `open_from_address` answer `None` for whatever is not a token.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

TOKEN_LENGTH = 49
ADDRESS_TOKEN_LENGTH = 60
KEY_BYTES = 32

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_CLAIM = struct.Struct(">QIQ")
_SEALED_BYTES = 16 + _CLAIM.size


class Purpose(StrEnum):
    """What a token is good for."""

    UNSUBSCRIBE = "u"
    PREFERENCES = "p"
    CONFIRM = "c"
    BOUNCE = "b"
    MAILTO = "m"
    DOSSIER = "d"
    FORM = "f"  # not a link: says when a form was shown, and which text


_LEAVING = frozenset({Purpose.UNSUBSCRIBE, Purpose.MAILTO})
_ASSOCIATED = {purpose: [b"gatepost token " + purpose.value.encode()] for purpose in Purpose}


class Claim(NamedTuple):
    """What a token says: whose it is, for which stream (its tag), from which submission."""

    subject: int
    stream: int
    submission: int


@lru_cache(maxsize=4096)
def stream_tag(name: str) -> int:
    """The 32-bit number that stands for a stream in tokens; "" has one, too."""
    return int.from_bytes(hashlib.blake2b(name.encode()).digest()[:4], "big")


class Ring:
    """The keys by which tokens are sealed and opened; immutable.

    `current` is the id of the key that seals. Raises `ValueError` where an id or a key is not
    one, a key is there twice, or `current` is missing or compromised.
    """

    __slots__ = ("_compromised", "_current", "_keys")

    def __init__(
        self, keys: Mapping[int, bytes], current: int, compromised: frozenset[int] = frozenset()
    ) -> None:
        if not all(0 <= number < len(_ALPHABET) for number in keys):
            raise ValueError(f"key ids are numbers from 0 to {len(_ALPHABET) - 1}")
        if any(len(key) != KEY_BYTES for key in keys.values()):
            raise ValueError(f"a token key has {KEY_BYTES} bytes")
        if len(set(keys.values())) != len(keys):
            raise ValueError("a token key must not be there under two ids")
        if current not in keys:
            raise ValueError(f"the current token key, id {current}, is missing")
        if current in compromised:
            raise ValueError("the current token key is marked compromised: make a new one current")
        self._keys = {number: AESSIV(key) for number, key in keys.items()}
        self._current = current
        self._compromised = compromised

    def seal_bytes(self, purpose: Purpose, claim: Claim) -> bytes:
        """The token for a URL, `TOKEN_LENGTH` ASCII bytes."""
        text = binascii.b2a_base64(self._seal(purpose, claim), newline=False)
        first = self._current
        return _ALPHABET[first : first + 1] + text.translate(_TO_URL_SAFE)

    def seal(self, purpose: Purpose, claim: Claim) -> str:
        """The token for a URL, `TOKEN_LENGTH` characters of the base64url alphabet."""
        return self.seal_bytes(purpose, claim).decode("ascii")

    def open(self, purpose: Purpose, token: str) -> Claim | None:
        """What the token says; `None` if altered, foreign, or made for another purpose."""
        if len(token) != TOKEN_LENGTH or not token.isascii():
            return None
        text = token.encode("ascii")
        if text.strip(_ALPHABET):
            return None
        sealed = binascii.a2b_base64(text[1:].translate(_FROM_URL_SAFE))
        return self._open(purpose, _ALPHABET.index(text[0]), sealed)

    def is_compromised(self, token: str) -> bool:
        """Whether the key that `token` names is marked compromised.

        Whoever opens such a token may leave by it, but must be given no token of another
        purpose in exchange.
        """
        number = _ALPHABET.find(token[:1].encode("ascii", "replace")) if token else -1
        return number in self._compromised

    def seal_for_address(self, purpose: Purpose, claim: Claim) -> str:
        """The token for a local part: lower-case base32, `ADDRESS_TOKEN_LENGTH` characters."""
        sealed = bytes([self._current]) + self._seal(purpose, claim)
        return base64.b32encode(sealed).decode("ascii").rstrip("=").lower()

    def open_from_address(self, purpose: Purpose, token: str) -> Claim | None:
        """As `open`, for a token that `seal_for_address` made, in whatever case it comes back."""
        if len(token) != ADDRESS_TOKEN_LENGTH or not token.isascii():
            return None
        try:
            sealed = base64.b32decode(token.upper() + "====")
        except binascii.Error:
            return None
        if base64.b32encode(sealed).decode("ascii").rstrip("=") != token.upper():
            return None  # the spare bits of the last character were touched
        return self._open(purpose, sealed[0], sealed[1:])

    def _seal(self, purpose: Purpose, claim: Claim) -> bytes:
        try:
            plain = _CLAIM.pack(*claim)
        except struct.error as error:
            raise ValueError("the claim's numbers do not fit a token") from error
        return self._keys[self._current].encrypt(plain, _ASSOCIATED[purpose])

    def _open(self, purpose: Purpose, number: int, sealed: bytes) -> Claim | None:
        key = self._keys.get(number)
        if key is None or len(sealed) != _SEALED_BYTES:
            return None
        if number in self._compromised and purpose not in _LEAVING:
            return None
        try:
            plain = key.decrypt(sealed, _ASSOCIATED[purpose])
        except InvalidTag:
            return None
        return Claim(*_CLAIM.unpack(plain))
