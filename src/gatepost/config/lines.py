"""On which line of a TOML text each key stands; the standard parser does not tell.

In: a text that `tomllib` has taken. Out: key path → line, counted from 1; elements of
`[[lists]]` are counted from 0.

*Fails:* never; a text that is not TOML gives an incomplete answer.
*Known limits:* keys inside inline tables have the line of the table's own key.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping

from gatepost.config.errors import KeyPath

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|\n"
    r"|[\[\]{}=.]"
    r"|[^\s\[\]{}=.\"'\#]+"
    r"|.",
    re.DOTALL,
)
_OPENING, _CLOSING = frozenset("[{"), frozenset("]}")


def lines_of_keys(text: str) -> Mapping[KeyPath, int]:
    """The line of every table and key of `text`."""
    found: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for line, tokens in _statements(text):
        if tokens[:2] == ["[", "["]:
            series = _through_lists(_names(tokens[2:]), counts)
            counts[series] = counts.get(series, -1) + 1
            table = (*series, counts[series])
            _note(found, table, line)
        elif tokens[0] == "[":
            table = _through_lists(_names(tokens[1:]), counts)
            _note(found, table, line)
        else:
            _note(found, (*table, *_names(tokens)), line)
    return found


def _note(found: dict[KeyPath, int], path: KeyPath, line: int) -> None:
    """A path is first met on `line`, and so are the tables around it that have no heading."""
    for length in range(1, len(path) + 1):
        found.setdefault(path[:length], line)


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each heading and each assignment: the line it begins on, and its tokens."""
    line, begin, depth = 1, 1, 0
    tokens: list[str] = []
    for match in _TOKEN.finditer(text):
        piece = match.group()
        if piece == "\n" and depth <= 0:
            if tokens:
                yield begin, tokens
            tokens, depth = [], 0
        elif not piece.isspace() and not piece.startswith("#"):
            if not tokens:
                begin = line
            tokens.append(piece)
            depth += (piece in _OPENING) - (piece in _CLOSING)
        line += piece.count("\n")
    if tokens:
        yield begin, tokens


def _names(tokens: list[str]) -> list[str]:
    """The names of a dotted key at the beginning of `tokens`."""
    names: list[str] = []
    for piece in tokens:
        if piece in {"=", "]"}:
            break
        if piece != ".":
            names.append(_unquoted(piece))
    return names


def _unquoted(piece: str) -> str:
    if piece[0] not in "\"'":
        return piece
    try:
        return str(tomllib.loads(f"key = {piece}")["key"])
    except tomllib.TOMLDecodeError:
        return piece


def _through_lists(names: list[str], counts: Mapping[KeyPath, int]) -> KeyPath:
    """The path of a heading: a list on the way stands for its last element so far."""
    path: KeyPath = ()
    for position, name in enumerate(names):
        path = (*path, name)
        if position < len(names) - 1 and path in counts:
            path = (*path, counts[path])
    return path
