"""Ids: random, 63 bits, positive; printed as 13 characters that survive being read aloud.

The text is lower-case Crockford base32 (no i, l, o, u). Reading is lenient about case,
and about the letters people confuse.

*Fails:* `ValueError` for a text that is no id.
"""

import os
import secrets
import struct

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_VALUES |= {"i": 1, "l": 1, "o": 0}
_LENGTH = 13
_LIMIT = 1 << 63
_SHIFTS = range(60, -1, -5)
_STEP_BITS = 20
_AHEAD = 256

# Drawn ahead: to ask the system lets go of the interpreter, and on a busy gateway another thread
# has it for a while then, which costs each submission more than all else about its id.
_drawn: list[int] = []
os.register_at_fork(after_in_child=_drawn.clear)


def new_id() -> int:
    """A random id; never 0. Those of one process that follow each other lie close together."""
    while True:
        try:
            return _drawn.pop()
        except IndexError:
            _drawn.extend(reversed(new_ids(_AHEAD)))


def new_ids(count: int) -> list[int]:
    """Random ids, ascending, close to each other.

    Rows that come together then lie together, so that the indexes of an import do not touch
    a page for each person: the place is random, and so is each step from there.
    """
    number = secrets.randbelow(_LIMIT - 1 - (count << _STEP_BITS)) + 1
    steps = struct.unpack(f"<{count}I", secrets.token_bytes(4 * count))
    found = []
    for step in steps:
        number += 1 + (step >> 32 - _STEP_BITS)
        found.append(number)
    return found


def to_text(number: int) -> str:
    """The 13 characters for people. Raises `ValueError` outside 1 … 2**63 - 1."""
    if not 0 < number < _LIMIT:
        raise ValueError(f"{number} is no id")
    return "".join([_ALPHABET[number >> shift & 31] for shift in _SHIFTS])


def from_text(text: str) -> int:
    """The id that `text` stands for. Raises `ValueError`."""
    if len(text) != _LENGTH:
        raise ValueError(f"an id has {_LENGTH} characters")
    number = 0
    for character in text.lower():
        value = _VALUES.get(character)
        if value is None:
            raise ValueError(f"no id contains {character!r}")
        number = number << 5 | value
    if not 0 < number < _LIMIT:
        raise ValueError("the id is out of range")
    return number
