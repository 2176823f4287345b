"""Lists of values as PostgreSQL writes arrays.

The driver's own way through a list costs several times what the database then does with it;
where a statement takes a thousand rows as an array per column, that is felt.

In: integers, booleans, texts, bytes, None; one kind per list. Out: a parameter that the statement
casts: the text of the array; of long bytes, such as messages, the list itself, to be sent in binary
(`binary`), because in the text they would be twice as long and be read octet by octet.
*Fails:* `TypeError` for values of another kind.
"""

from collections.abc import Callable, Sequence
from struct import pack
from typing import Any, TypeVar

_SHORT_OCTETS = 64
_BYTEA = 17  # https://www.postgresql.org/docs/current/catalog-pg-type.html
_NULL = b"\xff\xff\xff\xff"  # a length that is none
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"'})

W = TypeVar("W")


def array(values: Sequence[Any]) -> str | list[Any]:
    """The array of `values`, in their order, as a parameter."""
    if (
        values
        and isinstance(values[0], bytes)
        and any(len(value) > _SHORT_OCTETS for value in values if value is not None)
    ):
        return list(values)
    return literal(values)


def literal(values: Sequence[Any]) -> str:
    """The text of the array."""
    return "{" + ",".join([_WRITE[type(value)](value) for value in values]) + "}"


def binary(values: Sequence[bytes | None]) -> bytes:
    """The array of bytes as the server keeps it."""
    parts = [pack("!5i", 1, None in values, _BYTEA, len(values), 1)]
    for value in values:
        parts += [_NULL] if value is None else [pack("!i", len(value)), value]
    return b"".join(parts)


def _text(value: str) -> str:
    return f'"{value.translate(_ESCAPES)}"' if "\\" in value or '"' in value else f'"{value}"'


def _bytes(value: bytes) -> str:
    return f'"\\\\x{value.hex()}"'


class Writers(dict[type, Callable[[Any], W]]):
    """What writes a value of each type; one derived from a known type is written as that.

    Where a type derives from another, such as bool from int, it stands before that.
    """

    def __missing__(self, kind: type) -> Callable[[Any], W]:
        for known, write in self.items():
            if issubclass(kind, known):
                return write
        raise TypeError(f"PostgreSQL is given no {kind.__name__}")


_WRITE: Writers[str] = Writers({
    type(None): lambda _value: "NULL",
    bool: lambda value: "t" if value else "f",
    int: int.__repr__,
    str: _text,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
})  # fmt: skip
